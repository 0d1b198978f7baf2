"""Rewrites topics so that they hold nothing of erased customers any more.

Kafka deletes records only from the beginning of a partition. So the records of everybody else are sent again, in order
and with their timestamps, and then all records before them are deleted. All, and not only up to the last one of an
erased customer: otherwise the batch and the segment with that one stay on the disk as long as their other records.
Events may be read twice without an effect, so the copies change nothing. A rewrite that is interrupted is repeated;
only partitions that hold something are touched.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import closing
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from state.domain.clock import is_ahead_of_record
from state.domain.identities import Identities
from state.errors import InvalidEvent
from state.events.invoice import Invoice
from state.events.mentions import customers_in, mentions
from state.events.wire import Decoder
from state.settings import Settings
from state.wording import count
from stream.errors import BrokerUnavailable, StreamError
from stream.kafka.config import confluent_config
from stream.kafka.header_names import confluent_headers
from stream.kafka.publisher import MAX_MESSAGE_BYTES
from stream.kafka.topics import visible_topics

logger = logging.getLogger(__name__)

TIMEOUT_S = 30.0
SILENCE_S = 60.0
"""A partition that gives nothing for so long before its end counts as unreachable."""


class CannotRewrite(StreamError):
    """A topic cannot be rewritten now; the message has the cure."""


class Rewritten(NamedTuple):
    """What became of the records of a topic, in the partitions that had some of an erased customer."""

    topic: str
    removed: int
    copied: int
    done: int
    """Invalid events, which are dead letters, and dead letters that were sent back: they are not copied."""


class TopicRewriter:
    """Rewrites the topics with records of customers.

    Args:
        settings: Where the brokers are, the topics, the bounds of events.
        known: Merged and erased customers.
        customer_ids: Ids of erased customers that are looked for in dead letters that are no JSON, too.
        sent_back: The offsets beyond the committed one of dead letters that were sent back, from its metadata.
        wait_s: How long to wait for workers that have not processed what is to be deleted.
    """

    def __init__(
        self,
        settings: Settings,
        known: Identities,
        customer_ids: Sequence[str],
        *,
        sent_back: Callable[[str], Set[int]],
        wait_s: float = 60.0,
    ) -> None:
        self._settings = settings
        self._known = known
        self._customer_ids = customer_ids
        self._read_sent_back = sent_back
        self._wait_s = wait_s
        self._decoder = Decoder(settings)
        self._admin = AdminClient(confluent_config(settings, log_level=0))

    def rewrite(self) -> Iterator[Rewritten]:
        """Rewrite one topic after the other; yields what was done.

        Raises:
            BrokerUnavailable: Kafka does not answer, or refuses.
            RightMissing: The user may not see one of the topics.
            CannotRewrite: The workers are behind, or the broker deletes no records.
        """
        topics = self._settings.topics
        groups = {topics.invoices: self._settings.group, topics.dead_letter: f"{self._settings.group}-redrive"}
        try:
            names = (topics.invoices, topics.dead_letter, topics.scores, topics.due)
            visible_topics(self._admin, names, timeout_s=TIMEOUT_S)  # one that is hidden would be passed over
            existing = self._admin.list_topics(timeout=TIMEOUT_S).topics
            for topic in names:
                if topic in existing:
                    with closing(self._consumer(groups.get(topic, f"{self._settings.group}-rewrite"))) as consumer:
                        done = Rewritten(topic, 0, 0, 0)
                        for number in sorted(existing[topic].partitions):
                            one = self._rewrite_partition(consumer, TopicPartition(topic, number))
                            done = Rewritten(
                                topic,
                                done.removed + one.removed,
                                done.copied + one.copied,
                                done.done + one.done,
                            )
                        yield done
        except KafkaException as error:
            raise BrokerUnavailable(f"The topics cannot be rewritten: {error.args[0].str()}") from error

    def is_erased(self, record: Message) -> bool:
        """Whether a record is about an erased customer."""
        value, key = record.value(), record.key()
        topic = record.topic()
        if topic == self._settings.topics.invoices:
            try:
                event = self._decoder.decode_any(value, now=2**62)
            except InvalidEvent:
                event = None
            if isinstance(event, Invoice):
                return self._known.resolve(event) is None
        if self._known.is_erased(customers_in(value, key)):
            return True
        return topic == self._settings.topics.dead_letter and any(mentions(value, each) for each in self._customer_ids)

    def _is_dead_lettered(self, record: Message) -> bool:
        """Whether a record of invoices is one that the workers did not take when it came."""
        if record.topic() != self._settings.topics.invoices:
            return False
        sent, settings = record.timestamp()[1] / 1000, self._settings
        try:
            event = self._decoder.decode_any(record.value(), now=int(sent))
        except InvalidEvent:
            return True
        return isinstance(event, Invoice) and is_ahead_of_record(
            event.date, sent, settings.max_days_ahead, settings.max_clock_difference_seconds
        )

    def _rewrite_partition(self, consumer: Consumer, partition: TopicPartition) -> Rewritten:
        first, end = consumer.get_watermark_offsets(partition, timeout=TIMEOUT_S)
        erased: set[int] = set()
        read = 0
        for record in self._records(partition, first, end):
            read += 1
            if self.is_erased(record):
                erased.add(record.offset() or 0)
        if not erased:
            return Rewritten(str(partition.topic), 0, 0, 0)
        if partition.topic == self._settings.topics.invoices:
            self._wait_for_workers(consumer, partition, end)
        is_done = (
            self._sent_back(consumer, partition)
            if partition.topic == self._settings.topics.dead_letter
            else lambda offset: False
        )
        copied = finished = 0
        producer = _Copier(self._settings, f"{partition.topic}, partition {partition.partition}")
        for record in self._records(partition, first, end):
            offset = record.offset() or 0
            if offset in erased:
                continue
            if is_done(offset) or self._is_dead_lettered(record):
                finished += 1
                continue
            producer.copy(record)
            copied += 1
        producer.finish()
        if len(erased) + copied + finished != read:
            raise CannotRewrite(
                f"Of {read:,} records of {partition.topic}, partition {partition.partition}, "
                f"{len(erased) + copied + finished:,} were read again; nothing was deleted. Call the command again."
            )
        self._delete_before(partition, end)
        return Rewritten(str(partition.topic), len(erased), copied, finished)

    def _wait_for_workers(self, consumer: Consumer, partition: TopicPartition, end: int) -> None:
        deadline = time.monotonic() + self._wait_s
        while True:
            committed = consumer.committed([partition], timeout=TIMEOUT_S)[0].offset
            if committed >= end or committed < 0:  # no worker has ever read the topic
                return
            if time.monotonic() > deadline:
                raise CannotRewrite(
                    f"The workers have not processed {count(end - committed, 'event')} of {partition.topic}, partition "
                    f"{partition.partition}, that would be deleted; start a worker, and call the command again."
                )
            time.sleep(0.5)

    def _sent_back(self, consumer: Consumer, partition: TopicPartition) -> Callable[[int], bool]:
        committed = consumer.committed([partition], timeout=TIMEOUT_S)[0]
        if committed.offset < 0:
            return lambda offset: False
        beyond = self._read_sent_back(committed.metadata or "")
        return lambda offset: offset < committed.offset or offset in beyond

    def _delete_before(self, partition: TopicPartition, offset: int) -> None:
        name, number = str(partition.topic), int(partition.partition)
        asked = self._admin.delete_records([TopicPartition(name, number, offset)], request_timeout=TIMEOUT_S)
        for future in asked.values():
            try:
                future.result()
            except KafkaException as error:
                if error.args[0].code() in (KafkaError._UNSUPPORTED_FEATURE, KafkaError.POLICY_VIOLATION):
                    raise CannotRewrite(
                        f"The broker deletes no records of {name} ({error.args[0].str()}): its cleanup.policy must be "
                        "delete, and the embedded broker of the demo cannot do it."
                    ) from error
                raise

    def _records(self, partition: TopicPartition, first: int, end: int) -> Iterator[Message]:
        """The records of a partition from one offset up to another, by a new client.

        A client that is assigned the same partition again may report the position that it had before.
        """
        with closing(self._consumer(f"{self._settings.group}-rewrite")) as consumer:
            yield from _records(consumer, partition, first, end)

    def _consumer(self, group: str) -> Consumer:
        return Consumer(
            confluent_config(
                self._settings,
                log_level=0,
                **{
                    "group.id": group,  # of which only the committed offsets are read
                    "enable.auto.commit": False,
                    "auto.offset.reset": "error",
                    "isolation.level": "read_committed",
                    "fetch.wait.max.ms": 20,  # the next partition waits for the fetch of the one before
                    "allow.auto.create.topics": False,
                },
            )
        )


class _Copier:
    """Sends records again, to the partition they are in."""

    def __init__(self, settings: Settings, partition: str) -> None:
        self._partition = partition
        self._producer = Producer(
            confluent_config(
                settings,
                **{"enable.idempotence": True, "linger.ms": 20, "message.max.bytes": MAX_MESSAGE_BYTES},
            )
        )
        self._failure: KafkaError | None = None
        self._without_headers = 0

    def copy(self, record: Message) -> None:
        """Queue a record, without its headers where a name is not UTF-8: confluent-kafka cannot read these."""
        headers = confluent_headers(record)
        self._without_headers += headers is None
        while True:
            try:
                self._producer.produce(
                    str(record.topic()),
                    record.value(),
                    record.key(),
                    int(record.partition() or 0),
                    on_delivery=self._report,
                    timestamp=max(0, record.timestamp()[1]),
                    headers=[*(headers or ())],
                )
            except BufferError:
                self._producer.poll(0.1)
            else:
                self._producer.poll(0)
                return

    def finish(self) -> None:
        """Wait until every record is confirmed.

        Raises:
            KafkaException: One is not; nothing was deleted.
        """
        self._producer.flush()
        if self._without_headers:
            logger.warning(
                "Without the headers of %s sent again in %s: a name is not UTF-8. Let the sender name them in UTF-8.",
                count(self._without_headers, "record"),
                self._partition,
            )
        if self._failure is not None:
            raise KafkaException(self._failure)

    def _report(self, error: KafkaError | None, _: Message) -> None:
        self._failure = self._failure or error


def _records(consumer: Consumer, partition: TopicPartition, first: int, end: int) -> Iterator[Message]:
    """The records of a partition from one offset up to another."""
    if first >= end:
        return
    at = TopicPartition(str(partition.topic), int(partition.partition), first)
    consumer.assign([at])
    last_read = time.monotonic()
    # By position, not by record: the end marker of a transaction has an offset and is never returned.
    while consumer.position([at])[0].offset < end:
        for record in consumer.consume(1_000, timeout=0.1):
            if (error := record.error()) is not None:
                raise KafkaException(error)
            last_read = time.monotonic()
            if (record.offset() or 0) < end:
                yield record
        if time.monotonic() - last_read > SILENCE_S:
            raise BrokerUnavailable(f"{partition.topic} gave nothing for {SILENCE_S:.0f} seconds before its end")
