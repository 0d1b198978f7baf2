"""Sign in with an API key, sign out."""

from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Query, Request, Response

from stream.api.access import client_address
from stream.api.pages.forms import form_fields, read_form, require_same_origin
from stream.api.pages.rendering import NAVIGATION, SIGN_IN, PageRoute, redirect, render
from stream.api.pages.sessions import Sessions, set_cookie
from stream.api.problems import Problem

router = APIRouter(route_class=PageRoute, include_in_schema=False)

PATHS = frozenset(path for path, _ in NAVIGATION)


@router.get(SIGN_IN, response_class=Response)
async def ask_for_key(request: Request, next: Annotated[str, Query(max_length=5_000)] = "/") -> Response:
    """The form for the key."""
    return render(request, "sign_in.html", next=local_page(next), refused=None)


@router.post(SIGN_IN, response_class=Response)
async def sign_in(request: Request) -> Response:
    """A session for a key."""
    require_same_origin(request)
    sessions: Sessions = request.app.state.sessions
    fields = await form_fields(request)
    page = local_page(fields.get("next", "/"))
    try:
        caller = sessions.access.identify(fields.get("key", "").strip() or None, client_address(request))
    except Problem as problem:
        return render(request, "sign_in.html", problem.status, next=page, refused=problem.details.detail)
    response = redirect(page)
    set_cookie(response, sessions.open(caller), request)
    return response


@router.post("/sign-out", response_class=Response)
async def sign_out(request: Request) -> Response:
    """End the session."""
    sessions: Sessions = request.app.state.sessions
    session, _ = await read_form(request, None)
    sessions.close(session)
    return redirect(SIGN_IN)


def local_page(target: str) -> str:
    """A target, where it is a page of this server; else the first page."""
    try:
        parts = urlsplit(target)
    except ValueError:
        return "/"
    return target if not parts.scheme and not parts.netloc and parts.path in PATHS else "/"
