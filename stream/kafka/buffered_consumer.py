"""Faust's consumer, reading whole fetches into a bounded buffer instead of passing on event by event.

Faust 0.15 needs four asyncio tasks, a queue, an iterator, sensors and an acknowledgement for each event, 130 to 170 µs
of CPU. Here a fetch goes into one bounded buffer, the agent takes batches from it, and a processed batch advances one
offset a partition: 7 µs an event (docs/explanation/decisions, 0007). Group membership, rebalances, seeking, pausing and
committing are Faust's.

Two rules make it safe. Only the offset after the last processed batch is committed, or, where every fetched event is
processed, the offset of the next fetch, which passes the markers of transactions. And a fetch is dropped, with a seek
back to the committed offset (to the beginning where there is none), unless the generation of the consumer group was the
same before and after it.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from aiokafka.errors import KafkaError
from faust import Service
from faust.transport.consumer import Fetcher, ensure_TP
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from stream.kafka.consumer_thread import BufferedConsumerThread
from stream.kafka.fetch_buffer import FetchBuffer

logger = logging.getLogger(__name__)

FETCH_PAUSE_S = 0.003
"""Pause between two fetches while a batch is processed. A fetch for each event as it arrives would cost a third more
processor time, and nothing would be answered earlier."""
COMMIT_ON_REVOKE_S = 5.0
"""How long a revocation of partitions waits for the last commit; without it the next owner repeats some batches."""


class BufferedConsumer(driver.Consumer):
    """Faust's consumer; it fills a ``FetchBuffer`` and commits the offsets given to ``mark_processed``."""

    fetch_buffer: FetchBuffer
    on_events_lost: Callable[[int], None]
    on_partition_reset: Callable[[], None]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._processed: dict[TP, int] = {}
        self._done: dict[TP, int] = {}
        self._uncommitted_since: float | None = None
        self._buffered: dict[TP, int] = {}
        self._fetched: dict[TP, int] = {}
        self._expected: dict[TP, int] = {}
        self._rewound = True
        self._read_again = False

    def read_again(self) -> None:
        """Read all partitions from their beginning; may be called from any thread."""
        self._read_again = True

    async def look_for_losses(self, expected: Mapping[TP, int], until: Mapping[TP, int] | None = None) -> None:
        """Report events that Kafka deleted before they were read: its reset of the offset does not.

        Args:
            expected: The offset that is read next, by partition.
            until: The offset that was read in its place, where there is one.
        """
        if not expected:
            return
        spans = await self.thread.spans(list(expected))
        for tp, offset in expected.items():
            start, end = spans.get(tp, (0, offset))
            start = min(start, (until or {}).get(tp, start))
            if start > offset:
                lost = start - offset
                logger.error(
                    "%d events of %s, partition %d, were deleted by the retention of the topic before they were read "
                    "(offsets %d to %d, markers of transactions included); nextbasket rebuild --data restores them "
                    "from a table",
                    lost, tp.topic, tp.partition, offset, start - 1,
                )  # fmt: skip
                self.on_events_lost(lost)
            elif offset > end:
                self._report_made_again(tp, offset, f"ends at offset {end}")

    def _report_made_again(self, tp: TP, offset: int, found: str) -> None:
        logger.error(
            "%s, partition %d, %s, and was read up to %d before: the topic was deleted and made again, or Kafka lost "
            "its end; what was deleted unread is lost, and it is read from its beginning",
            tp.topic, tp.partition, found, offset,
        )  # fmt: skip
        self.on_partition_reset()

    async def _look_at_gaps(self, first: Mapping[TP, int], positions: Mapping[TP, int]) -> None:
        """Look for losses where the offsets of a fetch do not follow those before it; markers leave such gaps too."""
        read = {**positions, **first}
        for tp, offset in read.items():
            if offset < self._expected.get(tp, offset):  # Kafka's client began again, without a word
                self._report_made_again(tp, self._expected[tp], f"is read from offset {offset}")
                self._processed.pop(tp, None)
                self._done.pop(tp, None)
                if tp not in first:
                    self._buffered.pop(tp, None)
        gaps = {tp: self._expected[tp] for tp, offset in read.items() if offset > self._expected.get(tp, offset)}
        for tp in {*positions, *self._buffered}:
            self._expected[tp] = max(positions.get(tp, 0), self._buffered.get(tp, 0))
        if gaps:
            await self.look_for_losses(gaps, read)

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Seek all partitions to their committed offsets; reports events before them that Kafka deleted."""
        found: Mapping[TP, int] = await super().seek_to_committed()
        await self.look_for_losses({ensure_TP(tp): offset for tp, offset in found.items() if offset})
        return found

    @property
    def thread(self) -> BufferedConsumerThread:
        """The thread with its actual type."""
        return cast(BufferedConsumerThread, self._thread)

    def _new_consumer_thread(self) -> driver.AIOKafkaConsumerThread:
        return BufferedConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def mark_processed(
        self, messages: Sequence[ConsumerMessage], unanswered: Mapping[tuple[str, int], int] | None = None
    ) -> None:
        """Let the next commit include everything up to these messages, but nothing from an ``unanswered`` offset on.

        Messages of an earlier generation are ignored: their partitions were revoked since, and are read again from the
        committed offset. So are those of a topic that was made again since.
        """
        generation = self.app.consumer_generation_id
        for message in messages:
            if message.generation_id == generation and message.offset < self._buffered.get(message.tp, 0):
                self._done[message.tp] = message.offset + 1
        if messages and self._uncommitted_since is None:
            self._uncommitted_since = time.monotonic()
        for tp, offset in self._done.items():
            self._processed[tp] = min(offset, (unanswered or {}).get((tp.topic, tp.partition), offset))

    def check(self) -> None:
        """Raise the error that ended the coordination of the consumer group, if there is one.

        aiokafka raises it from the consumer's own methods. Faust reads from the fetcher beneath them, and would wait
        forever.

        Raises:
            KafkaError: The worker lost its membership and cannot get it back, or was refused.
        """
        coordinator = getattr(self._thread._consumer, "_coordinator", None)
        if coordinator is None:
            return
        # Reading only: the coordinator belongs to the event loop of another thread.
        if coordinator._pending_exception is not None:
            raise coordinator._pending_exception
        task = coordinator._coordination_task
        if task.done() and not task.cancelled():
            task.result()

    def group_problem(self) -> str | None:
        """Why the consumer is no member of its group, or None. Reads only, so any thread may call it."""
        coordinator = getattr(getattr(self._thread, "_consumer", None), "_coordinator", None)
        if coordinator is None:
            return "the group is not joined yet"
        if coordinator.coordinator_id is None:
            return "the coordinator of the group is not known"
        if coordinator.generation < 0 or coordinator._rejoin_needed_fut.done():
            return "the group is being joined"
        return None

    def coordinator_problem(self) -> str | None:
        """Why the consumer cannot reach Kafka, or None. Reads only, so any thread may call it."""
        thread = self.thread
        coordinator = getattr(getattr(thread, "_consumer", None), "_coordinator", None)
        if coordinator is None:
            return thread.connecting_error
        return "the coordinator of the group is not known" if coordinator.coordinator_id is None else None

    def lag(self) -> dict[TP, int]:
        """The number of unprocessed messages in each assigned partition, as of the last fetch."""
        unprocessed = {}
        thread = self.thread
        for partition in self.assignment():
            tp = ensure_TP(partition)
            position = self._position(tp)
            end = thread.readable_end(tp)
            if position is not None and end is not None:
                unprocessed[tp] = max(0, end - position)
        return unprocessed

    def _position(self, tp: TP) -> int | None:
        """The offset to continue from: everything before it is processed, or is no event that can be read.

        Markers of transactions and events of aborted ones have offsets and are never fetched. Where everything that was
        fetched is processed, the position lies behind them; otherwise the lag would never be 0.
        """
        position = self._processed.get(tp, self._committed_offset[tp])
        fetched = self._fetched.get(tp)
        if fetched is None or (position or 0) < self._buffered.get(tp, 0):
            return position
        return max(position or 0, fetched)

    async def force_commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        """Commit the positions that have changed."""
        committed = self._committed_offset
        positions = {tp: self._position(tp) for tp in {*self._processed, *self._fetched}}
        offsets = {tp: offset for tp, offset in positions.items() if offset and offset != committed[tp]}
        if not offsets:
            return False
        since, self._uncommitted_since = self._uncommitted_since, None
        if not await self._commit_offsets(offsets):
            self._uncommitted_since = since
            return False
        if since is not None:
            self.fetch_buffer.on_stage("commit", time.monotonic() - since, 0)
        return True

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Commit the processed offsets before another consumer takes over, then drop the fetched messages."""
        try:
            async with asyncio.timeout(COMMIT_ON_REVOKE_S):
                await self.commit()
        except TimeoutError:
            logger.warning("Partitions are revoked without a commit: Kafka does not answer")
        self.fetch_buffer.clear()
        for offsets in (self._processed, self._done, self._buffered, self._fetched, self._expected):
            offsets.clear()
        self._rewound = True  # the rebalance seeks
        await super().on_partitions_revoked(revoked)

    async def verify_all_partitions_active(self) -> None:
        """Does nothing: Faust's livelock check watches its own iterator, which is not used here."""

    async def _drain_messages(self, fetcher: Any) -> None:
        # Runs until Faust stops the fetcher by cancelling it.
        app = self.app
        thread = self.thread
        try:
            while not (self.should_stop or fetcher.should_stop):
                generation = app.consumer_generation_id
                if self._read_again:
                    await self._seek_to_beginning()
                records, _ = await self._wait_next_records(timeout=1.0)
                # ``_wait_next_records`` can return without yielding to the event loop.
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
                    if fetched:
                        self._buffered[tp] = fetched[-1].offset + 1
                else:
                    # Between two fetches, and with every record in the buffer, the positions are exact.
                    if self._rewound and self.flow_active and app.consumer_generation_id == generation:
                        self._fetched = thread.positions()
                        first = {ensure_TP(tp): some[0].offset for tp, some in (records or {}).items() if some}
                        await self._look_at_gaps(first, self._fetched)
                if records:
                    await self.fetch_buffer.wait_until_wanted(FETCH_PAUSE_S)
        except self.consumer_stopped_errors:
            if not app.should_stop:
                raise

    async def _seek_to_beginning(self) -> None:
        """Read again from the beginning, and commit it; where that fails, the next turn tries again.

        Without the commit, the next owner of a partition that is empty now would begin at the old offset.
        """
        self.fetch_buffer.clear()
        for offsets in (self._processed, self._done, self._buffered, self._fetched, self._expected):
            offsets.clear()
        thread = self.thread
        partitions = [ensure_TP(tp) for tp in self.assignment()]
        try:
            starts = {tp: start for tp, (start, _) in (await thread.spans(partitions)).items()}
            if len(starts) < len(partitions):
                return
            if partitions:
                await thread.seek_to_beginning(*map(driver.ensure_aiokafka_TP, partitions))
                await self._commit_offsets(starts)
        except KafkaError as error:  # the topic may just have been made
            logger.warning("Could not seek to the beginning of the topic: %s", error)
        else:
            self._read_again = False

    async def _seek_back(self) -> None:
        """Read again from the committed offsets: the generation of the last fetch is uncertain."""
        self._fetched.clear()
        self._expected.clear()
        try:
            await self.perform_seek()
        except Exception as error:  # aiokafka has many errors for a broker that is gone; the rebalance seeks again
            self._rewound = False
            logger.warning("Could not seek to the committed offsets: %s", error)


class BufferedFetcher(Fetcher):
    """Faust's service that fetches. Faust's own would crash if it were stopped while partitions are assigned.

    Cancelled without having been stopped, it ends the application: nothing would start it again.
    """

    @Service.task
    async def _fetcher(self) -> None:
        try:
            await cast(BufferedConsumer, self.app.consumer)._drain_messages(self)
        except asyncio.CancelledError:
            if not (self.should_stop or self.app.should_stop):
                await self.crash(KafkaError("the task that fetches was cancelled"))
        finally:
            self.set_shutdown()


class BufferedTransport(driver.Transport):
    """Faust's Kafka transport with ``BufferedConsumer``."""

    Consumer = BufferedConsumer
    Fetcher = BufferedFetcher
