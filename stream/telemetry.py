"""Traces with OpenTelemetry, sent over HTTP to a collector; imported only where one is set.

The names follow the semantic conventions of messaging and HTTP. No span has a customer's id, a stock code, a path or
query of a request, a key or a value of a record, or the text of an exception: each of them may be personal data.

The provider is not made the global one: FastAPI and redis-py would then record spans of their own, with paths and keys.
"""

import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import (
    Link,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    Tracer,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from state.settings import Settings
from stream.messages import Headers, Incoming, IncomingHeaders
from stream.pipeline.event_headers import trace_headers
from stream.pipeline.tracing import BatchTrace, RequestTrace, RoundTrace, Tracing

CLOSE_TIMEOUT_S = 3.0
"""How long the last spans may take at the end; a collector that does not answer keeps no process from ending."""
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE"})
_PROPAGATOR = TraceContextTextMapPropagator()


class Telemetry(Tracing):
    """Records traces.

    Args:
        service: ``service.name``, where the environment does not set another one.
        settings: The namespace, topics and consumer group.
    """

    is_on = True

    def __init__(self, service: str, settings: Settings) -> None:
        attributes = {"service.version": version("nextbasket")}
        if settings.namespace:
            attributes["service.namespace"] = settings.namespace
        resource = Resource.create(attributes)  # with OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES
        if str(resource.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
            resource = resource.merge(Resource({SERVICE_NAME: service}))
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._exporter = OTLPSpanExporter()
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer = self._provider.get_tracer("nextbasket", version("nextbasket"))
        self._settings = settings

    def close(self) -> None:
        """Send the last spans."""
        thread = threading.Thread(target=self._provider.shutdown, name="telemetry-end", daemon=True)
        thread.start()
        thread.join(CLOSE_TIMEOUT_S)
        if thread.is_alive():
            self._exporter.shutdown()  # type: ignore[no-untyped-call]  # ends its attempts
            thread.join(1.0)

    @contextmanager
    def batch(self, records: Sequence[Incoming]) -> Iterator[BatchTrace]:
        """A consumer's span, with links to the traces of the records.

        Where all records have one and the same parent, as a single invoice has, the span is its child too.
        """
        parents = [_context_of(record.headers) for record in records]
        distinct = {(each.trace_id, each.span_id): each for each in map(_span_context, parents) if each.is_valid}
        is_child = len(distinct) == 1 and all(parent is not None for parent in parents)
        topic = self._settings.topics.invoices
        with self._span(
            f"process {topic}",
            SpanKind.CONSUMER,
            parents[0] if is_child else Context(),
            [Link(each) for each in distinct.values()],
            {
                **_messaging("process", topic),
                "messaging.consumer.group.name": self._settings.group,
                "messaging.batch.message_count": len(records),
            },
        ) as span:
            yield _Batch(self._tracer, span, self._settings.topics.recommendations)

    @contextmanager
    def request(self, method: str, headers: IncomingHeaders) -> Iterator[RequestTrace]:
        """A server's span, a child of the request's ``traceparent`` where that is well-formed."""
        name = method if method in _METHODS else "_OTHER"
        parent = _context_of(headers) or Context()
        with self._span(name, SpanKind.SERVER, parent, (), {"http.request.method": name}) as span:
            yield _Request(span, name)

    @contextmanager
    def training_round(self) -> Iterator[RoundTrace]:
        """A span of its own."""
        with self._span("training round", SpanKind.INTERNAL, Context(), (), {}) as span:
            yield _Round(span)

    @contextmanager
    def _span(
        self,
        name: str,
        kind: SpanKind,
        parent: Context | None,
        links: Sequence[Link],
        attributes: Mapping[str, AttributeValue],
    ) -> Iterator[Span]:
        with _named_errors(
            self._tracer.start_span(name, context=parent, kind=kind, links=links, attributes=attributes)
        ) as span:
            yield span


class _Batch(BatchTrace):
    def __init__(self, tracer: Tracer, span: Span, topic: str) -> None:
        self._tracer = tracer
        self._span = span
        self._open = [set_span_in_context(span, Context())]
        self._counts: Counter[str] = Counter()
        self._name = f"create {topic}"
        self._attributes = _messaging("create", topic)

    @contextmanager
    def stage(self, name: str) -> Iterator[Span]:
        """A span within the stage that is open, or the batch."""
        with _named_errors(self._tracer.start_span(name, context=self._open[-1])) as span:
            self._open.append(set_span_in_context(span, Context()))
            try:
                yield span
            finally:
                self._open.pop()

    def message_headers(self, event: IncomingHeaders) -> Headers:
        """The headers of a producer's span, a child of the event's trace, with a link to the batch."""
        parent = _context_of(event)
        span = self._tracer.start_span(
            self._name,
            context=self._open[-1] if parent is None else parent,
            kind=SpanKind.PRODUCER,
            links=[Link(self._span.get_span_context())],
            attributes=self._attributes,
        )
        span.end()
        return _headers(span)

    def count(self, name: str, number: int) -> None:
        """Add to an attribute of the batch's span."""
        self._counts[name] += number
        self._span.set_attribute(f"nextbasket.{name}", self._counts[name])


class _Request(RequestTrace):
    def __init__(self, span: Span, method: str) -> None:
        super().__init__(_headers(span))
        self._span = span
        self._method = method

    def answered(self, route: str | None, status: int) -> None:
        """Attributes of the request's span."""
        self._span.set_attribute("http.response.status_code", status)
        if route is not None:
            self._span.update_name(f"{self._method} {route}")
            self._span.set_attribute("http.route", route)
        if status >= 500:
            self._span.set_attribute("error.type", str(status))
            self._span.set_status(StatusCode.ERROR)


class _Round(RoundTrace):
    def __init__(self, span: Span) -> None:
        self._span = span

    def ended(self, model: str, version: str, *, promoted: bool) -> None:
        """Attributes of the round's span."""
        self._span.set_attributes(
            {"nextbasket.model": model, "nextbasket.version": version, "nextbasket.promoted": promoted}
        )


@contextmanager
def _named_errors(span: Span) -> Iterator[Span]:
    """Ends a span; of an exception only the type is recorded, since its text may name a customer."""
    try:
        yield span
    except Exception as error:  # not where a client left, or a signal ended it
        span.set_attribute("error.type", type(error).__name__)
        span.set_status(StatusCode.ERROR)
        raise
    finally:
        span.end()


def _messaging(operation: str, topic: str) -> dict[str, str]:
    return {
        "messaging.system": "kafka",
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
        "messaging.destination.name": topic,
    }


def _context_of(headers: IncomingHeaders) -> Context | None:
    """The trace that headers have, None where they have none or a malformed one."""
    carrier = {name: value.decode() for name, value in trace_headers(headers)}
    return _PROPAGATOR.extract(carrier, Context()) if carrier else None


def _span_context(context: Context | None) -> SpanContext:
    return get_current_span(Context() if context is None else context).get_span_context()


def _headers(span: Span) -> Headers:
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier, set_span_in_context(span, Context()))
    return tuple((name, value.encode()) for name, value in carrier.items())
