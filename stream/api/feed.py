"""Live recommendations for many subscribers: one consumer of the topic, and one more while somebody resumes.

A subscriber has a position: the next offset of each partition. So what it missed can be read again, on any server.
"""

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, NamedTuple

from confluent_kafka import Consumer, KafkaException, TopicPartition

from state.settings import Settings
from stream.api.problems import Problem, invalid_request, overloaded, unavailable
from stream.kafka.config import confluent_config
from stream.monitoring import Metrics

logger = logging.getLogger(__name__)

MAX_STREAMS = 500
MAX_RESUMING = 4
"""Subscribers that read what they missed at the same time; each needs a separate consumer."""
MAX_QUEUED = 5_000
"""Events that a subscriber may fall behind; then its stream ends, and it may resume."""

_POLL_S = 0.2
_METADATA_TIMEOUT_S = 3.0
_METADATA_INTERVAL_S = 30.0
_READ_TIMEOUT_S = 10.0


class FeedEvent(NamedTuple):
    """A record of the topic; ``value`` is None where the recommendation was deleted."""

    partition: int
    offset: int
    customer_id: str
    value: bytes | None


class Position(NamedTuple):
    """The next offset of each partition; a missing partition begins at 0."""

    offsets: Mapping[int, int]

    def __str__(self) -> str:
        return ",".join(f"{partition}:{offset}" for partition, offset in sorted(self.offsets.items()))

    @classmethod
    def parse(cls, text: str) -> "Position":
        """The position that a text of ``str(position)`` names.

        Raises:
            Problem: It is none.
        """
        try:
            pairs = [each.split(":") for each in text.split(",")]
            offsets = {int(partition): int(offset) for partition, offset in pairs}
        except ValueError:
            offsets = {-1: -1}
        if not all(0 <= number < 2**31 and 0 <= offset < 2**62 for number, offset in offsets.items()):
            raise invalid_request("Last-Event-ID is not the id of an event of this stream.")
        return cls(offsets)


class _Subscriber:
    """The events of one stream that were not sent yet; ``customer_id`` None: all customers."""

    def __init__(self, customer_id: str | None) -> None:
        self.customer_id = customer_id
        self.queue: asyncio.Queue[FeedEvent | None] = asyncio.Queue()
        self.loop = asyncio.get_running_loop()

    def put(self, events: list[FeedEvent]) -> None:
        for event in events:
            self.queue.put_nowait(event)
        if self.queue.qsize() > MAX_QUEUED:
            self.end()

    def end(self) -> None:
        """Let the stream end after what is queued."""
        self.queue.put_nowait(None)


class Feed:
    """Reads the topic of recommendations from its end on, for all subscribers."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._topic = settings.topics.recommendations
        self._subscribers: set[_Subscriber] = set()
        self._lock = threading.Lock()
        self._offsets: dict[int, int] = {}
        self._problem: str | None = "the topic is not read yet"
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)
        self._resuming = asyncio.Semaphore(MAX_RESUMING)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def position_before_end(self, events: int) -> Position:
        """The position some events before the end of each partition, as far as this server has read."""
        with self._lock:
            return Position({number: max(0, offset - events) for number, offset in self._offsets.items()})

    def end_streams(self) -> None:
        """Let all streams end; called in the event loop."""
        with self._lock:
            for subscriber in self._subscribers:
                subscriber.end()

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        self._thread.join(2.0)

    async def events(
        self, customer_id: str | None, since: Position | None, heartbeat_s: float
    ) -> AsyncIterator[tuple[FeedEvent | None, Position]]:
        """Events from a position on, by default from now; None after ``heartbeat_s`` without one.

        Yields each event with the position after it.

        Raises:
            Problem: There are too many streams, or Kafka does not answer.
        """
        subscriber = _Subscriber(customer_id)
        with self._lock:
            if self._problem is not None:
                raise unavailable(f"There is no stream now: {self._problem}.")
            if len(self._subscribers) >= MAX_STREAMS:
                raise overloaded()
            self._subscribers.add(subscriber)
            self._metrics.streams(len(self._subscribers))
            tail = dict(self._offsets)
        try:
            offsets = dict(tail)
            yield None, Position(offsets)  # the stream has begun
            if since is not None:
                offsets = {number: min(since.offsets.get(number, 0), end) for number, end in tail.items()}
                async for event in self._missed(offsets, tail):
                    offsets[event.partition] = event.offset + 1
                    if customer_id in (None, event.customer_id):
                        yield event, Position(offsets)
                offsets = dict(tail)
            while True:
                try:
                    async with asyncio.timeout(heartbeat_s):
                        next_event = await subscriber.queue.get()
                except TimeoutError:
                    yield None, Position(offsets)
                    continue
                if next_event is None:
                    return
                offsets[next_event.partition] = next_event.offset + 1
                if customer_id in (None, next_event.customer_id):
                    yield next_event, Position(offsets)
        finally:
            with self._lock:
                self._subscribers.discard(subscriber)
                self._metrics.streams(len(self._subscribers))

    async def _missed(self, start: Mapping[int, int], end: Mapping[int, int]) -> AsyncIterator[FeedEvent]:
        """The events in [``start``, ``end``) of each partition."""
        if all(start[number] >= end[number] for number in end):
            return
        async with self._resuming:
            chunks = self._read(start, end)
            try:
                while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
                    for event in chunk:
                        yield event
            finally:
                await asyncio.to_thread(chunks.close)

    def _read(self, start: Mapping[int, int], end: Mapping[int, int]) -> "_Chunks":
        return _Chunks(self._consumer(), self._topic, start, end)

    def _consumer(self) -> Consumer:
        return Consumer(
            confluent_config(
                self._settings,
                **{
                    "group.id": f"{self._settings.group}-feed",  # required, though only assign() is used
                    "auto.offset.reset": "earliest",
                    "enable.auto.commit": False,
                    "enable.partition.eof": False,
                    "isolation.level": "read_committed",
                    "fetch.wait.max.ms": min(100, self._settings.fetch_wait_ms),
                    "reconnect.backoff.max.ms": 2_000,
                    "allow.auto.create.topics": False,
                },
            )
        )

    def _run(self) -> None:
        consumer = self._consumer()
        looked_at = -_METADATA_INTERVAL_S
        try:
            while not self._stopping.is_set():
                try:
                    if time.monotonic() - looked_at >= _METADATA_INTERVAL_S:
                        looked_at = time.monotonic()
                        self._assign(consumer)
                    self._deliver([event for event in map(_event, consumer.consume(1_000, _POLL_S)) if event])
                except KafkaException as error:
                    looked_at = -_METADATA_INTERVAL_S
                    if not self._offsets:
                        self._problem = f"Kafka does not answer ({error.args[0].str()})"
                    self._stopping.wait(1.0)
                except Exception:  # the thread must live as long as the server
                    logger.exception("Reading the live recommendations failed")
                    self._stopping.wait(1.0)
        finally:
            consumer.close()

    def _assign(self, consumer: Consumer) -> None:
        """Assign the partitions that are not read yet: at their end at the start, from 0 where they come later."""
        metadata = consumer.list_topics(self._topic, timeout=_METADATA_TIMEOUT_S).topics[self._topic]
        if metadata.error is not None:
            self._problem = f"the topic {self._topic} does not exist yet; a worker creates it"
            return
        new = sorted(set(metadata.partitions) - set(self._offsets))
        offsets = {}
        for number in new:
            _, end = consumer.get_watermark_offsets(TopicPartition(self._topic, number), timeout=_METADATA_TIMEOUT_S)
            offsets[number] = 0 if self._offsets else end
        if offsets:
            consumer.incremental_assign([TopicPartition(self._topic, number, at) for number, at in offsets.items()])
        with self._lock:
            self._offsets |= offsets
            self._problem = None

    def _deliver(self, events: list[FeedEvent]) -> None:
        if not events:
            return
        with self._lock:
            for event in events:
                self._offsets[event.partition] = event.offset + 1
            for subscriber in self._subscribers:
                subscriber.loop.call_soon_threadsafe(subscriber.put, events)


class _Chunks(Iterator[list[FeedEvent]]):
    """The events of a span of offsets, a few hundred at a time; read in one thread at a time."""

    def __init__(self, consumer: Consumer, topic: str, start: Mapping[int, int], end: Mapping[int, int]) -> None:
        self._consumer = consumer
        self._topic = topic
        self._end = end
        self._open = {number for number in end if start[number] < end[number]}
        consumer.assign([TopicPartition(topic, number, start[number]) for number in sorted(self._open)])

    def __next__(self) -> list[FeedEvent]:
        last_read = time.monotonic()
        while self._open:
            found = [event for event in map(_event, self._consumer.consume(500, _POLL_S)) if event]
            if found:
                last_read = time.monotonic()
            # By position: compaction leaves gaps, and the last offsets of a partition may be gone.
            partitions = [TopicPartition(self._topic, number) for number in sorted(self._open)]
            for each in self._consumer.position(partitions):
                if each.offset >= self._end[each.partition]:
                    self._open.discard(each.partition)
            wanted = [event for event in found if event.offset < self._end[event.partition]]
            if wanted:
                return wanted
            if time.monotonic() - last_read > _READ_TIMEOUT_S:
                raise unavailable("Kafka does not return what was missed; connect again.")
        raise StopIteration

    def close(self) -> None:
        """Disconnect."""
        self._consumer.close()


def _event(message: Any) -> FeedEvent | None:
    """The event of a record, None for an error, which the consumer recovers from, and for a record without a key."""
    if message.error() is not None or message.key() is None:
        return None
    customer_id = message.key().decode(errors="replace")
    return FeedEvent(message.partition(), message.offset(), customer_id, message.value())


def no_kafka() -> Problem:
    """503: no broker is set."""
    return unavailable("No Kafka is set for this server; set NEXTBASKET_KAFKA_BROKERS and start it again.")
