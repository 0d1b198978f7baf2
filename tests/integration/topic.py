"""Reading a topic as a foreign client would."""

from typing import Any

from confluent_kafka import Consumer, TopicPartition


def read_topic(brokers: str, topic: str) -> list[Any]:
    """Every message of a topic as it stands, each partition in its order."""
    consumer = Consumer(
        {"bootstrap.servers": brokers, "group.id": "reader", "log_level": 0, "enable.auto.commit": False}
    )
    try:
        found = []
        for partition in consumer.list_topics(topic, timeout=30).topics[topic].partitions:
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=30)
            consumer.assign([TopicPartition(topic, partition, low)])
            position = low
            while position < high:
                message = consumer.poll(30)
                assert message is not None, f"partition {partition} of {topic} ends at {position}, not at {high}"
                assert message.error() is None, message.error()
                found.append(message)
                position = (message.offset() or 0) + 1
        return found
    finally:
        consumer.close()
