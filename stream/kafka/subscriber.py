"""Reads a topic as a member of a consumer group that commits what was delivered."""

import logging
import threading
import time
from collections.abc import Iterator
from typing import Literal

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from state.settings import Settings
from stream.errors import BrokerUnavailable
from stream.kafka.config import confluent_config
from stream.kafka.topics import existing_topics

logger = logging.getLogger(__name__)

COMMIT_INTERVAL_S = 5.0
_POLL_S = 0.5
_MAX_POLL_INTERVAL_MS = 86_400_000
"""One delivery may be retried for long; a dead process is noticed by its heartbeats."""


class Subscriber:
    """The records of a topic, each at least once, in the order of each partition.

    A record counts as delivered when the next one is asked for. Offsets are committed every ``COMMIT_INTERVAL_S`` and
    at the end, so that after a crash at most the records of that time come again.

    Args:
        settings: Where the brokers are.
        topic: Its name, the namespace included.
        group: The consumer group, the namespace included.
        begin: Where a group without committed offsets begins.
        until_end: End once every partition was read to its end.
        stop: Ends the reading.
    """

    def __init__(
        self,
        settings: Settings,
        topic: str,
        group: str,
        *,
        begin: Literal["earliest", "latest"],
        until_end: bool,
        stop: threading.Event,
    ) -> None:
        """Make sure that there is such a topic, and subscribe.

        Raises:
            BrokerUnavailable: Kafka does not answer, or the topic does not exist.
            SettingsError: No broker is set.
        """
        if topic not in existing_topics(settings, needed=[topic]):
            raise BrokerUnavailable(f"There is no topic {topic} yet; what writes it creates it.")
        self._until_end = until_end
        self._stop = stop
        self._consumer = Consumer(
            confluent_config(
                settings,
                **{
                    "group.id": group,
                    "auto.offset.reset": begin,
                    "enable.auto.commit": False,
                    "enable.partition.eof": until_end,
                    "isolation.level": "read_committed",
                    "max.poll.interval.ms": _MAX_POLL_INTERVAL_MS,
                    "allow.auto.create.topics": False,
                },
            )
        )
        self._delivered: dict[tuple[str, int], int] = {}
        self._at_end: set[int] = set()
        self._committed_at = time.monotonic()
        self._consumer.subscribe([topic], on_revoke=self._revoked, on_lost=self._lost)

    def records(self) -> Iterator[Message]:
        """Yield the records until ``stop`` is set, or the end is reached.

        Raises:
            BrokerUnavailable: Kafka refuses.
        """
        while not self._stop.is_set():
            record = self._consumer.poll(_POLL_S)
            self._commit(at_once=False)
            if record is None:
                continue
            if (error := record.error()) is None:
                yield record
                self._delivered[str(record.topic()), int(record.partition() or 0)] = int(record.offset() or 0) + 1
            elif error.code() == KafkaError._PARTITION_EOF:
                self._at_end.add(int(record.partition() or 0))
                if self._at_end >= {each.partition for each in self._consumer.assignment()}:
                    return
            elif not error.retriable() and error.code() != KafkaError._ALL_BROKERS_DOWN:
                raise BrokerUnavailable(f"Kafka refuses: {error.str()}")

    def close(self) -> None:
        """Commit what was delivered, and leave the group."""
        try:
            self._commit(at_once=True)
        finally:
            self._consumer.close()

    def _commit(self, *, at_once: bool) -> None:
        if not self._delivered or not (at_once or time.monotonic() - self._committed_at > COMMIT_INTERVAL_S):
            return
        offsets = [TopicPartition(topic, partition, offset) for (topic, partition), offset in self._delivered.items()]
        try:
            self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            logger.warning("Offsets are not committed, so messages will come again: %s", error.args[0].str())
            if not at_once:
                self._committed_at = time.monotonic()
            return
        self._delivered.clear()
        self._committed_at = time.monotonic()

    def _revoked(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self._commit(at_once=True)
        self._forget(partitions)

    def _lost(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self._forget(partitions)

    def _forget(self, partitions: list[TopicPartition]) -> None:
        for each in partitions:
            self._delivered.pop((each.topic, each.partition), None)
            self._at_end.discard(each.partition)
