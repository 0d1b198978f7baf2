"""Reads the ``invoices`` topic up to its current end, for training."""

import logging
import time
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

from state.errors import InvalidEvent
from state.events.invoice import Invoice
from state.events.wire import Decoder
from state.settings import Settings
from stream.kafka.config import kafka_python_config
from training import progress

if TYPE_CHECKING:
    from kafka import KafkaConsumer, TopicPartition

logger = logging.getLogger(__name__)

POLL_TIMEOUT_S = 60.0
"""A topic that returns no record for so long before its end is treated as unreachable."""

BOOTSTRAP_MS = 10_000
"""How long to wait for a broker; kafka-python's default is 30 seconds."""


class TopicLog(NamedTuple):
    """The invoices of a topic in no particular order, the number of events, and how many of them were invalid."""

    invoices: list[Invoice]
    events: int = 0
    invalid: int = 0


def read_topic(settings: Settings, *, clock: int) -> TopicLog:
    """Read the topic from its beginning to where it ends at the call.

    A missing topic counts as empty; reading does not create it. Invalid events, which the worker dead-letters, are
    skipped and counted. No consumer group is joined and nothing is committed.

    Args:
        settings: Where the brokers are, the namespace, the dialect, the bounds.
        clock: Seconds since 1970; dates too far ahead of it are refused.

    Raises:
        SettingsError: No broker is set.
        KafkaError: Kafka does not answer.
    """
    with closing(_consumer(settings)) as consumer:
        return _read(consumer, settings, clock)


def count_events(settings: Settings) -> int:
    """The number of records of the topic of invoices, markers of transactions included; 0 where there is no topic.

    Raises:
        SettingsError: No broker is set.
        KafkaError: Kafka does not answer.
    """
    with closing(_consumer(settings)) as consumer:
        spans = _spans(consumer, settings.topics.invoices)
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


def _spans(consumer: "KafkaConsumer", topic: str) -> "dict[TopicPartition, tuple[int, int]]":
    """The first offset of each partition that has records, and the offset after its last one."""
    from kafka import TopicPartition

    if topic not in consumer.topics():
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


def _read(consumer: "KafkaConsumer", settings: Settings, clock: int) -> TopicLog:
    from kafka.errors import KafkaTimeoutError

    topic = settings.topics.invoices
    spans = _spans(consumer, topic)
    open_ = set(spans)
    total = sum(end - start for start, end in spans.values())
    if not open_:
        return TopicLog([])
    decoder = Decoder(settings)
    consumer.assign(sorted(open_))
    consumer.seek_to_beginning()
    invoices: list[Invoice] = []
    events = invalid = 0
    last_read = time.monotonic()
    while open_:
        batch = consumer.poll(timeout_ms=500, max_records=5_000)
        for partition, records in batch.items():
            for record in records:
                if record.offset >= spans[partition][1]:
                    continue
                events += 1
                try:
                    invoice = decoder.decode(record.value, now=clock)
                except InvalidEvent as error:
                    invalid += 1
                    logger.debug("offset %d of partition %d: %s", record.offset, partition.partition, error)
                else:
                    if invoice.customer_id is not None and invoice.lines:
                        invoices.append(invoice)
        # By position, not by record: the end marker of a transaction has an offset and is never returned.
        done = {partition for partition in open_ if consumer.position(partition) >= spans[partition][1]}
        if done:
            consumer.pause(*done)
            open_ -= done
        if batch or done:
            last_read = time.monotonic()
            progress.update(events, total, topic)
        elif time.monotonic() - last_read > POLL_TIMEOUT_S:
            raise KafkaTimeoutError(f"The topic {topic} gave nothing for {POLL_TIMEOUT_S:.0f} seconds before its end")
    return TopicLog(invoices, events, invalid)
