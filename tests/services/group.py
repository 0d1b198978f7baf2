"""How far a consumer group is, asked of Kafka as often as it takes."""

import time
from collections.abc import Callable
from typing import TypeVar

from confluent_kafka import Consumer, ConsumerGroupState, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from tests.services.errors import ServiceError

T = TypeVar("T")


class Group:
    """Reads a topic's partitions and a consumer group's committed offsets, without joining the group.

    While Kafka does not answer, there is nothing to report; the clients are then made anew, because librdkafka's may
    wait for ever for the coordinator that they knew before the broker was restarted.
    """

    def __init__(self, brokers: str, group: str, topic: str) -> None:
        self._brokers, self._name, self._topic = brokers, group, topic
        self._connect()

    def _connect(self) -> None:
        self._admin = AdminClient({"bootstrap.servers": self._brokers, "log_level": 0})
        self._consumer = Consumer(
            {"bootstrap.servers": self._brokers, "log_level": 0, "group.id": self._name, "enable.auto.commit": False}
        )

    def close(self) -> None:
        """Disconnect."""
        self._consumer.close()

    def _ask(self, question: Callable[[], T], otherwise: T) -> T:
        try:
            return question()
        except KafkaException:
            self.close()
            self._connect()
            return otherwise

    def partitions(self) -> list[int]:
        """The topic's partitions; none while it does not exist."""

        def ask() -> list[int]:
            topics = self._consumer.list_topics(timeout=5).topics
            return sorted(topics[self._topic].partitions) if self._topic in topics else []

        return self._ask(ask, [])

    def members(self) -> int:
        """Members that have partitions, once the group has settled; 0 before."""

        def ask() -> int:
            found = self._admin.describe_consumer_groups([self._name], request_timeout=5)[self._name].result()
            if found.state != ConsumerGroupState.STABLE:
                return 0
            return sum(bool(member.assignment.topic_partitions) for member in found.members)

        return self._ask(ask, 0)

    def committed(self) -> dict[int, int]:
        """The committed offset of each partition, 0 where there is none; {} while Kafka does not answer."""

        def ask() -> dict[int, int]:
            partitions = [TopicPartition(self._topic, partition) for partition in self.partitions()]
            found = self._consumer.committed(partitions, timeout=5)
            return {committed.partition: max(0, committed.offset) for committed in found}

        return self._ask(ask, {})

    def done(self) -> int:
        """Events that the group has committed."""
        return sum(self.committed().values())

    def unread(self) -> int | None:
        """How far the committed offsets are from the ends of the partitions; None while Kafka does not answer."""

        def ask() -> int | None:
            unread = 0
            committed = self.committed()
            for partition, offset in committed.items():
                _, end = self._consumer.get_watermark_offsets(TopicPartition(self._topic, partition), timeout=5)
                unread += abs(end - offset)
            return unread if committed else None

        return self._ask(ask, None)


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
