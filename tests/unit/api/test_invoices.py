"""Invoices over HTTP, with messages in memory in place of Kafka."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import httpx
import pytest

from state.errors import InvalidEvent
from state.events.wire import Decoder
from stream.api.ingestion import Ingestion, InvoiceBody
from stream.errors import BrokerUnavailable, MessageTooLarge, PublisherUnavailable
from stream.messages import Message
from stream.pipeline.event_headers import trace_headers
from stream.pipeline.memory_publisher import MemoryPublisher
from tests.unit.api.shop import Shop
from tests.unit.stream.harness import invoice

ONE = invoice("581587", "12680", "2011-12-09T12:50:00Z", "22613")
FLAT = {
    "InvoiceNo": "581588",
    "StockCode": "22614",
    "Quantity": 2,
    "InvoiceDate": "12/9/2011 12:50",
    "UnitPrice": 0.85,
    "CustomerID": 12681.0,
}


async def post(shop: Shop, body: Any, **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with shop.client() as client:
        return await client.post(
            "/v1/invoices", content=content, headers={"Content-Type": "application/json"} | headers
        )


async def test_an_invoice_is_published_as_it_was_sent_under_its_customer() -> None:
    shop = Shop()
    raw = (
        b' {"invoice_no" : "1", "customer_id": 12680.0, "invoice_date": "2011-12-09T12:50:00Z", "more": [1e3], '
        b'"lines": [{"stock_code": "A", "quantity": 1, "unit_price": 2.50}]}\n'
    )
    answer = await post(shop, raw)
    assert (answer.status_code, answer.json()) == (202, {"accepted": 1, "anonymous": 0, "excluded_lines": {}})
    assert shop.published.messages == [Message("invoices", b"12680", raw.strip())]


async def test_a_list_may_mix_both_shapes() -> None:
    shop = Shop()
    assert (await post(shop, [ONE, FLAT])).json()["accepted"] == 2
    assert [message.key for message in shop.published.messages] == [b"12680", b"12681"]
    assert [json.loads(message.value or b"") for message in shop.published.messages] == [ONE, FLAT]


async def test_what_does_not_count_is_reported() -> None:
    shop = Shop()
    free = invoice("2", None, "2011-12-09T12:50:00Z", "A", "B")
    free["lines"][0]["unit_price"] = 0
    assert (await post(shop, [free])).json() == {"accepted": 1, "anonymous": 1, "excluded_lines": {"zero_price": 1}}
    assert shop.published.messages[0].key is None


@pytest.mark.parametrize(
    ("change", "field", "rule"),
    [
        (
            {"invoice_no": None},
            "invoice_no",
            "is missing; it must be a string of 1 to 100 characters, no control characters, or an integer",
        ),
        ({"invoice_date": "soon"}, "invoice_date", "cannot be taken; it must be a date with a time"),
        ({"invoice_date": "2031-12-09T12:50:00Z"}, "invoice_date", "is ahead of the clock"),
        ({"lines": []}, "lines", "it must be a list of 1 to 10,000 lines"),
        ({"lines": [{"stock_code": "A", "quantity": 1}]}, "lines[0].unit_price", "is missing; it must be a number"),
        ({"lines": [{"stock_code": "A", "quantity": "1", "unit_price": 1}]}, "lines[0].quantity", "cannot be taken"),
        ({"lines": ["A"]}, "lines[0]", "it must be an object"),
    ],
)
async def test_an_invalid_event_is_400_with_field_and_rule_and_nothing_is_sent(
    change: dict[str, Any], field: str, rule: str
) -> None:
    shop = Shop()
    answer = await post(shop, [ONE, ONE | change])
    problem = answer.json()
    assert (answer.status_code, problem["status"]) == (400, 400)
    assert "1 of 2 events are invalid, and none was sent" in problem["detail"]
    (error,) = problem["errors"]
    assert (error["index"], error["field"]) == (1, field)
    assert rule in error["detail"]
    assert shop.published.messages == []
    alone = (await post(shop, ONE | change)).json()
    assert alone["detail"] == error["detail"]


@pytest.mark.parametrize("body", [b"", b"[]", b"[", b"nonsense", b"[1]", b"1", b"\xff", b"{}", b"[" * 100_000, b'"x"'])
async def test_what_is_no_invoice_is_400(body: bytes) -> None:
    shop = Shop()
    answer = await post(shop, body)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"].endswith(".")
    assert shop.published.messages == []


async def test_the_reason_is_that_of_a_worker() -> None:
    shop = Shop()
    wrong = ONE | {"customer_id": ["12680"]}
    with pytest.raises(InvalidEvent) as caught:
        Decoder(shop.settings).decode(json.dumps(wrong).encode(), now=int(shop.clock))
    assert (await post(shop, wrong)).json()["detail"] == str(caught.value)


async def test_only_json_is_taken() -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        assert (await post(Shop(), ONE, **{"Content-Type": kind})).status_code == 415


async def test_a_body_that_is_too_large_is_refused_with_or_without_its_length() -> None:
    shop = Shop(api_max_body_bytes="1000")

    async def stream() -> Any:
        for _ in range(3):
            yield b" " * 500

    async with shop.client() as client:
        named = await client.post("/v1/invoices", content=b" " * 1001, headers={"Content-Type": "application/json"})
        unnamed = await client.post("/v1/invoices", content=stream(), headers={"Content-Type": "application/json"})
    assert (named.status_code, unnamed.status_code) == (413, 413)
    assert "1,000 bytes" in unnamed.json()["detail"]


class FailingPublisher(MemoryPublisher):
    """Raises an error made from the messages."""

    def __init__(self, fail: Any) -> None:
        super().__init__()
        self.fail = fail

    def publish(self, messages: Sequence[Message]) -> None:
        raise self.fail(messages)


async def test_without_kafka_the_answer_is_503_with_the_advice_to_send_again() -> None:
    shop = Shop()
    shop.publisher = FailingPublisher(lambda messages: PublisherUnavailable("Local: timed out", messages))
    answer = await post(shop, ONE)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert "Send the same again; it counts once." in answer.json()["detail"]


def test_each_request_of_a_batch_gets_its_own_outcome() -> None:
    shop = Shop()
    bodies = [InvoiceBody(json.dumps(ONE | {"invoice_no": str(number)}).encode()) for number in range(3)]
    shop.publisher = FailingPublisher(lambda messages: PublisherUnavailable("timed out", messages[1:2]))
    answers = shop.ingestion().answer([*bodies, InvoiceBody(b"nonsense")])
    assert [getattr(answer, "status", 202) for answer in answers] == [202, 503, 202, 400]
    shop.publisher = FailingPublisher(lambda messages: MessageTooLarge(messages[:1]))
    answers = shop.ingestion().answer(bodies)
    assert [getattr(answer, "status", 202) for answer in answers] == [413, 202, 202]


def test_kafka_is_connected_once_it_is_there() -> None:
    shop = Shop()
    ingestion = shop.ingestion()
    away = True

    def connect() -> MemoryPublisher:
        if away:
            raise BrokerUnavailable("Kafka at kafka:9092 cannot be used: refused")
        return shop.published

    ingestion._connect = connect
    body = InvoiceBody(json.dumps(ONE).encode())
    (answer,) = ingestion.answer([body])
    assert getattr(answer, "status", None) == 503
    away = False
    (answer,) = ingestion.answer([body])
    assert getattr(answer, "accepted", None) == 1
    assert len(shop.published.messages) == 1


async def test_a_body_that_comes_byte_by_byte_has_a_limit_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream.api.gate.WHOLE_BODY_TIMEOUT_S", 0.3)

    async def stream() -> Any:
        while True:
            yield b" "
            await asyncio.sleep(0.01)

    async with Shop().client() as client:
        answer = await client.post("/v1/invoices", content=stream(), headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["type"].rpartition("#")[2]) == (408, "too-slow")


async def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream.api.gate.BODY_TIMEOUT_S", 0.05)

    async def stream() -> Any:
        yield b"["
        await asyncio.sleep(30)

    async with Shop().client() as client:
        answer = await client.post("/v1/invoices", content=stream(), headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["type"].rpartition("#")[2]) == (408, "too-slow")


def test_a_list_is_sent_whole_or_not_at_all_whatever_becomes_of_the_others() -> None:
    shop = Shop()
    single, first, second = [
        InvoiceBody(json.dumps([ONE | {"invoice_no": f"{name}{n}"} for n in range(count)]).encode())
        for name, count in (("s", 1), ("a", 2), ("b", 2))
    ]

    class Lists(MemoryPublisher):
        def publish(self, messages: Sequence[Message]) -> None:
            if large := [message for message in messages if b'"a1"' in (message.value or b"")]:
                raise MessageTooLarge(large)
            super().publish(messages)

    lists = Lists()
    answers = Ingestion(shop.settings, lambda: shop.published, lambda: lists, lambda: shop.clock).answer(
        [single, first, second]
    )
    assert [getattr(answer, "status", 202) for answer in answers] == [202, 413, 202]
    assert [json.loads(message.value or b"")["invoice_no"] for message in shop.published.messages] == ["s0"]
    assert [json.loads(message.value or b"")["invoice_no"] for message in lists.messages] == ["b0", "b1"]
    lists.publish = FailingPublisher(lambda sent: PublisherUnavailable("timed out", sent)).publish  # type: ignore[method-assign]
    (answer,) = Ingestion(shop.settings, lambda: shop.published, lambda: lists, lambda: shop.clock).answer([second])
    assert getattr(answer, "status", None) == 503
    assert "All of the list is sent or nothing" in str(answer)


PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


async def test_the_trace_of_a_request_goes_on_into_its_records() -> None:
    shop = Shop()
    await post(shop, [ONE, FLAT], traceparent=PARENT, tracestate="till=3")
    assert [message.headers for message in shop.published.messages] == [
        (("traceparent", PARENT.encode()), ("tracestate", b"till=3"))
    ] * 2


@pytest.mark.parametrize(
    "malformed", ["", "00", PARENT.upper(), PARENT.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32)]
)
async def test_a_malformed_trace_is_replaced_by_a_new_one(malformed: str) -> None:
    shop = Shop()
    await post(shop, ONE, traceparent=malformed, tracestate="till=3")
    await post(shop, ONE, traceparent=malformed)
    (one,), (other,) = (message.headers for message in shop.published.messages)
    assert trace_headers((one,)) == (one,)
    assert one[1][3:35] not in (PARENT.encode()[3:35], other[1][3:35])
