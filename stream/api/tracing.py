"""The trace of a request, for the records that it leads to."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stream.messages import Headers, IncomingHeaders
from stream.pipeline.event_headers import request_trace
from stream.pipeline.tracing import Tracing

_KEY = "nextbasket.trace"
"""Where the scope of a request has the headers."""


class TraceRequests:
    """ASGI middleware: records each request; only used where traces are on."""

    def __init__(self, app: ASGIApp, *, tracing: Tracing) -> None:
        self._app = app
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500

        async def send_recorded(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with self._tracing.request(scope["method"], _headers(scope)) as trace:
            scope[_KEY] = trace.headers
            try:
                await self._app(scope, receive, send_recorded)
            finally:
                trace.answered(getattr(scope.get("route"), "path", None), status)


def trace_of(scope: Scope) -> Headers:
    """``traceparent`` and ``tracestate`` for the records of a request."""
    recorded: Headers | None = scope.get(_KEY)
    return request_trace(_headers(scope)) if recorded is None else recorded


def _headers(scope: Scope) -> IncomingHeaders:
    return tuple((name.decode("latin-1"), value) for name, value in scope["headers"])
