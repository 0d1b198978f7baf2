"""What every request passes before a route sees it: bounds, the name of the host, security headers, metrics."""

import asyncio
import time
from collections.abc import Collection
from urllib.parse import unquote_to_bytes, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stream.api.access import is_loopback
from stream.api.problems import Problem, invalid_request
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
WHOLE_BODY_TIMEOUT_S = 30.0
"""How long a body may take, however many parts it has."""

IDENTITY = "identity"

REPEATABLE = frozenset({b"exclude", b"attribute", b"segment"})
"""The parameters that are lists."""

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
        if scope["method"] == "HEAD":
            scope, receive, send = _as_get(scope, receive, send)
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
        if not (_is_utf8(scope.get("raw_path") or b"") and _is_utf8(scope["query_string"])):
            return invalid_request("The address is not UTF-8; percent-encode the bytes of UTF-8.")
        if (name := _repeated(scope["query_string"])) is not None:
            return invalid_request(f"{name}: the parameter is there more than once.")
        if headers.get("content-encoding", IDENTITY).strip().lower() != IDENTITY:
            return Problem(
                415,
                "encoded",
                "The body is compressed",
                "Send it without Content-Encoding.",
                headers={"Accept-Encoding": IDENTITY},
            )
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) > self._max_body_bytes:
            return body_too_large(self._max_body_bytes)
        if self._open_to_all:
            return self._foreign(scope["method"], headers)
        return None

    def _foreign(self, method: str, headers: Headers) -> Problem | None:
        if not is_loopback(_parts(f"//{headers.get('host', '')}")[1]):
            return Problem(
                421,
                "wrong-host",
                "The host is not this machine",
                "Without API keys only localhost and the loopback addresses are served.",
            )
        origin = headers.get("origin")
        allowed = origin is None or origin in self._origins or _parts(origin)[0] == headers.get("host")
        if method in WRITES and not allowed:
            return Problem(
                403,
                "foreign-origin",
                "Another origin may not write",
                "The origin of the page is not in NEXTBASKET_API_ORIGINS.",
            )
        return None


def _parts(address: str) -> tuple[str, str]:
    """The host with its port, and the host without; both are empty where the address cannot be read."""
    try:
        parts = urlsplit(address)
        return parts.netloc, parts.hostname or ""
    except ValueError:
        return "", ""


def _repeated(query: bytes) -> str | None:
    """The first parameter that is there more than once and may not be; None where there is none."""
    names = [unquote_to_bytes(each.partition(b"=")[0]) for each in query.split(b"&")] if b"&" in query else []
    once = [name for name in names if name not in REPEATABLE]
    return next((name.decode() for number, name in enumerate(once) if name and name in once[:number]), None)


def _is_utf8(target: bytes) -> bool:
    """Whether a part of an address is UTF-8 once it is decoded; a wrong byte would become another, valid id."""
    try:
        (unquote_to_bytes(target) if b"%" in target else target).decode()
    except UnicodeDecodeError:
        return False
    return True


def _as_get(scope: Scope, receive: Receive, send: Send) -> tuple[Scope, Receive, Send]:
    """A request ``HEAD`` as the ``GET`` that it asks about: its headers come, its body stays away.

    The client counts as gone after the first part of the body, so that a stream ends.
    """
    ended = asyncio.Event()

    async def send_head(message: Message) -> None:
        if ended.is_set():
            return
        if message["type"] == "http.response.body":
            ended.set()
            message = {"type": "http.response.body", "body": b"", "more_body": False}
        await send(message)

    async def receive_until_head() -> Message:
        if not ended.is_set():
            asking, ending = asyncio.ensure_future(receive()), asyncio.ensure_future(ended.wait())
            try:
                await asyncio.wait({asking, ending}, return_when=asyncio.FIRST_COMPLETED)
                if asking.done():
                    return asking.result()
            finally:
                asking.cancel()
                ending.cancel()
        return {"type": "http.disconnect"}

    return {**scope, "method": "GET"}, receive_until_head, send_head


def body_too_large(most: int) -> Problem:
    """The problem of status 413 for a body of more than ``most`` bytes."""
    return Problem(
        413, "too-large", "The body is too large", f"It may have {most:,} bytes (NEXTBASKET_API_MAX_BODY_BYTES)."
    )


def _bounded(receive: Receive, most: int) -> Receive:
    """Counts the bytes of a body that comes without a length, and does not wait for one that does not come."""
    seen = 0
    complete = False
    deadline: float | None = None

    async def receive_bounded() -> Message:
        nonlocal seen, complete, deadline
        if complete:  # from here on it waits for the end of the connection
            return await receive()
        now = asyncio.get_running_loop().time()
        if deadline is None:
            deadline = now + WHOLE_BODY_TIMEOUT_S
        try:
            async with asyncio.timeout(min(BODY_TIMEOUT_S, deadline - now)):
                message = await receive()
        except TimeoutError:
            raise Problem(
                408,
                "too-slow",
                "The body does not come",
                f"Send each part of the body within {BODY_TIMEOUT_S:g} s, and all of it within "
                f"{WHOLE_BODY_TIMEOUT_S:g} s.",
            ) from None
        if message["type"] == "http.request":
            seen += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if seen > most:
                raise body_too_large(most)
        return message

    return receive_bounded
