"""Two workers have events of one customer, because they come under two keys or partitions move between them."""

import json
from collections.abc import Callable, Sequence
from typing import Any

from state.events.invoice import Invoice
from state.events.wire import Decoder
from state.store.memory import MemoryStore
from stream.messages import Message
from stream.pipeline.memory_publisher import MemoryPublisher
from tests.unit.stream.harness import ProcessorHarness, invoice

DAY = "2011-12-09T12:00:00Z"


class Interrupted(MemoryPublisher):
    """Does something else before it sends the first recommendations."""

    def __init__(self, before: Callable[[], None]) -> None:
        super().__init__()
        self._before: list[Callable[[], None]] = [before]

    def publish(self, messages: Sequence[Message]) -> None:
        while self._before:
            self._before.pop()()
        super().publish(messages)


def codes(recommendation: dict[str, Any]) -> list[str]:
    return [item["stock_code"] for item in recommendation["items"]]


def test_a_list_is_sent_though_it_is_the_last_one_while_another_worker_sends_a_different_one() -> None:
    """Otherwise the topic would end with the other worker's list, which is not that of the newest history."""
    bought = [invoice("2", "c", DAY, "B"), invoice("3", "c", DAY, "B")]
    returned = [invoice("r2", "c", DAY, "B", quantity=-1), invoice("r3", "c", DAY, "B", quantity=-1)]
    store = MemoryStore(ProcessorHarness().settings)
    second = ProcessorHarness(store=store)
    second.process(invoice("1", "c", DAY, "A"), invoice("9", "d", DAY, "B"))
    publisher = Interrupted(lambda: second.process(*returned))
    first = ProcessorHarness(store=store, publisher=publisher)
    first.process(*bought)
    sent = [json.loads(one.value or b"") for one in publisher.messages if one.topic.endswith("recommendations")]
    (others,) = [one for one in sent if one["customer_id"] == "c"]
    newest = [one for one in second.recommendations() if one["customer_id"] == "c"]
    assert codes(newest[0]) == ["A", "B"] != codes(others)
    assert len(newest) == 2
    assert codes(newest[1]) == codes(newest[0])
    stored = store.recommendation("c")
    assert stored is not None
    assert stored.revision == newest[1]["revision"] > others["revision"]


def test_a_list_is_sent_again_where_a_worker_ended_between_sending_and_saving_it() -> None:
    store = MemoryStore(ProcessorHarness().settings)
    before = ProcessorHarness(store=store)
    before.process(invoice("1", "c", DAY, "A"), invoice("9", "d", DAY, "B"))
    event = invoice("2", "c", DAY, "A")
    decoded = Decoder(before.settings).decode(json.dumps(event).encode(), now=2_000_000_000)
    assert isinstance(decoded, Invoice)
    store.apply([decoded], clock_ms=5)
    after = ProcessorHarness(store=store)
    after.process(event)
    (again,) = after.recommendations()
    stored = store.recommendation("c")
    assert stored is not None
    assert stored.revision == again["revision"]
