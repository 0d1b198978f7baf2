"""Reads a topic with a plain client."""

import time
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

_LIMIT_S = 60.0


def read_topic(brokers: str, topic: str) -> list[Any]:
    """Every message of a topic, each partition in order.

    Reads until the end of each partition is reported. Asking for the end offsets beforehand fails now and then with
    "Local: Unknown partition" on an existing topic (confluentinc/confluent-kafka-python#1043). The consumer recovers
    by itself from any error that it reports while reading.
    """
    consumer = Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": "reader",
            "log_level": 0,
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    try:
        unread = set(consumer.list_topics(topic, timeout=30).topics[topic].partitions)
        consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in unread])
        found = []
        deadline = time.monotonic() + _LIMIT_S
        while unread:
            assert time.monotonic() < deadline, f"partitions {sorted(unread)} of {topic} are still being read"
            for message in consumer.consume(1_000, timeout=0.1):
                error = message.error()
                if error is None:
                    found.append(message)
                elif error.code() == KafkaError._PARTITION_EOF:
                    unread.discard(message.partition())
        return found
    finally:
        consumer.close()
