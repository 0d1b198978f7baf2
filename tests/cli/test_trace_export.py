"""When traces are recorded, and what that costs where they are not."""

import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from state.errors import SettingsError
from state.settings import load_settings
from stream.trace_export import recorded_traces, trace_endpoint
from tests.services.process import free_port
from tests.unit.stream.harness import ProcessorHarness, invoice

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    from stream.telemetry import Telemetry

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}
LOADED = """
import sys
import stream.api.server, stream.worker
from state.settings import load_settings
from stream.trace_export import recorded_traces
with recorded_traces("nextbasket-worker", load_settings({})) as tracing:
    print(tracing.is_on, *(name for name in sys.modules if name.startswith(
        ("opentelemetry.sdk.trace", "opentelemetry.exporter", "google.protobuf", "stream.telemetry"))))
"""


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": " "},
        {"OTEL_SERVICE_NAME": "shop"},
        ENDPOINT | {"OTEL_SDK_DISABLED": "true"},
        ENDPOINT | {"OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_traces_are_off_unless_an_endpoint_is_set(environment: dict[str, str]) -> None:
    assert trace_endpoint(environment) is None


def test_the_endpoint_of_traces_counts_before_the_common_one() -> None:
    assert trace_endpoint(ENDPOINT) == "http://collector:4318"
    assert (
        trace_endpoint(ENDPOINT | {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://t/v1/traces"}) == "http://t/v1/traces"
    )


def test_a_protocol_that_is_not_supported_is_refused() -> None:
    assert trace_endpoint(ENDPOINT | {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"})
    with pytest.raises(SettingsError, match="OTEL_EXPORTER_OTLP_PROTOCOL is grpc; only http/protobuf"):
        trace_endpoint(ENDPOINT | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})


def test_where_traces_are_off_nothing_that_records_them_is_loaded() -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    root = Path(__file__).parents[3]
    printed = subprocess.run(
        [sys.executable, "-c", LOADED],
        env=clean | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert printed == "False\n"


def test_a_collector_that_does_not_answer_delays_neither_batches_nor_the_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)  # its complaints are expected
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
    settings = load_settings({})
    began = time.monotonic()
    with recorded_traces("nextbasket-worker", settings) as tracing:
        assert tracing.is_on
        harness = ProcessorHarness(tracing=tracing)
        harness.process(invoice("1", "anna", "2011-12-01T10:00:00Z", "A"), b"no JSON")
    assert time.monotonic() - began < 10
    (message,) = harness.messages("recommendations")
    assert dict(message.headers)["traceparent"].startswith(b"00-")  # of the batch, where the invoice had none
    assert len(harness.dead_letters()) == 1


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple["Telemetry", "InMemorySpanExporter"]]:
    """Telemetry, and the spans that it would send."""
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    from stream import telemetry

    spans = InMemorySpanExporter()
    monkeypatch.setattr(telemetry, "BatchSpanProcessor", lambda _: SimpleSpanProcessor(spans))
    recording = telemetry.Telemetry("nextbasket-worker", load_settings({}))
    yield recording, spans
    recording.close()


def test_a_round_has_its_model_and_an_error_its_type_but_no_text(
    recorded: tuple["Telemetry", "InMemorySpanExporter"],
) -> None:
    telemetry, spans = recorded
    with pytest.raises(ValueError, match="customer 12680"), telemetry.training_round():
        raise ValueError("customer 12680")
    with telemetry.training_round() as ended:
        ended.ended("basket_lstm", "v1", promoted=True)
    failed, good = spans.get_finished_spans()
    assert dict(failed.attributes or {}) == {"error.type": "ValueError"}
    assert (failed.events, failed.status.description, failed.status.is_ok) == ((), None, False)
    assert dict(good.attributes or {}) == {
        "nextbasket.model": "basket_lstm",
        "nextbasket.version": "v1",
        "nextbasket.promoted": True,
    }


def test_a_batch_links_to_the_traces_of_its_records_and_a_message_belongs_to_one(
    recorded: tuple["Telemetry", "InMemorySpanExporter"],
) -> None:
    telemetry, spans = recorded
    harness = ProcessorHarness(tracing=telemetry)
    traces = {"anna": "a" * 32, "ben": "b" * 32, "cleo": "b" * 32, "dora": None, "emil": "malformed"}
    harness.processor.process(
        [
            harness.incoming(
                invoice(name, name, "2011-12-01T10:00:00Z", "A"),
                headers=() if trace is None else (("traceparent", f"00-{trace}-{'c' * 16}-01".encode()),),
            )
            for name, trace in traces.items()
        ]
    )
    (batch,) = [span for span in spans.get_finished_spans() if span.name == "process invoices"]
    assert batch.parent is None
    assert [f"{link.context.trace_id:032x}" for link in batch.links] == ["a" * 32, "b" * 32]
    own = f"{batch.context.trace_id:032x}"
    found = {
        (message.key or b"").decode(): dict(message.headers)["traceparent"].decode().split("-")[1]
        for message in harness.messages("recommendations")
    }
    assert found == {"anna": "a" * 32, "ben": "b" * 32, "cleo": "b" * 32, "dora": own, "emil": own}
