"""From Kafka to the agent in whole fetches: Faust's consumer with a shorter way for an event.

Faust 0.15 hands over event by event: four asyncio tasks, a queue, an iterator, sensors and an acknowledgement for each,
130 to 170 µs of CPU. Here a fetch goes into one bounded buffer, the agent takes a batch out of it, and a finished batch
moves one number a partition: 7 µs an event (docs/explanation/decisions, 0007). Membership, rebalances, seeking, pausing
and committing stay Faust's.

Two rules keep it safe. What is committed is the position after the last batch the processor finished, nothing else.
And a fetch is dropped, with a seek back to what is committed (to the beginning where nothing is), unless the group's
generation was the same before and after it.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from faust.transport.consumer import ensure_TP
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

logger = logging.getLogger(__name__)

COMMIT_ON_REVOKE_S = 5.0
"""How long handing over partitions waits for the commit of what is finished; without it the next owner redoes it."""


class FetchBuffer:
    """What was fetched and not yet taken, bounded in messages and in bytes. Lives on one event loop."""

    def __init__(self, *, max_messages: int = 16_384, max_bytes: int = 32 << 20) -> None:
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._waiting: deque[ConsumerMessage] = deque()
        self._since = 0.0
        self._bytes = 0
        self._closed = False
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, messages: Iterable[ConsumerMessage]) -> None:
        """Add messages, in their order; over the bounds too, so ask ``wait_for_room`` before."""
        if not self._waiting:
            self._since = asyncio.get_running_loop().time()
        for message in messages:
            self._waiting.append(message)
            self._bytes += _size(message)
        self._changed.set()
        if len(self._waiting) >= self._max_messages or self._bytes >= self._max_bytes:
            self._room.clear()

    async def wait_for_room(self) -> None:
        """Wait while the buffer is full."""
        await self._room.wait()

    async def take(self, most: int, *, within_s: float, max_bytes: int) -> list[ConsumerMessage]:
        """The next 1 to ``most`` messages, [] once closed; waits for the first, and then for the rest.

        The first waits ``within_s`` at most, the time before this call included: what came in while the last batch was
        processed has waited enough. A batch ends with the message that takes it over ``max_bytes``.
        """
        while not self._waiting and not self._closed:
            await self._next_change()
        ends = self._since + within_s
        if not self._full(most, max_bytes) and ends > asyncio.get_running_loop().time():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(ends):
                    while not self._full(most, max_bytes):
                        await self._next_change()
        taken: list[ConsumerMessage] = []
        size = 0
        while self._waiting and len(taken) < most and size < max_bytes and not self._closed:
            message = self._waiting.popleft()
            size += _size(message)
            taken.append(message)
        self._bytes -= size
        if len(self._waiting) < self._max_messages // 2 and self._bytes < self._max_bytes // 2:
            self._room.set()
        return taken

    def clear(self) -> None:
        """Drop everything: the partitions are being handed over, whoever gets them reads it again."""
        self._waiting.clear()
        self._bytes = 0
        self._room.set()

    def close(self) -> None:
        """End: nothing is taken any more."""
        self._closed = True
        self.clear()
        self._changed.set()

    def _full(self, most: int, max_bytes: int) -> bool:
        return self._closed or len(self._waiting) >= most or self._bytes >= max_bytes

    async def _next_change(self) -> None:
        self._changed.clear()
        await self._changed.wait()


def _size(message: ConsumerMessage) -> int:
    return len(message.value or b"") + len(message.key or b"")


async def rewind(consumer: Any) -> Mapping[TP, int | None]:
    """Move every partition assigned to aiokafka's consumer to what is committed, to its beginning where nothing is.

    ``seek_to_committed`` alone leaves the latter where they are. A fetch dropped before the first commit would then
    never be read again: with ``auto_offset_reset`` a group begins at the beginning, but only once.

    Returns:
        What is committed, as ``seek_to_committed`` does.

    Raises:
        KafkaError: The broker does not say what is committed, or a partition was taken away meanwhile.
    """
    committed: Mapping[TP, int | None] = await consumer.seek_to_committed()
    if never := [partition for partition, offset in committed.items() if not offset]:
        await consumer.seek_to_beginning(*never)
    return committed


class BufferedConsumerThread(driver.AIOKafkaConsumerThread):
    """Faust's thread around aiokafka's consumer, with ``fetch_wait_ms`` instead of 1,500 ms for an empty fetch."""

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Seek back as ``rewind`` does."""
        found: Mapping[TP, int] = await self.call_thread(rewind, self._ensure_consumer())
        return found

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # Faust has no setting for it. A real broker answers at once when something comes; librdkafka's mock does not.
        consumer._fetch_max_wait_ms = cast(BufferedConsumer, self.consumer).fetch_wait_ms
        return consumer


class BufferedConsumer(driver.Consumer):
    """Faust's consumer, which fills an ``FetchBuffer`` and commits what ``finished`` was told."""

    fetch_buffer: FetchBuffer
    fetch_wait_ms: int

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._finished: dict[TP, int] = {}

    def _new_consumer_thread(self) -> driver.AIOKafkaConsumerThread:
        return BufferedConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def finished(self, messages: Sequence[ConsumerMessage]) -> None:
        """Note that everything up to these messages is done, so that the next commit moves past them.

        Messages of an earlier generation are passed over: their partitions were handed on since, and are read again
        from what is committed.
        """
        generation = self.app.consumer_generation_id
        for message in messages:
            if message.generation_id == generation:
                self._finished[message.tp] = message.offset + 1

    def check(self) -> None:
        """Raise what ended the group's coordination, if it ended.

        aiokafka raises it to whoever asks its consumer for messages. Faust asks the fetcher below, and would wait for
        ever.

        Raises:
            KafkaError: The membership is gone for good, or was never allowed.
        """
        coordinator = getattr(self._thread._consumer, "_coordinator", None)
        if coordinator is None:
            return
        # Only read: the coordinator lives on the loop of another thread.
        if coordinator._pending_exception is not None:
            raise coordinator._pending_exception
        task = coordinator._coordination_task
        if task.done() and not task.cancelled():
            task.result()

    def lag(self) -> dict[TP, int]:
        """Messages in each assigned partition that are not finished, as far as the last fetch tells."""
        behind = {}
        for partition in self.assignment():
            tp = ensure_TP(partition)
            position = self._finished.get(tp, self._committed_offset[tp])
            end = self.highwater(tp)
            if position is not None and end is not None:
                behind[tp] = max(0, end - position)
        return behind

    async def force_commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        """Commit what is finished."""
        committed = self._committed_offset
        due = {tp: offset for tp, offset in self._finished.items() if offset != committed[tp]}
        return bool(due) and bool(await self._commit_offsets(due))

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Commit what is finished before others take over, then forget what was fetched."""
        try:
            async with asyncio.timeout(COMMIT_ON_REVOKE_S):
                await self.commit()
        except TimeoutError:
            logger.warning("Handing partitions over without a commit: Kafka does not answer")
        self.fetch_buffer.clear()
        self._finished.clear()
        await super().on_partitions_revoked(revoked)

    async def verify_all_partitions_active(self) -> None:
        """Nothing: Faust's livelock detector watches its own iterator, and an outage is reported by the processor."""

    async def _drain_messages(self, fetcher: Any) -> None:
        # Runs as long as the fetcher does. Faust stops the fetcher by cancelling it.
        app = self.app
        try:
            while not (self.should_stop or fetcher.should_stop):
                generation = app.consumer_generation_id
                records, _ = await self._wait_next_records(timeout=1.0)
                # _wait_next_records can return without ever giving the loop a turn.
                await asyncio.sleep(0)
                if self.should_stop:
                    break
                for partition, fetched in (records or {}).items():
                    await self.fetch_buffer.wait_for_room()
                    if not self.flow_active or app.consumer_generation_id != generation:
                        await self._seek_back()
                        break
                    tp = ensure_TP(partition)
                    self.fetch_buffer.put([self._to_message(tp, record) for record in fetched])
        except self.consumer_stopped_errors:
            if not app.should_stop:
                raise

    async def _seek_back(self) -> None:
        """Read again from what is committed: the fetch in hand belongs to no generation for sure."""
        try:
            await self.perform_seek()
        except Exception as error:  # whatever aiokafka has for a broker that is gone; the rebalance seeks again
            logger.warning("Could not seek to the committed offsets: %s", error)


class BufferedTransport(driver.Transport):
    """Faust's Kafka transport with that consumer."""

    Consumer = BufferedConsumer
