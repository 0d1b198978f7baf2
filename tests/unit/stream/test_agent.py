import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from faust.types import TP, ConsumerMessage

from state.events.invoice import Invoice, Line
from state.settings import load_settings
from stream.errors import Stopped
from stream.kafka.agent import MAX_BATCH_BYTES, Refresh, run
from stream.kafka.fetch_buffer import FetchBuffer
from stream.messages import Incoming
from stream.pipeline.decoded import DecodedEvent
from stream.pipeline.settling import Settling


class StubConsumer:
    """Records the acknowledged offsets."""

    def __init__(self) -> None:
        self.acknowledged: list[int] = []
        self.assigned: set[TP] = set()
        self.unanswered: dict[tuple[str, int], int] = {}

    def assignment(self) -> set[TP]:
        return self.assigned

    def mark_processed(self, messages: Sequence[ConsumerMessage], unanswered: Mapping[tuple[str, int], int]) -> None:
        self.unanswered = dict(unanswered)
        self.acknowledged += [message.offset for message in messages]


class StubApp:
    """The parts of an application that the agent uses."""

    def __init__(self) -> None:
        self.fetch_buffer = FetchBuffer()
        self.idle = asyncio.Event()
        self.idle.set()
        self.buffered_consumer = StubConsumer()


class StubProcessor:
    """Calls the next of the given actions for each batch."""

    def __init__(self, *actions: Callable[[], Any]) -> None:
        self.actions = list(actions)
        self.batches: list[list[Incoming]] = []
        self.threads: set[str] = set()

    def process(self, batch: list[Incoming]) -> None:
        self.threads.add(threading.current_thread().name)
        self.batches.append(batch)
        self.actions.pop(0)()


def fail(error: BaseException) -> Callable[[], Any]:
    def act() -> None:
        raise error

    return act


def put(app: StubApp, *offsets: int, size: int = 3) -> None:
    app.fetch_buffer.put([ConsumerMessage("t", 2, offset, 5.5, 0, None, b"k", b"x" * size, None) for offset in offsets])


async def run_agent(
    app: StubApp,
    processor: "StubProcessor | SettlingProcessor",
    exits: list[BaseException],
    refresh: Refresh | None = None,
    settling: Settling | None = None,
    **settings: str,
) -> None:
    environment = {"NEXTBASKET_BATCH_WAIT_MS": "0"} | {f"NEXTBASKET_{k.upper()}": v for k, v in settings.items()}
    await run(app, load_settings(environment), processor.process, exits.append, refresh, settling)  # type: ignore[arg-type]


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


async def test_a_batch_is_acknowledged_after_it_was_processed() -> None:
    app, done, exits = StubApp(), threading.Event(), list[BaseException]()
    processor = StubProcessor(done.wait, lambda: None)
    running = asyncio.ensure_future(run_agent(app, processor, exits))
    put(app, 4, 5)
    await until(lambda: bool(processor.batches))
    put(app, 6)
    # The event loop is free while the processor's thread works.
    for _ in range(100):
        await asyncio.sleep(0)
    assert app.buffered_consumer.acknowledged == []
    assert not app.idle.is_set()
    done.set()
    await until(lambda: app.buffered_consumer.acknowledged == [4, 5, 6])
    app.fetch_buffer.close()
    await running
    assert app.idle.is_set()
    assert processor.batches[0] == [Incoming(b"xxx", b"k", "t", 2, offset, 5.5) for offset in (4, 5)]
    assert len(processor.threads) == 1
    assert exits == []


async def test_the_headers_of_a_record_are_passed_on_as_they_came() -> None:
    app, exits = StubApp(), list[BaseException]()
    processor = StubProcessor(lambda: None)
    headers: Any = [("traceparent", b"\xff"), ("traceparent", None)]
    app.fetch_buffer.put([ConsumerMessage("t", 2, 4, 5.5, 0, headers, b"k", b"x", None)])
    running = asyncio.ensure_future(run_agent(app, processor, exits))
    await until(lambda: app.buffered_consumer.acknowledged == [4])
    app.fetch_buffer.close()
    await running
    assert processor.batches == [
        [Incoming(b"x", b"k", "t", 2, 4, 5.5, (("traceparent", b"\xff"), ("traceparent", None)))]
    ]


async def test_a_batch_that_is_stopped_is_not_acknowledged() -> None:
    app, exits = StubApp(), list[BaseException]()
    put(app, 1, 2)
    await run_agent(app, StubProcessor(fail(Stopped("now"))), exits)
    assert app.buffered_consumer.acknowledged == []
    assert app.idle.is_set()
    assert exits == []


@pytest.mark.parametrize("error", [KeyError("bug"), MemoryError(), SystemExit(3)])
async def test_an_unexpected_error_exits_the_process_without_acknowledging(error: BaseException) -> None:
    app, exits = StubApp(), list[BaseException]()
    put(app, 1)
    running = asyncio.ensure_future(run_agent(app, StubProcessor(lambda: None, fail(error)), exits))
    await until(lambda: app.buffered_consumer.acknowledged == [1])
    put(app, 2)
    await running
    assert exits == [error]
    assert app.buffered_consumer.acknowledged == [1]


async def test_batches_are_bounded_in_events_and_in_bytes() -> None:
    app, exits = StubApp(), list[BaseException]()
    processor = StubProcessor(*[lambda: None] * 5)
    put(app, *range(5))
    running = asyncio.ensure_future(run_agent(app, processor, exits, batch_max="3"))
    await until(lambda: len(app.buffered_consumer.acknowledged) == 5)
    put(app, 5, 6, 7, size=MAX_BATCH_BYTES // 2)
    await until(lambda: len(app.buffered_consumer.acknowledged) == 8)
    app.fetch_buffer.close()
    await running
    assert [len(batch) for batch in processor.batches] == [3, 2, 2, 1]


async def test_cancelling_does_not_wait_for_a_call_that_hangs() -> None:
    app, release, exits = StubApp(), threading.Event(), list[BaseException]()
    processor = StubProcessor(release.wait)
    put(app, 1)
    running = asyncio.ensure_future(run_agent(app, processor, exits))
    await until(lambda: bool(processor.batches))
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    release.set()
    assert app.buffered_consumer.acknowledged == []
    assert exits == []


async def test_a_refresh_runs_in_the_same_thread_between_batches_and_while_there_is_none() -> None:
    app, exits, calls = StubApp(), list[BaseException](), list[tuple[str, frozenset[int]]]()
    app.buffered_consumer.assigned = {TP("invoices", 3), TP("other", 4)}
    processor = StubProcessor(lambda: calls.append(("batch", frozenset())))

    def refresh(assigned: frozenset[int]) -> float:
        processor.threads.add(threading.current_thread().name)
        calls.append(("refresh", assigned))
        return 0.001 if len(calls) < 3 else 60.0

    running = asyncio.ensure_future(run_agent(app, processor, exits, refresh))
    await until(lambda: len(calls) >= 3)
    put(app, 4)
    await until(lambda: app.buffered_consumer.acknowledged == [4])
    app.fetch_buffer.close()
    await running
    assert calls == [("refresh", frozenset({3}))] * 3 + [("batch", frozenset())]
    assert len(processor.threads) == 1
    assert exits == []


async def test_a_refresh_that_the_end_of_the_worker_interrupts_is_no_failure() -> None:
    app, exits = StubApp(), list[BaseException]()

    def refresh(_: frozenset[int]) -> float:
        app.fetch_buffer.close()
        raise Stopped("now")

    await run_agent(app, StubProcessor(), exits, refresh)
    assert exits == []
    assert app.idle.is_set()


class SettlingProcessor:
    """Lets the customer of every record wait, and notes who is answered."""

    def __init__(self, settling: Settling) -> None:
        self.settling = settling
        self.answered: list[str | None] = []

    def process(self, batch: Sequence[Incoming]) -> None:
        line = Line("a", 1000, 1.0)
        self.settling.add(
            [DecodedEvent(record, Invoice("i", f"customer {record.offset}", 0, (line,))) for record in batch]
        )
        self.answered += [event.invoice.customer_id for event in self.settling.due().events]


async def test_what_waits_for_its_answer_is_not_committed_and_is_answered_without_a_further_event() -> None:
    app, exits = StubApp(), list[BaseException]()
    settling = Settling(0.05)
    processor = SettlingProcessor(settling)
    running = asyncio.ensure_future(run_agent(app, processor, exits, settling=settling))
    put(app, 4, 5)
    await until(lambda: app.buffered_consumer.acknowledged == [4, 5])
    assert app.buffered_consumer.unanswered == {("t", 2): 4}
    await until(lambda: processor.answered == ["customer 4", "customer 5"])
    await until(lambda: app.buffered_consumer.unanswered == {})
    app.fetch_buffer.close()
    await running
    assert exits == []


async def test_whoever_waits_is_answered_before_the_worker_ends() -> None:
    app, exits = StubApp(), list[BaseException]()
    settling = Settling(60.0)
    processor = SettlingProcessor(settling)
    running = asyncio.ensure_future(run_agent(app, processor, exits, settling=settling))
    put(app, 4)
    await until(lambda: app.buffered_consumer.unanswered == {("t", 2): 4})
    app.fetch_buffer.close()
    await running
    assert processor.answered == ["customer 4"]
    assert app.buffered_consumer.unanswered == {}
    assert app.idle.is_set()
