"""The answers of a variant, each read once."""

import threading
import time

from confluent_kafka import Consumer, TopicPartition

QUIET_SECONDS = 0.5
"""No answer for so long: the stream has ended."""


class Answers:
    """The answers of a variant, each read once."""

    def __init__(self, brokers: str, topic: str) -> None:
        self._consumer = Consumer(
            {
                "bootstrap.servers": brokers,
                "group.id": "bench",
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 50,
                "log_level": 0,
            }
        )
        partitions = self._consumer.list_topics(topic, timeout=30).topics[topic].partitions
        self._positions = [TopicPartition(topic, partition, 0) for partition in partitions]
        self._consumer.assign(self._positions)

    def skip(self) -> None:
        """Continue behind the answers that exist."""
        for position in self._positions:
            _, position.offset = self._consumer.get_watermark_offsets(position, timeout=30)
        self._consumer.assign(self._positions)

    def read_all(self) -> list[tuple[float, bytes]]:
        """Time sent and value of all answers that exist and were not read."""
        wanted = sum(self._consumer.get_watermark_offsets(p, timeout=30)[1] - p.offset for p in self._positions)
        found: list[tuple[float, bytes]] = []
        while len(found) < wanted:
            for message in self._consumer.consume(wanted - len(found), timeout=10):
                if message.error() is None:
                    _, milliseconds = message.timestamp()
                    found.append((milliseconds / 1000, message.value() or b""))
        return found

    def listen(self, arrived: list[tuple[float, bytes]], ending: threading.Event) -> None:
        """Add time of arrival and value of each answer until ``ending`` is set."""
        while not ending.is_set():
            message = self._consumer.poll(0.1)
            if message is not None and message.error() is None:
                arrived.append((time.perf_counter(), message.value() or b""))

    def first(self, limit_s: float) -> None:
        """Wait for an answer.

        Raises:
            RuntimeError: None comes.
        """
        deadline = time.perf_counter() + limit_s
        while (message := self._consumer.poll(0.1)) is None or message.error() is not None:
            if time.perf_counter() > deadline:
                raise RuntimeError(f"no answer came within {limit_s:.0f} s")

    def wait_until_quiet(self, arrived: list[tuple[float, bytes]], limit_s: float) -> None:
        """Wait until no more answers arrive, while another thread listens."""
        deadline = time.perf_counter() + limit_s
        quiet = time.perf_counter()
        number = len(arrived)
        while (now := time.perf_counter()) < deadline and now - quiet < 2 * QUIET_SECONDS:
            if len(arrived) != number:
                number, quiet = len(arrived), now
            time.sleep(QUIET_SECONDS / 10)

    def close(self) -> None:
        """Disconnect."""
        self._consumer.close()
