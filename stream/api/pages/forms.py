"""Forms: read, and taken only from a page of this server in the session of the browser."""

from urllib.parse import parse_qsl, urlsplit

from fastapi import Request

from stream.api.keys import Scope
from stream.api.pages.sessions import Session, Sessions
from stream.api.problems import Problem, invalid_request

FORM = "application/x-www-form-urlencoded"
TOKEN = "token"
MAX_FIELDS = 100


async def read_form(request: Request, scope: Scope | None) -> tuple[Session, dict[str, str]]:
    """The session of a form and its fields.

    Raises:
        Problem: 403 from another site, without the token or the scope; 401 without a session; 400 where it is no form.
    """
    require_same_origin(request)
    sessions: Sessions = request.app.state.sessions
    session = sessions.of(request)
    if scope is not None:
        sessions.access.permit(session.caller, scope)
    fields = await form_fields(request)
    if not session.has_token(fields.pop(TOKEN, "")):
        raise Problem(
            403,
            "stale-form",
            "The form is too old",
            "Load the page again and send the form from there; nothing was done.",
        )
    return session, fields


async def form_fields(request: Request) -> dict[str, str]:
    """The fields of a body; a browser sends line ends as CR LF, and they are LF here.

    Raises:
        Problem: It is no form.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        raise Problem(415, "not-a-form", "The body must be a form", f"Send it with Content-Type: {FORM}.")
    try:
        pairs = parse_qsl(
            (await request.body()).decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict"
        )
    except ValueError as error:  # UnicodeDecodeError is one
        raise invalid_request(f"The body is no form ({error}).") from None
    return {name: value.replace("\r\n", "\n") for name, value in pairs}


def require_same_origin(request: Request) -> None:
    """Check that a form is of a page of this server, by the headers that every browser sends.

    Raises:
        Problem: 403 for a form of another origin.
    """
    origin = request.headers.get("origin", "")
    if not origin or urlsplit(origin).netloc.lower() != request.headers.get("host", "").lower():
        raise Problem(
            403,
            "foreign-origin",
            "Another origin may not write",
            "The form is not of a page of this server. A proxy in front of it must pass the header Host on.",
        )
