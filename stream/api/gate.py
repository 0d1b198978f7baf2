"""What every request passes before a route sees it: bounds, the name of the host, security headers, metrics."""

import asyncio
import time
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stream.api.access import is_loopback
from stream.api.problems import Problem
from stream.monitoring import Metrics

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-site",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
"""Headers of responses whose route does not set them."""

MAX_TARGET_BYTES = 32_768
"""Bound of path and query together: room for a thousand excluded stock codes."""

BODY_TIMEOUT_S = 10.0
"""How long the next part of a body may take."""

WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class Gate:
    """ASGI middleware.

    Args:
        app: What comes after it.
        max_body_bytes: A larger body is refused before it is read, or as soon as it turns out to be.
        open_to_all: Whether there are no keys. Then a web page in a browser on this machine could send requests too, by
            a form or a name that resolves to the loopback interface; so the host must be this machine's, and a write
            from another origin is refused.
        origins: Other origins that may write.
        metrics: Counts and times the requests.
    """

    def __init__(
        self, app: ASGIApp, *, max_body_bytes: int, open_to_all: bool, origins: Collection[str], metrics: Metrics
    ) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes
        self._open_to_all = open_to_all
        self._origins = frozenset(origins)
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with a problem."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start = time.perf_counter()
        status = 500

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        headers = Headers(scope=scope)
        try:
            problem = self._refusal(scope, headers)
            if problem is not None:
                await problem.response()(scope, receive, send_with_headers)
            else:
                await self._app(scope, _bounded(receive, self._max_body_bytes), send_with_headers)
        finally:
            route = scope.get("route")
            self._metrics.request(getattr(route, "path", "none"), status, time.perf_counter() - start)

    def _refusal(self, scope: Scope, headers: Headers) -> Problem | None:
        if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > MAX_TARGET_BYTES:
            return Problem(414, "too-long", "The address is too long", f"It may have {MAX_TARGET_BYTES:,} bytes.")
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) > self._max_body_bytes:
            return body_too_large(self._max_body_bytes)
        if self._open_to_all:
            return self._foreign(scope["method"], headers)
        return None

    def _foreign(self, method: str, headers: Headers) -> Problem | None:
        host = urlsplit(f"//{headers.get('host', '')}").hostname or ""
        if not is_loopback(host):
            return Problem(
                421,
                "wrong-host",
                "The host is not this machine",
                "Without API keys only localhost and the loopback addresses are served.",
            )
        origin = headers.get("origin")
        allowed = origin is None or origin in self._origins or urlsplit(origin).netloc == headers.get("host")
        if method in WRITES and not allowed:
            return Problem(
                403,
                "foreign-origin",
                "Another origin may not write",
                "The origin of the page is not in NEXTBASKET_API_ORIGINS.",
            )
        return None


def body_too_large(most: int) -> Problem:
    """The problem of status 413 for a body of more than ``most`` bytes."""
    return Problem(
        413, "too-large", "The body is too large", f"It may have {most:,} bytes (NEXTBASKET_API_MAX_BODY_BYTES)."
    )


def _bounded(receive: Receive, most: int) -> Receive:
    """Counts the bytes of a body that comes without a length, and does not wait for one that does not come."""
    seen = 0
    complete = False

    async def receive_bounded() -> Message:
        nonlocal seen, complete
        if complete:  # from here on it waits for the end of the connection
            return await receive()
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                message = await receive()
        except TimeoutError:
            raise Problem(
                408, "too-slow", "The body does not come", f"Send the body within {BODY_TIMEOUT_S:g} s."
            ) from None
        if message["type"] == "http.request":
            seen += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if seen > most:
                raise body_too_large(most)
        return message

    return receive_bounded
