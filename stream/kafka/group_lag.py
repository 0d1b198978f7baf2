"""The lag of the workers as Kafka knows it: the events of each partition after the committed offset.

Offsets count the markers of transactions too, in which the API sends lists of invoices. So a short lag is counted.
"""

import time
from collections.abc import Mapping

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from state.settings import Settings
from stream.errors import BrokerUnavailable
from stream.kafka.config import confluent_config

MAX_COUNTED = 1_000
"""Offsets of a partition after the committed one that are read to count the events among them."""


def group_lag(settings: Settings, *, timeout_s: float = 3.0) -> dict[int, int]:
    """Events not yet processed, by partition; none where the topic does not exist. Joins no group.

    Of a partition with more than ``MAX_COUNTED`` offsets, and where reading takes too long, markers of transactions
    count as events.

    Raises:
        BrokerUnavailable: Kafka does not answer.
        SettingsError: No broker is set.
    """
    topic = settings.topics.invoices
    consumer = Consumer(
        confluent_config(
            settings,
            **{
                "group.id": settings.group,
                "enable.auto.commit": False,
                "allow.auto.create.topics": False,
                "enable.partition.eof": True,
            },
        )
    )
    try:
        metadata = consumer.list_topics(topic, timeout=timeout_s).topics[topic]
        if metadata.error is not None:
            return {}
        lag, begins = {}, {}
        partitions = [TopicPartition(topic, number) for number in sorted(metadata.partitions)]
        for committed in consumer.committed(partitions, timeout=timeout_s):
            first, end = consumer.get_watermark_offsets(TopicPartition(topic, committed.partition), timeout=timeout_s)
            begins[committed.partition] = begin = max(committed.offset, first)  # below 0: nothing is committed
            lag[committed.partition] = max(0, end - begin)
        short = {partition: begins[partition] for partition, offsets in lag.items() if 0 < offsets <= MAX_COUNTED}
        return lag | _count_events(consumer, topic, short, timeout_s)
    except KafkaException as error:
        raise BrokerUnavailable(f"The lag cannot be read: {error.args[0].str()}") from error
    finally:
        consumer.close()


def _count_events(consumer: Consumer, topic: str, begins: Mapping[int, int], timeout_s: float) -> dict[int, int]:
    """The events from some offsets to the ends, of the partitions whose end is reached in time."""
    counts = dict.fromkeys(begins, 0)
    reached: dict[int, int] = {}
    deadline = time.monotonic() + timeout_s
    consumer.assign([TopicPartition(topic, partition, begin) for partition, begin in begins.items()])
    while len(reached) < len(begins) and (left := deadline - time.monotonic()) > 0.0:
        message = consumer.poll(left)
        if message is None:
            continue
        partition, error = message.partition() or 0, message.error()
        if error is None:
            counts[partition] += 1
        elif error.code() == KafkaError._PARTITION_EOF:
            reached[partition] = counts[partition]
    return reached
