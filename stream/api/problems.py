"""Errors as problem details (RFC 9457): one type, one status, and one sentence with the cause and what to do."""

import logging
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match

from state.errors import CustomerRefused, StateError, StoreUnavailable

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
TYPES = "https://nextbasket.github.io/nextbasket/reference/http/#"
"""The page that documents the types; the type of a problem is this with its name behind."""

RETRY_AFTER_S = 2
NOT_READY_S = 10


class ProblemDetails(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of every error."""

    type: str
    title: str
    status: int
    detail: str
    errors: list["FieldError"] | None = None


class FieldError(msgspec.Struct, frozen=True, omit_defaults=True):
    """One field that cannot be taken; ``index`` is that of the invoice in a list."""

    detail: str
    field: str | None = None
    index: int | None = None


class Problem(Exception):
    """Ends a request with an error.

    Args:
        status: The HTTP status.
        name: The last part of the type.
        title: The same for every problem of the type.
        detail: One sentence about this one, with what to do.
        errors: The fields concerned.
        headers: Further headers.
    """

    def __init__(
        self,
        status: int,
        name: str,
        title: str,
        detail: str,
        *,
        errors: list[FieldError] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.details = ProblemDetails(TYPES + name, title, status, detail, errors)
        self.headers = dict(headers or {})

    def response(self) -> Response:
        """The response of this problem."""
        return Response(msgspec.json.encode(self.details), self.status, self.headers, MEDIA_TYPE)


def invalid_request(detail: str, errors: list[FieldError] | None = None) -> Problem:
    """400: a parameter, or the body."""
    return Problem(400, "invalid-request", "The request cannot be taken", detail, errors=errors)


def not_found(detail: str) -> Problem:
    """404: there is no such path, item or customer."""
    return Problem(404, "not-found", "There is no such thing", detail)


def unavailable(detail: str) -> Problem:
    """503: a service that the answer needs does not answer now."""
    return Problem(
        503, "unavailable", "A service is not available", detail, headers={"Retry-After": str(RETRY_AFTER_S)}
    )


def not_ready(detail: str) -> Problem:
    """503: the answer is being made."""
    return Problem(
        503,
        "unavailable",
        "A service is not available",
        detail,
        headers={"Retry-After": str(NOT_READY_S)},
    )


def overloaded() -> Problem:
    """503: more requests wait than can be answered in time."""
    return Problem(
        503,
        "overloaded",
        "Too many requests wait",
        "This server answers as fast as it can; ask again later, or start another one.",
        headers={"Retry-After": "1"},
    )


def internal() -> Problem:
    """500: a bug."""
    return Problem(
        500, "internal", "The server made a mistake", "This is a mistake in nextbasket; its log has the details."
    )


def took_too_long(seconds: float) -> Problem:
    """503: no answer in time."""
    return unavailable(f"There was no answer within {seconds:g} s; Redis, Kafka or this server is too slow. Ask again.")


def add_handlers(app: FastAPI) -> None:
    """Let every error of an application become problem details."""

    @app.exception_handler(Problem)
    async def problem(_: Request, error: Problem) -> Response:
        return error.response()

    @app.exception_handler(RequestValidationError)
    async def validation(_: Request, error: RequestValidationError) -> Response:
        errors = [FieldError(_sentence(each), _field(each)) for each in error.errors()]
        first = errors[0]
        return invalid_request(f"{first.field}: {first.detail}", errors).response()

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        if error.status_code == 405:
            return _other_methods(request)
        name, text = "invalid-request", str(error.detail)
        if error.status_code == 404:
            name, text = "not-found", "There is no such path; /openapi.json lists them."
        return Problem(error.status_code, name, str(error.detail), text, headers=error.headers).response()

    @app.exception_handler(StoreUnavailable)
    async def store_unavailable(_: Request, error: StoreUnavailable) -> Response:
        return unavailable(str(error)).response()

    @app.exception_handler(StateError)
    async def refused(_: Request, error: StateError) -> Response:
        logger.error("A request failed: %s", error)
        name = "customer-refused" if isinstance(error, CustomerRefused) else "internal"
        return Problem(500, name, "What is stored cannot be used", str(error)).response()

    @app.exception_handler(Exception)
    async def unexpected(_: Request, error: Exception) -> Response:
        return internal().response()


def _other_methods(request: Request) -> Response:
    """405 with all methods of the path, or 204 where OPTIONS asks for them."""
    found: set[str] = {"OPTIONS"}
    for route in _routes(request.app):
        if route.matches(request.scope)[0] is not Match.NONE:
            found |= set(getattr(route, "methods", None) or ())
    if "GET" in found:
        found.add("HEAD")
    allow = ", ".join(sorted(found))
    if request.method == "OPTIONS":
        return Response(status_code=204, headers={"Allow": allow})
    problem = Problem(405, "method-not-allowed", "Method Not Allowed", f"The path takes {allow}.")
    problem.headers["Allow"] = allow
    return problem.response()


def _routes(app: FastAPI) -> Iterator[BaseRoute]:
    """All routes, those of included routers too."""
    for each in app.routes:
        router = getattr(each, "original_router", None)
        yield from (each,) if router is None else router.routes


def _field(error: Mapping[str, Any]) -> str:
    return ".".join(str(part) for part in error["loc"][1:] or error["loc"])


def _sentence(error: Mapping[str, Any]) -> str:
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        return "there is no such parameter"
    return message[:1].lower() + message[1:]
