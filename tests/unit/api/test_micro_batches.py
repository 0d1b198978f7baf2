"""Waiting requests are answered together, each with its own result or error."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from stream.api.micro_batches import MicroBatcher
from stream.api.problems import Problem


class Doubler:
    """Doubles numbers, and can be held; negative ones are errors, 13 breaks the whole batch."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.entered = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()

    def answer(self, numbers: Sequence[int]) -> list[int | Exception]:
        self.batches.append(list(numbers))
        self.entered.set()
        assert self.go_on.wait(10)
        if 13 in numbers:
            raise KeyError(13)
        if 14 in numbers:
            return []
        return [ValueError(number) if number < 0 else 2 * number for number in numbers]


@contextmanager
def running(doubler: Doubler, *, max_batch: int = 8, max_waiting: int = 100) -> Iterator[MicroBatcher[int, int]]:
    batcher: MicroBatcher[int, int] = MicroBatcher(
        "test", doubler.answer, max_batch=max_batch, max_waiting=max_waiting, timeout_s=5.0
    )
    batcher.start()
    try:
        yield batcher
    finally:
        doubler.go_on.set()
        batcher.stop()


async def test_requests_that_wait_are_one_batch_of_a_bounded_size() -> None:
    doubler = Doubler()
    doubler.go_on.clear()
    with running(doubler, max_batch=3) as batcher:
        first = asyncio.create_task(batcher.ask(1))
        await asyncio.to_thread(doubler.entered.wait, 10)
        others = [asyncio.create_task(batcher.ask(number)) for number in range(2, 7)]
        await asyncio.sleep(0)
        doubler.go_on.set()
        assert await asyncio.gather(first, *others) == [2, 4, 6, 8, 10, 12]
    assert doubler.batches == [[1], [2, 3, 4], [5, 6]]


async def test_an_error_is_that_of_its_request_alone_and_a_raised_one_that_of_the_batch() -> None:
    with running(Doubler()) as batcher:
        found = await asyncio.gather(batcher.ask(1), batcher.ask(-1), return_exceptions=True)
        assert found[0] == 2
        assert isinstance(found[1], ValueError)
        with pytest.raises(KeyError):
            await batcher.ask(13)
        with pytest.raises(RuntimeError, match="0 answers to 1 requests"):
            await batcher.ask(14)
        assert await batcher.ask(3) == 6  # the thread lives


async def test_too_many_waiting_requests_are_refused_at_once_and_late_ones_after_a_time() -> None:
    doubler = Doubler()
    doubler.go_on.clear()
    with running(doubler, max_waiting=2) as batcher:
        held = asyncio.create_task(batcher.ask(1))
        await asyncio.to_thread(doubler.entered.wait, 10)
        waiting = [asyncio.create_task(batcher.ask(number)) for number in (2, 3)]
        await asyncio.sleep(0)
        with pytest.raises(Problem) as refused:
            await batcher.ask(4)
        assert (refused.value.status, refused.value.headers) == (503, {"Retry-After": "1"})
        batcher._timeout_s, batcher._max_waiting = 0.01, 100
        with pytest.raises(Problem, match="no answer within"):
            await batcher.ask(5)
        doubler.go_on.set()
        assert await asyncio.gather(held, *waiting) == [2, 4, 6]


async def test_a_request_whose_client_left_is_not_answered() -> None:
    doubler = Doubler()
    doubler.go_on.clear()
    with running(doubler) as batcher:
        held = asyncio.create_task(batcher.ask(1))
        await asyncio.to_thread(doubler.entered.wait, 10)
        gone = asyncio.create_task(batcher.ask(2))
        last = asyncio.create_task(batcher.ask(3))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0)
        doubler.go_on.set()
        assert [await held, await last] == [2, 6]
    assert doubler.batches == [[1], [3]]
