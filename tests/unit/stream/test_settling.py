"""Lines that come apart are applied at once, and answered when no more come."""

from typing import Any

import pytest

from state.domain.identities import Pseudonyms
from state.store.identities import MemoryIdentities
from stream.messages import Incoming
from stream.pipeline.settling import LONGEST, MAX_CUSTOMERS, Settling
from tests.unit.stream.harness import CLOCK, ProcessorHarness, invoice

DATE = "2011-12-09T10:00:00Z"


class Timer:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def timer() -> Timer:
    return Timer()


@pytest.fixture
def harness(timer: Timer) -> ProcessorHarness:
    return ProcessorHarness(settling=Settling(1.0, timer))


def line(number: str, code: str, customer: str = "c") -> dict[str, Any]:
    return invoice(number, customer, DATE, code)


def settling_of(harness: ProcessorHarness) -> Settling:
    found = harness.processor._settling
    assert isinstance(found, Settling)
    return found


def test_twenty_lines_of_an_invoice_are_applied_at_once_and_answered_once(
    harness: ProcessorHarness, timer: Timer
) -> None:
    for number in range(20):
        harness.process(line("1", f"code {number}"))
        timer.now += 0.1
        history = harness.store.history("c")
        assert history is not None
        assert len(history.invoices[0].lines) == number + 1
    assert harness.recommendations() == []
    timer.now += 1.0
    harness.processor.process([])
    [recommendation] = harness.recommendations()
    assert recommendation["trigger"]["offset"] == 19
    [snapshot] = harness.store.snapshots(["c"])
    assert snapshot is not None
    assert snapshot.published == snapshot.revision == recommendation["revision"]
    assert harness.metric("lines_total", fate="known") == 0
    assert harness.metric("latency_seconds_count") == 20
    timer.now += 10.0
    harness.processor.process([])
    assert len(harness.recommendations()) == 1


def test_without_the_setting_every_line_is_answered() -> None:
    harness = ProcessorHarness()
    for number in range(3):
        harness.process(line("1", f"code {number}"))
    assert len(harness.recommendations()) == 3


def test_a_customer_whose_lines_never_end_is_answered_all_the_same(harness: ProcessorHarness, timer: Timer) -> None:
    for number in range(10 * LONGEST):
        harness.process(line("1", f"code {number}"))
        timer.now += 0.25
    # Most lists are equal to the one before, and are not sent again.
    assert len(harness.scorer.calls) == 10 * LONGEST * 0.25 // LONGEST


def test_a_whole_invoice_is_answered_at_once_with_the_lines_that_waited(
    harness: ProcessorHarness, timer: Timer
) -> None:
    harness.process(line("1", "a"), line("2", "b", "other"))
    harness.process(invoice("3", "c", DATE, "a", "b"))
    assert [each["customer_id"] for each in harness.recommendations()] == ["c"]
    assert settling_of(harness).first_offsets() == {("invoices", 0): 1}
    timer.now += 1.0
    harness.processor.process([])
    assert [each["customer_id"] for each in harness.recommendations()] == ["c", "other"]
    assert settling_of(harness).first_offsets() == {}


def test_lines_that_are_delivered_again_after_a_crash_are_answered(harness: ProcessorHarness, timer: Timer) -> None:
    """The offsets of waiting lines are not committed: another worker gets the same lines again."""
    harness.process(line("1", "a"), line("1", "b"))
    other = ProcessorHarness(store=harness.store, settling=Settling(1.0, timer))
    other.process(line("1", "a"), line("1", "b"))
    timer.now += 1.0
    other.processor.process([])
    [snapshot] = harness.store.snapshots(["c"])
    assert snapshot is not None
    assert [each["revision"] for each in other.recommendations()] == [snapshot.revision]
    assert snapshot.published == snapshot.revision


def test_a_customer_who_is_erased_while_waiting_gets_no_recommendation(timer: Timer) -> None:
    harness = ProcessorHarness(settling=Settling(1.0, timer), identities=MemoryIdentities(Pseudonyms("k" * 32)))
    harness.process(line("1", "a"), line("1", "b"))
    harness.process({"type": "customer.erased", "version": 1, "customer_id": "c"})
    timer.now += 1.0
    harness.processor.process([])
    topic = harness.settings.topics.recommendations
    assert [message.value for message in harness.messages(topic) if message.value is not None] == []
    assert harness.store.history("c") is None
    assert settling_of(harness).first_offsets() == {}


def test_nobody_waits_once_the_worker_ends(harness: ProcessorHarness) -> None:
    harness.process(line("1", "a"))
    settling_of(harness).end()
    harness.process(line("1", "b", "other"))
    assert sorted(each["customer_id"] for each in harness.recommendations()) == ["c", "other"]


def test_the_number_of_waiting_customers_is_bounded(harness: ProcessorHarness) -> None:
    harness.process(*[line("1", "a", f"customer {number}") for number in range(MAX_CUSTOMERS + 3)])
    assert [each["customer_id"] for each in harness.recommendations()] == [f"customer {each}" for each in range(3)]


def test_the_first_offset_of_every_partition_is_reported(timer: Timer, harness: ProcessorHarness) -> None:
    for partition, offset in ((1, 7), (0, 9), (1, 3), (0, 12)):
        value = harness.incoming(line(f"{partition}", f"{offset}", f"customer {offset}")).value
        harness.processor.process([Incoming(value, b"k", "invoices", partition, offset, CLOCK)])
    assert settling_of(harness).first_offsets() == {("invoices", 1): 3, ("invoices", 0): 9}
    assert settling_of(harness).next_in() == 1.0
