"""HTML: templates that escape every value, the headers of a page, and errors as pages."""

import json
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from importlib.metadata import version
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute
from jinja2 import Environment, PackageLoader, StrictUndefined

from state.errors import StateError
from state.wording import count
from stream.api.keys import Scope
from stream.api.pages.sessions import Session, Sessions, set_cookie
from stream.api.problems import Problem, internal, invalid_request, unavailable
from stream.errors import StreamError
from training.registry.errors import RegistryError

logger = logging.getLogger(__name__)

HEADERS = {
    # Nothing but what this server sends: no inline style or script, no address of another machine.
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    # With no-referrer a browser would send "Origin: null" with a form.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

NAVIGATION = (
    ("/", "Live"),
    ("/customers", "Customers"),
    ("/items", "Items"),
    ("/rules", "Rules"),
    ("/models", "Models"),
    ("/dead-letters", "Dead letters"),
    ("/health", "Health"),
)
SIGN_IN = "/sign-in"


def _percent(value: float) -> str:
    return f"{value:.1%}"


def _date(text: str | None) -> str:
    """A date of the API to the minute."""
    return "–" if not text else text[:16].replace("T", " ")


def number(value: float | None) -> str:
    """A number with all its digits, without a fraction that is 0; a dash where it is not known."""
    if value is None:
        return "–"
    return str(int(value)) if value == int(value) else repr(value)


def _words(text: str) -> str:
    return text.replace("_", " ")


def _json(value: Any) -> str:
    """JSON in text that is escaped as any other; ``tojson`` of Jinja marks its own as safe."""
    return msgspec.json.encode(value).decode()


def link(path: str, **parameters: str) -> str:
    """The address of a page with its parameters."""
    return f"{path}?{urlencode(parameters, quote_via=quote)}"


_environment = Environment(
    loader=PackageLoader("stream.api.pages"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.filters |= {"percent": _percent, "date": _date, "words": _words, "tojson_text": _json, "number": number}
_environment.globals |= {
    "navigation": NAVIGATION,
    "link": link,
    "count": count,
    "package_version": version("nextbasket"),
    "Scope": Scope,
}


def render(
    request: Request, template: str, status: int = 200, session: Session | None = None, **values: Any
) -> Response:
    """A page."""
    html = _environment.get_template(template).render(
        path=request.url.path,
        session=session,
        keys=len(request.app.state.sessions.access.keys),
        message=session.take_message() if session is not None else None,
        **values,
    )
    response = HTMLResponse(html, status, HEADERS)
    if session is not None:
        set_cookie(response, session, request)
    return response


def redirect(path: str) -> Response:
    """Let the browser load another page, after a form."""
    return RedirectResponse(path, 303, HEADERS)


def reader(request: Request) -> Session:
    """The session of somebody who may read.

    Raises:
        Problem: 401, 403 or 429.
    """
    sessions: Sessions = request.app.state.sessions
    session = sessions.of(request)
    sessions.access.permit(session.caller, Scope.READ)
    return session


class PageRoute(APIRoute):
    """A route whose errors are pages too; without a session it leads to the form for a key."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, with its errors answered."""
        answer = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                return await answer(request)
            except Problem as error:
                problem = error
            except RequestValidationError as error:
                problem = invalid_request(f"{error.errors()[0]['loc'][-1]}: {error.errors()[0]['msg']}")
            except (StateError, StreamError, RegistryError) as error:
                problem = unavailable(str(error))
            except Exception:
                logger.exception("The page %s failed", request.url.path)
                problem = internal()
            if problem.status == 401 and request.method == "GET":
                return redirect(
                    link(SIGN_IN, next=str(request.url.path) + (f"?{request.url.query}" if request.url.query else ""))
                )
            return problem_page(request, problem)

        return handle


def problem_page(request: Request, problem: Problem) -> Response:
    """An error as a page."""
    session = None
    with suppress(Problem):
        session = request.app.state.sessions.of(request)
    response = render(request, "problem.html", problem.status, session, problem=problem.details)
    response.headers.update(problem.headers)
    return response


def readable_json(raw: bytes) -> str:
    """JSON with line breaks, for reading and changing."""
    return json.dumps(msgspec.json.decode(raw), indent=2, ensure_ascii=False)
