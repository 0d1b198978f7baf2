"""A wrong clock stops the worker in place of turning good events into dead letters, or moving "now" for everybody."""

import threading
import time
from typing import Any

from state.events.dates import to_iso
from state.settings import load_settings
from state.store.memory import MemoryStore
from tests.unit.stream.harness import CLOCK, ProcessorHarness, invoice

DAY = 86_400


class TimedStore(MemoryStore):
    """A store whose server has a clock."""

    def __init__(self, server: float) -> None:
        super().__init__(load_settings({}))
        self.server = server

    def clock(self) -> float | None:
        return self.server


def batch(first: int, count: int) -> list[dict[str, Any]]:
    return [invoice(f"{n}", f"c{n}", to_iso(int(CLOCK)), "A", "B") for n in range(first, first + count)]


def process_until_waiting(harness: ProcessorHarness, events: list[dict[str, Any]]) -> threading.Thread:
    """Process in a thread; returns once the processor waits for a clock."""
    thread = threading.Thread(target=lambda: harness.process(*events), daemon=True)
    thread.start()
    deadline = time.monotonic() + 10
    while harness.processor.clock_problem() is None:
        assert time.monotonic() < deadline, "it does not wait"
        assert thread.is_alive(), f"it ended with {len(harness.dead_letters())} dead letters"
        time.sleep(0.01)
    return thread


def finish(harness: ProcessorHarness, thread: threading.Thread) -> None:
    thread.join(20)
    assert not thread.is_alive()
    assert harness.processor.clock_problem() is None


def test_good_events_wait_for_a_clock_that_is_three_days_behind_redis() -> None:
    store = TimedStore(CLOCK)
    harness = ProcessorHarness(store=store)
    harness.clock, harness.stamped = CLOCK - 3 * DAY, CLOCK
    thread = process_until_waiting(harness, batch(0, 80))
    assert "259,200 s behind that of Redis" in (harness.processor.clock_problem() or "")
    assert harness.metric("clock_difference_seconds", witness="Redis") == 3 * DAY
    harness.clock = CLOCK
    finish(harness, thread)
    assert harness.dead_letters() == []
    assert len(harness.recommendations()) == 80
    assert harness.metric("outage_seconds_total", service="clock") > 0


def test_good_events_wait_where_redis_has_the_same_wrong_clock() -> None:
    store = TimedStore(CLOCK - 3 * DAY)
    harness = ProcessorHarness(store=store)
    harness.clock, harness.stamped = CLOCK - 3 * DAY, CLOCK
    thread = process_until_waiting(harness, batch(0, 80))
    assert "most records were stamped 259,200 s ahead" in (harness.processor.clock_problem() or "")
    harness.clock = store.server = CLOCK
    finish(harness, thread)
    assert harness.dead_letters() == []
    assert harness.metric("events_total") == 80


def test_an_event_of_the_future_is_a_dead_letter_and_nothing_waits() -> None:
    harness = ProcessorHarness(store=TimedStore(CLOCK))
    harness.process(*batch(0, 20))
    harness.stamped = CLOCK + 3_650 * DAY
    harness.process(invoice("x", "c", "2021-12-09T12:50:00Z", "A"))
    assert len(harness.dead_letters()) == 1
    harness.stamped = None
    harness.process(*batch(20, 20))
    assert len(harness.recommendations()) == 40


def test_a_clock_that_is_ten_years_ahead_of_redis_accepts_nothing() -> None:
    store = TimedStore(CLOCK)
    harness = ProcessorHarness(store=store)
    harness.clock, harness.stamped = CLOCK + 3_650 * DAY, CLOCK
    thread = process_until_waiting(harness, [invoice("x", "c", "2021-12-01T12:50:00Z", "A")])
    harness.clock = CLOCK
    finish(harness, thread)
    assert store.now() is None
    assert len(harness.dead_letters()) == 1


def test_now_is_not_moved_beyond_the_record_of_an_event_where_all_clocks_are_wrong() -> None:
    store = TimedStore(CLOCK + 3_650 * DAY)
    harness = ProcessorHarness(store=store)
    harness.clock, harness.stamped = CLOCK + 3_650 * DAY, CLOCK
    harness.process(*batch(0, 3), invoice("x", "c", "2021-12-01T12:50:00Z", "A"))
    assert store.now() == int(CLOCK)
    (letter,) = harness.dead_letters()
    assert "is ahead of the clock that stamped its record" in dict(letter.headers)["reason"].decode()


def test_a_producer_with_a_fast_clock_delays_nothing() -> None:
    harness = ProcessorHarness(store=TimedStore(CLOCK))
    harness.stamped = CLOCK + 1_800
    harness.process(*batch(0, 10))
    assert len(harness.recommendations()) == 10


def test_no_clock_is_compared_where_the_setting_is_0() -> None:
    harness = ProcessorHarness(store=TimedStore(CLOCK), max_clock_difference_seconds="0")
    harness.clock = CLOCK - 3 * DAY
    harness.process(*batch(0, 2))
    assert len(harness.dead_letters()) == 2
