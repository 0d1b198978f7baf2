"""A bounded buffer between the fetches of the consumer and the batches of the agent."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from faust.types import ConsumerMessage

OnStage = Callable[[str, float, int], None]
"""Called with a stage, the seconds that it took the events of a batch on average, and their number."""


class FetchBuffer:
    """Messages that were fetched and are not in a batch yet; bounded in number and bytes. Used on one event loop."""

    def __init__(self, *, max_messages: int = 16_384, max_bytes: int = 32 << 20) -> None:
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._waiting: deque[ConsumerMessage] = deque()
        self._oldest_arrival = 0.0
        self._bytes = 0
        self._closed = False
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._wanted = asyncio.Event()
        self.on_stage: OnStage = lambda stage, seconds, events: None
        """Called with the stages ``fetch`` and ``wait`` of each batch."""

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, messages: Iterable[ConsumerMessage]) -> None:
        """Append messages in order. The bounds are not checked: await ``wait_for_room`` before."""
        if not self._waiting:
            self._oldest_arrival = asyncio.get_running_loop().time()
        now = time.time()
        for message in messages:
            message.time_in = now
            self._waiting.append(message)
            self._bytes += record_size(message)
        self._changed.set()
        if len(self._waiting) >= self._max_messages or self._bytes >= self._max_bytes:
            self._room.clear()

    async def wait_for_room(self) -> None:
        """Wait while the buffer is full."""
        await self._room.wait()

    async def wait_until_wanted(self, most_s: float) -> None:
        """Wait until ``next_batch`` waits, but no longer than so many seconds."""
        if not self._wanted.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(most_s):
                    await self._wanted.wait()

    async def next_batch(self, max_messages: int, *, max_wait_s: float, max_bytes: int) -> list[ConsumerMessage]:
        """The next 1 to ``max_messages`` messages, [] once closed; waits for the first, then for a full batch.

        No message waits longer than ``max_wait_s``, counted from its arrival in the buffer. A batch ends with the
        message that takes it over ``max_bytes``.
        """
        batch: list[ConsumerMessage] = []
        self._wanted.set()
        try:
            while not batch and not self._closed:  # a rebalance may clear the buffer while a batch fills
                await self._fill(max_messages, max_wait_s, max_bytes)
                batch = self._take(max_messages, max_bytes)
        finally:
            self._wanted.clear()
        self._report(batch)
        return batch

    def _report(self, batch: Sequence[ConsumerMessage]) -> None:
        """Report how long the messages took to get here from their timestamps, and how long they waited here."""
        now = time.time()
        stamped = [one for one in batch if one.timestamp > 0 and one.time_in is not None]
        if stamped:
            arrived = sum(one.time_in or 0.0 for one in stamped)
            sent = sum(one.timestamp for one in stamped)
            self.on_stage("fetch", (arrived - sent) / len(stamped), len(stamped))
            self.on_stage("wait", now - arrived / len(stamped), len(stamped))

    async def _fill(self, max_messages: int, max_wait_s: float, max_bytes: int) -> None:
        while not self._waiting and not self._closed:
            await self._next_change()
        deadline = self._oldest_arrival + max_wait_s
        if not self._full(max_messages, max_bytes) and deadline > asyncio.get_running_loop().time():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(deadline):
                    while not self._full(max_messages, max_bytes):
                        await self._next_change()

    def _take(self, max_messages: int, max_bytes: int) -> list[ConsumerMessage]:
        batch: list[ConsumerMessage] = []
        size = 0
        while self._waiting and len(batch) < max_messages and size < max_bytes and not self._closed:
            message = self._waiting.popleft()
            size += record_size(message)
            batch.append(message)
        self._bytes -= size
        if len(self._waiting) < self._max_messages // 2 and self._bytes < self._max_bytes // 2:
            self._room.set()
        return batch

    def clear(self) -> None:
        """Drop all messages: the partitions are revoked, and their next owner reads the messages again."""
        self._waiting.clear()
        self._bytes = 0
        self._room.set()

    def close(self) -> None:
        """Close the buffer: ``next_batch`` returns [] from now on."""
        self._closed = True
        self.clear()
        self._changed.set()

    def _full(self, max_messages: int, max_bytes: int) -> bool:
        return self._closed or len(self._waiting) >= max_messages or self._bytes >= max_bytes

    async def _next_change(self) -> None:
        self._changed.clear()
        await self._changed.wait()


def record_size(message: Any) -> int:
    """The bytes of a record of aiokafka, or of a message of Faust: value, key and headers."""
    size = len(message.value or b"") + len(message.key or b"")
    if message.headers:
        size += sum(len(name) + len(value or b"") for name, value in message.headers)
    return size
