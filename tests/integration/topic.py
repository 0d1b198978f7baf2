"""Reading a topic as a foreign client would."""

from typing import Any

from confluent_kafka import Consumer, TopicPartition


def read_topic(brokers: str, topic: str) -> list[Any]:
    """Every message of a topic as it stands, each partition in its order."""
    consumer = Consumer(
        {"bootstrap.servers": brokers, "group.id": "reader", "log_level": 0, "enable.auto.commit": False}
    )
    try:
        places = [TopicPartition(topic, p) for p in consumer.list_topics(topic, timeout=30).topics[topic].partitions]
        left = 0
        for place in places:
            place.offset, end = consumer.get_watermark_offsets(place, timeout=30)
            left += end - place.offset
        consumer.assign(places)
        found = []
        while left:
            messages = consumer.consume(min(left, 1_000), timeout=30)
            assert messages, f"{left} more messages should be in {topic}"
            assert all(message.error() is None for message in messages)
            found += messages
            left -= len(messages)
        return found
    finally:
        consumer.close()
