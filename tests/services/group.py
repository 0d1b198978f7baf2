"""How far a consumer group is, asked of Kafka as often as it takes."""

import time
from collections.abc import Callable

from confluent_kafka import Consumer, KafkaException, TopicPartition

from tests.services.errors import ServiceError


class Group:
    """Reads a consumer group's committed offsets and a topic's ends, without joining the group."""

    def __init__(self, brokers: str, group: str, topic: str) -> None:
        self._consumer = Consumer(
            {"bootstrap.servers": brokers, "group.id": group, "enable.auto.commit": False, "log_level": 0}
        )
        self._topic = topic

    def close(self) -> None:
        self._consumer.close()

    def partitions(self) -> list[int]:
        """The topic's partitions; none while it does not exist."""
        try:
            topics = self._consumer.list_topics(timeout=5).topics
        except KafkaException:
            return []
        return sorted(topics[self._topic].partitions) if self._topic in topics else []

    def done(self) -> int:
        """Events that the group has committed; while Kafka does not answer, 0."""
        try:
            committed = self._consumer.committed([TopicPartition(self._topic, p) for p in self.partitions()], timeout=5)
        except KafkaException:
            return 0
        return sum(max(0, partition.offset) for partition in committed)

    def ends(self) -> int:
        """Events in the topic."""
        ends = 0
        for partition in self.partitions():
            _, end = self._consumer.get_watermark_offsets(TopicPartition(self._topic, partition), timeout=30)
            ends += end
        return ends


def wait_until(
    condition: Callable[[], bool], what: str, limit_s: float, alive: Callable[[], None] | None = None
) -> None:
    """Wait for a condition. ``alive`` may raise when waiting has become pointless."""
    deadline = time.monotonic() + limit_s
    while not condition():
        if alive is not None:
            alive()
        if time.monotonic() > deadline:
            raise ServiceError(f"after {limit_s:.0f} s still waiting until {what}")
        time.sleep(0.05)
