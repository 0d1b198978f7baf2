"""Reads the ``invoices`` topic from its beginning up to its current end: for training, and to rebuild histories."""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from typing import TYPE_CHECKING, NamedTuple

from state.domain.clock import require_not_ahead_of_record
from state.domain.identities import Identities, MergeRefused, Resolver
from state.errors import EventAhead, InvalidEvent
from state.events.customer_changes import CustomerChange, CustomerMerged
from state.events.invoice import Invoice
from state.events.wire import Decoder
from state.settings import Settings
from stream.kafka.config import kafka_python_config
from stream.kafka.topics import existing_topics
from stream.messages import Incoming
from stream.pipeline.clock_check import ClockCheck
from training import progress

if TYPE_CHECKING:
    from kafka import KafkaConsumer, TopicPartition

logger = logging.getLogger(__name__)

POLL_TIMEOUT_S = 60.0
"""A topic that returns no record for so long before its end is treated as unreachable."""

BOOTSTRAP_MS = 10_000
"""How long to wait for a broker; kafka-python's default is 30 seconds."""


class TopicLog(NamedTuple):
    """The invoices of a topic in no particular order, under the ids that have the customers' purchases.

    ``events`` counts all, ``invalid`` those that break the contract, ``erased`` those of erased customers.
    """

    invoices: list[Invoice]
    events: int = 0
    invalid: int = 0
    erased: int = 0


class TopicRecords:
    """The records of the topic of invoices, from the beginning to where it ends when the reader is made.

    A missing topic counts as empty; reading does not create it. Records of aborted transactions are left out. No
    consumer group is joined and nothing is committed.

    Attributes:
        topic: Its name.
        spans: The first offset of each partition that has records, and the offset after its last one.

    Raises:
        SettingsError: No broker is set.
        KafkaError: Kafka does not answer.
    """

    def __init__(self, settings: Settings) -> None:
        self.topic = settings.topics.invoices
        self._consumer = _consumer(settings)
        try:
            found = _spans(self._consumer, settings, self.topic)
        except BaseException:
            self._consumer.close()
            raise
        self._spans = found
        self.spans = {partition.partition: span for partition, span in found.items()}

    def close(self) -> None:
        """Disconnect."""
        self._consumer.close()

    def __iter__(self) -> Iterator[Sequence[Incoming]]:
        """The records in batches, each partition in order."""
        from kafka.errors import KafkaTimeoutError

        consumer, spans = self._consumer, self._spans
        open_ = set(spans)
        if not open_:
            return
        total = sum(end - start for start, end in spans.values())
        events = 0
        consumer.assign(sorted(open_))
        consumer.seek_to_beginning()
        last_read = time.monotonic()
        while open_:
            batch = consumer.poll(timeout_ms=500, max_records=5_000)
            records = [
                Incoming(
                    one.value,
                    one.key,
                    one.topic,
                    one.partition,
                    one.offset,
                    one.timestamp / 1000 if one.timestamp else None,
                )
                for partition, found in batch.items()
                for one in found
                if one.offset < spans[partition][1]
            ]
            events += len(records)
            if records:
                yield records
            # By position, not by record: the end marker of a transaction has an offset and is never returned.
            done = {partition for partition in open_ if consumer.position(partition) >= spans[partition][1]}
            if done:
                consumer.pause(*done)
                open_ -= done
            if batch or done:
                last_read = time.monotonic()
                progress.update(events, total, self.topic)
            elif time.monotonic() - last_read > POLL_TIMEOUT_S:
                raise KafkaTimeoutError(
                    f"The topic {self.topic} gave nothing for {POLL_TIMEOUT_S:.0f} seconds before its end"
                )


def read_topic(settings: Settings, *, clock: int, known: Identities | None = None) -> TopicLog:
    """Read the topic from its beginning to where it ends at the call.

    A missing topic counts as empty; reading does not create it. Invalid events, which the worker dead-letters, are
    skipped and counted, and so are those of erased customers. Merges that no worker has processed yet count too. No
    consumer group is joined and nothing is committed.

    Args:
        settings: Where the brokers are, the namespace, the dialect, the bounds.
        clock: Seconds since 1970; dates too far ahead of it are refused.
        known: Merged and erased customers; None: none.

    Raises:
        SettingsError: No broker is set.
        KafkaError: Kafka does not answer.
        ClockDiffers: An event is dated ahead of the clock, and so are most of the records before it.
    """
    known = known or Identities()
    aliases = dict(known.aliases)
    decoder = Decoder(settings)
    invoices: list[Invoice] = []
    events = invalid = 0
    check = ClockCheck(lambda: clock, lambda: None, settings.max_clock_difference_seconds)
    with closing(TopicRecords(settings)) as topic:
        for batch in topic:
            check.add_timestamps([record.timestamp for record in batch])
            for record in batch:
                events += 1
                try:
                    invoice = _decode(decoder, settings, record, clock)
                except InvalidEvent as error:
                    if isinstance(error, EventAhead):
                        check.require_records()
                    invalid += 1
                    logger.debug("offset %d of partition %d: %s", record.offset, record.partition, error)
                    continue
                if isinstance(invoice, CustomerMerged):
                    _add_merge(aliases, known, invoice)
                elif isinstance(invoice, Invoice) and invoice.customer_id is not None and invoice.lines:
                    invoices.append(invoice)
    resolver = Resolver(Identities(aliases, known.erasures, known.pseudonyms))
    return TopicLog(list(resolver(invoices)), events, invalid, resolver.erased)


def _decode(decoder: Decoder, settings: Settings, record: Incoming, clock: int) -> Invoice | CustomerChange:
    """An event by the rules of a worker."""
    event = decoder.decode_any(record.value, now=clock)
    if isinstance(event, Invoice):
        require_not_ahead_of_record(
            event.date, record.timestamp, settings.max_days_ahead, settings.max_clock_difference_seconds
        )
    return event


def _add_merge(aliases: dict[str, str], known: Identities, change: CustomerMerged) -> None:
    """Add the alias of a merge, by the rules of a worker."""
    if known.is_erased((change.customer_id, change.into)):
        return
    with suppress(MergeRefused):
        if (pair := Identities(aliases).merge(change.customer_id, change.into)) is not None:
            aliases[pair[0]] = pair[1]


def count_events(settings: Settings) -> int:
    """The number of records of the topic of invoices, markers of transactions included; 0 where there is no topic.

    Raises:
        SettingsError: No broker is set.
        KafkaError: Kafka does not answer.
    """
    with closing(_consumer(settings)) as consumer:
        spans = _spans(consumer, settings, settings.topics.invoices)
    return sum(end - start for start, end in spans.values())


def _consumer(settings: Settings) -> "KafkaConsumer":
    from kafka import KafkaConsumer

    return KafkaConsumer(
        **kafka_python_config(
            settings,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            allow_auto_create_topics=False,
            isolation_level="read_committed",
            bootstrap_timeout_ms=BOOTSTRAP_MS,
            check_crcs=False,  # in Python it takes most of the time of reading; the broker has checked already
        )
    )


def _spans(consumer: "KafkaConsumer", settings: Settings, topic: str) -> "dict[TopicPartition, tuple[int, int]]":
    """The first offset of each partition that has records, and the offset after its last one."""
    from kafka import TopicPartition

    if topic not in existing_topics(settings, needed=[topic]):
        logger.info("the topic %s does not exist and counts as empty", topic)
        return {}
    partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
    ends = consumer.end_offsets(partitions)
    starts = consumer.beginning_offsets(partitions)
    return {
        partition: (starts[partition], ends[partition])
        for partition in partitions
        if starts[partition] < ends[partition]
    }
