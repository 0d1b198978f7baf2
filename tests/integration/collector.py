"""A collector of traces: takes OTLP over HTTP, and decodes it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Received(NamedTuple):
    """A span, and the ``service.name`` of the process that recorded it."""

    service: str
    span: Span

    def attribute(self, name: str) -> str | int | bool | None:
        """The value of an attribute, None where it has none."""
        for each in self.span.attributes:
            if each.key == name:
                kind = each.value.WhichOneof("value")
                value: str | int | bool = getattr(each.value, kind or "string_value")
                return value
        return None


class Collector:
    """What arrived so far: the bodies of the requests, and the spans in them."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.bodies: list[bytes] = []

    @property
    def spans(self) -> list[Received]:
        """All spans, in the order in which they arrived."""
        found: list[Received] = []
        for body in self.bodies:
            for of_process in ExportTraceServiceRequest.FromString(body).resource_spans:
                names = {each.key: each.value.string_value for each in of_process.resource.attributes}
                found += [
                    Received(names["service.name"], span) for scope in of_process.scope_spans for span in scope.spans
                ]
        return found


@contextmanager
def collector() -> Iterator[Collector]:
    """Run a collector on a free port of the loopback interface."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            assert (self.path, self.headers["Content-Type"]) == ("/v1/traces", "application/x-protobuf")
            collected.bodies.append(body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collected = Collector(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield collected
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
