"""The trace of a request, for the records that it leads to."""

from starlette.types import Scope

from stream.messages import Headers
from stream.pipeline.event_headers import request_trace


def trace_of(scope: Scope) -> Headers:
    """``traceparent`` and ``tracestate`` for the records of a request."""
    return request_trace(tuple((name.decode("latin-1"), value) for name, value in scope["headers"]))
