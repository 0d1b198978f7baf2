import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from faust.types import ConsumerMessage

from state.settings import load_settings
from stream.errors import Stopped
from stream.kafka.agent import MAX_BATCH_BYTES, run
from stream.kafka.fetch_buffer import FetchBuffer
from stream.messages import Incoming


class Consumer:
    """Notes what was acknowledged."""

    def __init__(self) -> None:
        self.acknowledged: list[int] = []

    def finished(self, messages: Sequence[ConsumerMessage]) -> None:
        self.acknowledged += [message.offset for message in messages]


class App:
    """What an agent needs of an application."""

    def __init__(self) -> None:
        self.fetch_buffer = FetchBuffer()
        self.at_rest = asyncio.Event()
        self.at_rest.set()
        self.buffered_consumer = Consumer()


class Work:
    """A processor that does what it is told for each batch."""

    def __init__(self, *acts: Callable[[], Any]) -> None:
        self.acts = list(acts)
        self.batches: list[list[Incoming]] = []
        self.threads: set[str] = set()

    def process(self, batch: list[Incoming]) -> None:
        self.threads.add(threading.current_thread().name)
        self.batches.append(batch)
        self.acts.pop(0)()


def fail(error: BaseException) -> Callable[[], Any]:
    def act() -> None:
        raise error

    return act


def put(app: App, *offsets: int, size: int = 3) -> None:
    app.fetch_buffer.put([ConsumerMessage("t", 2, offset, 5.5, 0, None, b"k", b"x" * size, None) for offset in offsets])


async def go(app: App, work: Work, died: list[bool], **settings: str) -> None:
    environment = {"NEXTBASKET_BATCH_WAIT_MS": "0"} | {f"NEXTBASKET_{k.upper()}": v for k, v in settings.items()}
    await run(app, load_settings(environment), work.process, lambda: died.append(True))  # type: ignore[arg-type]


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


async def test_a_batch_is_acknowledged_when_it_is_done_and_not_before() -> None:
    app, done, died = App(), threading.Event(), list[bool]()
    work = Work(done.wait, lambda: None)
    running = asyncio.ensure_future(go(app, work, died))
    put(app, 4, 5)
    await until(lambda: bool(work.batches))
    put(app, 6)
    # The loop is free while the processor's thread works.
    for _ in range(100):
        await asyncio.sleep(0)
    assert app.buffered_consumer.acknowledged == []
    assert not app.at_rest.is_set()
    done.set()
    await until(lambda: app.buffered_consumer.acknowledged == [4, 5, 6])
    app.fetch_buffer.close()
    await running
    assert app.at_rest.is_set()
    assert work.batches[0] == [Incoming(b"xxx", b"k", "t", 2, offset, 5.5) for offset in (4, 5)]
    assert len(work.threads) == 1
    assert died == []


async def test_a_batch_abandoned_at_the_stop_is_not_acknowledged() -> None:
    app, died = App(), list[bool]()
    put(app, 1, 2)
    await go(app, Work(fail(Stopped("now"))), died)
    assert app.buffered_consumer.acknowledged == []
    assert app.at_rest.is_set()
    assert died == []


@pytest.mark.parametrize("error", [KeyError("bug"), MemoryError(), SystemExit(3)])
async def test_an_error_nobody_expected_ends_the_process_without_acknowledging(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    app, died = App(), list[bool]()
    put(app, 1)
    running = asyncio.ensure_future(go(app, Work(lambda: None, fail(error)), died))
    await until(lambda: app.buffered_consumer.acknowledged == [1])
    put(app, 2)
    await running
    assert died == [True]
    assert app.buffered_consumer.acknowledged == [1]
    assert "ending without acknowledging" in caplog.text


async def test_batches_are_bounded_in_events_and_in_bytes() -> None:
    app, died = App(), list[bool]()
    work = Work(*[lambda: None] * 5)
    put(app, *range(5))
    running = asyncio.ensure_future(go(app, work, died, batch_max="3"))
    await until(lambda: len(app.buffered_consumer.acknowledged) == 5)
    put(app, 5, 6, 7, size=MAX_BATCH_BYTES // 2)
    await until(lambda: len(app.buffered_consumer.acknowledged) == 8)
    app.fetch_buffer.close()
    await running
    assert [len(batch) for batch in work.batches] == [3, 2, 2, 1]


async def test_cancelling_does_not_wait_for_a_call_that_hangs() -> None:
    app, release, died = App(), threading.Event(), list[bool]()
    work = Work(release.wait)
    put(app, 1)
    running = asyncio.ensure_future(go(app, work, died))
    await until(lambda: bool(work.batches))
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    release.set()
    assert app.buffered_consumer.acknowledged == []
    assert died == []
