"""Headers of published events: CloudEvents in binary mode, and the trace context that is passed on."""

import pytest

from stream.messages import IncomingHeaders, Message
from stream.pipeline.event_headers import (
    MAX_TRACESTATE_BYTES,
    RECOMMENDATION,
    event_headers,
    event_source,
    score_event_id,
    trace_headers,
)
from tests.unit.stream.harness import ProcessorHarness, invoice

TRACE_ID, PARENT_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE_ID}-{PARENT_ID}-01".encode()
DATE = "2011-12-01T10:00:00Z"


def traced(parent: bytes | None = PARENT, *states: bytes | None) -> IncomingHeaders:
    return (("traceparent", parent), *(("tracestate", state) for state in states))


def headers_of(message: Message) -> dict[str, str]:
    found = {name: value.decode() for name, value in message.headers}
    assert len(found) == len(message.headers), "a header comes twice"
    return found


def test_a_recommendation_is_a_cloud_event_in_binary_mode() -> None:
    harness = ProcessorHarness(namespace="shop1")
    harness.process(invoice("1", "zoë", DATE, "A", "B"))
    (message,) = harness.messages("shop1.recommendations")
    (body,) = harness.recommendations()
    assert headers_of(message) == {
        "ce_specversion": "1.0",
        "ce_id": body["rec_id"],
        "ce_source": "/nextbasket/shop1",
        "ce_type": "io.github.nextbasket.recommendation.v1",
        "ce_time": body["generated_at"],
        "ce_subject": "zoë",
        "content-type": "application/json",
    }


def test_a_score_is_a_cloud_event_with_an_id_of_its_recommendation_invoice_and_revision() -> None:
    harness = ProcessorHarness()
    harness.process(invoice("1", "7", DATE, "A", "B"))
    harness.process(invoice("2", "7", "2011-12-02T10:00:00Z", "A"))
    harness.process(invoice("2", "7", "2011-12-02T10:00:00Z", "B"))
    found = [headers_of(message) for message in harness.messages("recommendation-scores")]
    assert [each["ce_id"] for each in found] == [
        score_event_id(body["rec_id"], body["invoice_no"], body["revision"]) for body in harness.scores()
    ]
    assert len({each["ce_id"] for each in found}) == 2
    assert {each["ce_type"] for each in found} == {"io.github.nextbasket.recommendation-score.v1"}
    assert [each["ce_time"] for each in found] == [body["scored_at"] for body in harness.scores()]


def test_the_ids_of_scores_tell_their_parts_apart() -> None:
    assert len({score_event_id("r", "1", 11), score_event_id("r", "11", 1), score_event_id("r1", "1", 1)}) == 3


@pytest.mark.parametrize("customer", ["", "a\x1bb", "a\x7f", "a\x85", "\ufffe", "\ufdd0", "\U0010ffff", "\U0001fffe"])
def test_a_subject_that_cloud_events_forbids_is_left_out(customer: str) -> None:
    made = dict(event_headers(RECOMMENDATION, "1", source="/nextbasket", time=DATE, customer_id=customer))
    assert "ce_subject" not in made
    assert set(made) == {"ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time", "content-type"}


@pytest.mark.parametrize("customer", ["7", "a b", "Ünïcode", "\U0001f600", "\ufffd"])
def test_any_other_subject_is_the_customer_in_utf_8(customer: str) -> None:
    made = dict(event_headers(RECOMMENDATION, "1", source="/nextbasket", time=DATE, customer_id=customer))
    assert made["ce_subject"] == customer.encode()


def test_the_source_is_a_uri_reference_with_the_namespace() -> None:
    assert event_source("") == "/nextbasket"
    assert event_source("shop-1.eu_A") == "/nextbasket/shop-1.eu_A"


def test_the_trace_of_the_last_invoice_is_on_the_recommendation() -> None:
    harness = ProcessorHarness()
    other = f"00-{'1' * 32}-{PARENT_ID}-00".encode()
    records = [
        (invoice("1", "7", DATE, "A"), traced(other)),
        (invoice("2", "7", "2011-12-02T10:00:00Z", "A", "B"), traced(PARENT, b"a=1")),
        (invoice("3", "8", DATE, "A"), ()),
    ]
    harness.processor.process([harness.incoming(event, headers=headers) for event, headers in records])
    found = {message.key: headers_of(message) for message in harness.messages("recommendations")}
    assert found[b"7"]["traceparent"] == PARENT.decode()
    assert found[b"7"]["tracestate"] == "a=1"
    assert not {"traceparent", "tracestate"} & set(found[b"8"])


def test_a_well_formed_trace_context_is_copied() -> None:
    assert trace_headers((("other", b"1"), *traced(PARENT, b"rojo=00f067aa0ba902b7,t@v=1"))) == (
        ("traceparent", PARENT),
        ("tracestate", b"rojo=00f067aa0ba902b7,t@v=1"),
    )
    assert trace_headers(()) == ()
    assert trace_headers((("content-type", b"application/json"), ("tracestate", b"a=1"))) == ()


@pytest.mark.parametrize(
    "parent",
    [
        None,
        b"",
        b"\x00\xff" * 30,
        PARENT.upper(),
        PARENT[:-1],
        PARENT + b"\n",
        PARENT + b"-",
        PARENT + b"-00",
        b" " + PARENT,
        PARENT.replace(b"-", b"_"),
        b"ff" + PARENT[2:],
        b"0g" + PARENT[2:],
        PARENT.replace(TRACE_ID.encode(), b"0" * 32),
        PARENT.replace(PARENT_ID.encode(), b"0" * 16),
        b"01" + PARENT[2:] + b"x",
        PARENT * 100_000,
        "٠٠".encode() + PARENT[2:],
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_malformed_parent_is_dropped_with_its_state(parent: bytes | None) -> None:
    assert trace_headers(traced(parent, b"a=1")) == ()


def test_two_parents_are_dropped() -> None:
    assert trace_headers((*traced(), *traced())) == ()


@pytest.mark.parametrize(("flags", "passed_on"), [(b"01", b"01"), (b"ff", b"01"), (b"fe", b"00")])
@pytest.mark.parametrize("more", [b"", b"-", b"-what \xff\n follows"])
def test_of_a_later_version_the_fields_of_version_00_are_passed_on(flags: bytes, passed_on: bytes, more: bytes) -> None:
    later = b"cc" + PARENT[2:-2] + flags + more
    assert trace_headers(traced(later)) == (("traceparent", PARENT[:-2] + passed_on),)


@pytest.mark.parametrize(
    "states",
    [
        [None],
        [b""],
        [b" ,\t,"],
        [b"a"],
        [b"=1"],
        [b"a="],
        [b"A=1"],
        [b"1a=1"],
        [b"a=1=2"],
        [b"a=\x00"],
        [b"a=\xc3\xa9"],
        [b"a=1\n"],
        [b"a=1,a=2"],
        [b"a=1", b"a=2"],
        [b"a@1=2"],
        [b"a@b@c=2"],
        [b"a" * 257 + b"=1"],
        [b"a=" + b"1" * 257],
        [b",".join(b"k%d=1" % number for number in range(33))],
        [b"a=" + b"1" * 255, b"b=" + b"1" * 255],
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_malformed_or_long_state_is_dropped_alone(states: list[bytes | None]) -> None:
    assert trace_headers(traced(PARENT, *states)) == (("traceparent", PARENT),)


@pytest.mark.parametrize(
    ("states", "passed_on"),
    [
        ([b"a=1 2"], b"a=1 2"),
        ([b" a=1 ,\t, b=2 "], b"a=1,b=2"),
        ([b"a=1", b"b=2"], b"a=1,b=2"),
        ([b"0_-*/a@v*=!~"], b"0_-*/a@v*=!~"),
        ([b"a" * 256 + b"=" + b"1" * 255], b"a" * 256 + b"=" + b"1" * 255),
        ([b",".join(b"k%d=1" % number for number in range(32))], b",".join(b"k%d=1" % number for number in range(32))),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_well_formed_state_is_passed_on(states: list[bytes], passed_on: bytes) -> None:
    assert len(passed_on) <= MAX_TRACESTATE_BYTES
    assert trace_headers(traced(PARENT, *states)) == (("traceparent", PARENT), ("tracestate", passed_on))
