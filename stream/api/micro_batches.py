"""A thread that answers the waiting requests of an event loop, all of them as one micro-batch.

One model call for ten customers takes little more time than one for one customer, and one pipeline to Redis as long as
one read. So under load the batches grow, and no request waits for a batch to fill up.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Generic, NamedTuple, TypeVar

from stream.api.problems import overloaded, took_too_long

logger = logging.getLogger(__name__)

Q = TypeVar("Q")
R = TypeVar("R")

STOP_TIMEOUT_S = 5.0


class _Waiting(NamedTuple, Generic[Q, R]):
    request: Q
    future: "asyncio.Future[R]"
    loop: asyncio.AbstractEventLoop


class MicroBatcher(Generic[Q, R]):
    """Runs ``answer`` in one thread, with all requests that wait at a time.

    Args:
        name: Of the thread.
        answer: Returns one result or error for each request, in order. What it raises is the error of all of them.
        max_batch: Requests in a batch at most.
        max_waiting: Requests that may wait; more are refused at once, which is kinder than a late answer.
        timeout_s: How long a request waits for its answer.
    """

    def __init__(
        self,
        name: str,
        answer: Callable[[Sequence[Q]], Sequence[R | Exception]],
        *,
        max_batch: int,
        max_waiting: int = 1_000,
        timeout_s: float = 3.0,
    ) -> None:
        self._answer = answer
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._timeout_s = timeout_s
        self._queue: SimpleQueue[_Waiting[Q, R] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Answer what waits, then end the thread."""
        self._queue.put(None)
        self._thread.join(STOP_TIMEOUT_S)

    async def ask(self, request: Q) -> R:
        """The answer to a request.

        Raises:
            Problem: Too many requests wait, or the answer takes too long.
            Exception: The error that ``answer`` returned or raised for the request.
        """
        if self._queue.qsize() >= self._max_waiting:
            raise overloaded()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[R] = loop.create_future()
        self._queue.put(_Waiting(request, future, loop))
        try:
            async with asyncio.timeout(self._timeout_s):
                return await future
        except TimeoutError:
            raise took_too_long(self._timeout_s) from None

    def _run(self) -> None:
        while (batch := self._next()) is not None:
            waiting = [each for each in batch if not each.future.cancelled()]  # the client went away
            if not waiting:
                continue
            results: Sequence[R | Exception]
            try:
                results = self._answer([each.request for each in waiting])
            except Exception as error:  # the thread must live as long as the server
                results = [error] * len(waiting)
            if len(results) != len(waiting):
                results = [RuntimeError(f"{len(results)} answers to {len(waiting)} requests")] * len(waiting)
            loop = waiting[0].loop
            try:
                loop.call_soon_threadsafe(_deliver, waiting, results)
            except RuntimeError:  # the loop is closed: the server has ended
                return

    def _next(self) -> list[_Waiting[Q, R]] | None:
        """The waiting requests, at least one; None at the end."""
        first = self._queue.get()
        if first is None:
            return None
        batch = [first]
        while len(batch) < self._max_batch:
            try:
                each = self._queue.get_nowait()
            except Empty:
                break
            if each is None:
                self._queue.put(None)  # for the next call
                break
            batch.append(each)
        return batch


def _deliver(waiting: Sequence[_Waiting[Q, R]], results: Sequence[R | Exception]) -> None:
    for each, result in zip(waiting, results, strict=True):
        if each.future.done():
            continue
        if isinstance(result, Exception):
            each.future.set_exception(result)
        else:
            each.future.set_result(result)
