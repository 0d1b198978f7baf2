"""Traces from a request over the API, Kafka and a worker to the recommendation, as a collector gets them."""

from pathlib import Path

import msgspec

from state.settings import Settings
from tests.integration.api_server import api_server
from tests.integration.collector import Collector, collector
from tests.integration.topic import read_topic
from tests.integration.workers import Worker
from tests.services.choice import Service
from tests.services.group import Group, wait_until
from tests.unit.stream.harness import invoice

LIMIT_S = 60.0
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"
CUSTOMER, CODE, INVOICE = "zoe.personal@example.com", "PRIVATE-PILLS", "5815879911"


def test_a_trace_goes_from_a_request_to_the_recommendation(
    environment: dict[str, str], settings: Settings, kafka: Service, tmp_path: Path
) -> None:
    with collector() as collected:
        variables = environment | {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collected.url,
            "OTEL_BSP_SCHEDULE_DELAY": "200",
        }
        worker = Worker(variables, tmp_path / "worker.log")
        group = Group(kafka.address, settings.group, settings.topics.invoices)
        try:
            with api_server(variables, tmp_path / "api.log") as client:
                wait_until(lambda: client.get("/readyz").status_code == 200, "the API is ready", LIMIT_S)
                headers = {"traceparent": f"00-{TRACE}-{CALLER}-01", "tracestate": "till=3"}
                event = invoice(INVOICE, CUSTOMER, "2011-12-09T12:10:00Z", CODE)
                assert client.post("/v1/invoices", json=event, headers=headers).status_code == 202
                assert client.post("/v1/invoices", content=b"no JSON " + CODE.encode()).status_code == 415
                path = f"/v1/customers/{CUSTOMER}/recommendations"
                answer = client.get(path, params={"exclude": CODE})
                assert answer.status_code == 200, answer.text
                worker.start()
                wait_until(lambda: group.done() == 1, "the invoice is processed", LIMIT_S)
            assert worker.stop() == 0
        finally:
            worker.end()
            group.close()
        check_spans(collected, settings, kafka)
    for body in collected.bodies:
        for private in (CUSTOMER, CODE, INVOICE, "example.com"):
            assert private.encode() not in body, private


def check_spans(collected: Collector, settings: Settings, kafka: Service) -> None:
    topics = settings.topics
    refused = [span for span in collected.spans if span.attribute("http.response.status_code") == 415]
    spans = {span.span.name: span for span in collected.spans if span not in refused}
    request, process = spans["POST /v1/invoices"], spans[f"process {topics.invoices}"]
    create = spans[f"create {topics.recommendations}"]
    assert {one.service for one in collected.spans} == {"nextbasket-api", "nextbasket-worker"}
    of_trace = [one for one in collected.spans if one.span.trace_id.hex() == TRACE]
    assert {one.span.span_id for one in (request, process, create)} <= {one.span.span_id for one in of_trace}
    assert request.span.parent_span_id.hex() == CALLER
    # The record has the request's span, the worker's spans lead back to it, the recommendation has the last of them.
    (record,) = read_topic(kafka.address, topics.invoices)
    assert headers_of(record) == (f"00-{TRACE}-{request.span.span_id.hex()}-01", "till=3")
    assert process.span.parent_span_id == create.span.parent_span_id == request.span.span_id
    assert [link.span_id for link in process.span.links] == [request.span.span_id]
    assert [link.span_id for link in create.span.links] == [process.span.span_id]
    (recommendation,) = read_topic(kafka.address, topics.recommendations)
    assert msgspec.json.decode(recommendation.value())["customer_id"] == CUSTOMER
    assert headers_of(recommendation) == (f"00-{TRACE}-{create.span.span_id.hex()}-01", "till=3")

    stages = [spans[name] for name in ("decode", "apply", "answer", "publish", "confirm")]
    assert {stage.span.parent_span_id for stage in stages} == {process.span.span_id}
    assert spans["predict"].span.parent_span_id == spans["answer"].span.span_id
    times = [(stage.span.start_time_unix_nano, stage.span.end_time_unix_nano) for stage in stages]
    assert times == sorted(times)
    assert (process.span.kind, create.span.kind, request.span.kind) == (
        process.span.SPAN_KIND_CONSUMER,
        create.span.SPAN_KIND_PRODUCER,
        request.span.SPAN_KIND_SERVER,
    )
    assert process.attribute("messaging.batch.message_count") == 1
    assert process.attribute("nextbasket.recommendations") == 1
    assert (request.attribute("http.response.status_code"), request.attribute("http.route")) == (202, "/v1/invoices")
    requests = [
        span for span in collected.spans if span.service == "nextbasket-api" and span.span.name != "GET /readyz"
    ]
    codes = [span.attribute("http.response.status_code") for span in requests]
    assert sorted(map(str, codes)) == ["200", "202", "415"]
    assert "GET /v1/customers/{customer_id:id}/recommendations" in spans


def headers_of(message: object) -> tuple[str, str]:
    """``traceparent`` and ``tracestate`` of a record."""
    headers = dict(message.headers())  # type: ignore[attr-defined]
    return headers["traceparent"].decode(), headers["tracestate"].decode()
