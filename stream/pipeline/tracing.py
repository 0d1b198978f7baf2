"""Traces of batches, requests and rounds of training. Here nothing is recorded: traces are only passed on.

``stream.telemetry`` records them with OpenTelemetry, where an exporter is set in the environment.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

from stream.messages import Headers, Incoming, IncomingHeaders
from stream.pipeline.event_headers import request_trace, trace_headers


class BatchTrace:
    """The trace of a batch of events."""

    def stage(self, name: str) -> AbstractContextManager[object]:
        """A stage of the batch, within another one or on its own."""
        return nullcontext()

    def message_headers(self, event: IncomingHeaders) -> Headers:
        """The headers of a message that an event with these headers leads to."""
        return trace_headers(event)

    def count(self, name: str, number: int) -> None:
        """Add to a number of the batch."""


class RequestTrace:
    """The trace of a request; ``headers`` are for the records that it leads to."""

    def __init__(self, headers: Headers) -> None:
        self.headers = headers

    def answered(self, route: str | None, status: int) -> None:
        """Record the template of the path and the status of the answer."""


class RoundTrace:
    """The trace of a round of training."""

    def ended(self, model: str, version: str, *, promoted: bool) -> None:
        """Record the model that the round gave."""


class Tracing:
    """Begins traces; used by any thread."""

    is_on = False

    def batch(self, records: Sequence[Incoming]) -> AbstractContextManager[BatchTrace]:
        """The trace of a batch."""
        return nullcontext(BatchTrace())

    def request(self, method: str, headers: IncomingHeaders) -> AbstractContextManager[RequestTrace]:
        """The trace of a request with these headers, whose names are in lower case."""
        return nullcontext(RequestTrace(request_trace(headers)))

    def training_round(self) -> AbstractContextManager[RoundTrace]:
        """The trace of a round of training."""
        return nullcontext(RoundTrace())
