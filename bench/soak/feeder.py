"""Sends events at a steady rate, and measures the age of their recommendations."""

import time
from array import array
from collections.abc import Callable, Iterable
from threading import Event as Flag
from zlib import crc32

import msgspec
from confluent_kafka import Consumer, Producer, TopicPartition

from bench.stream.variant import Event

TICK_SECONDS = 0.01
"""Interval between two portions: waking up for each event would take a core from the worker."""


class _Trigger(msgspec.Struct):
    partition: int | None = None
    offset: int | None = None


class _Answer(msgspec.Struct):
    trigger: _Trigger


class Feeder:
    """Sends events into a topic that nobody else writes to, so that it knows the offset of each.

    Attributes:
        sent: Events so far.
        due_at: By partition and offset, when the event was due: also where the feeder itself is late, time counts from
            then.
    """

    def __init__(self, brokers: str, topic: str, partitions: int) -> None:
        self._producer = Producer(
            {
                "bootstrap.servers": brokers,
                "enable.idempotence": True,
                "linger.ms": 1,
                "log_level": 0,
                "queue.buffering.max.messages": 1_000_000,
            }
        )
        self._topic = topic
        self.sent = 0
        self.due_at = [array("d") for _ in range(partitions)]

    def feed(self, events: Iterable[Event], rate: float, go_on: Callable[[], bool]) -> None:
        """Send all events at ``rate`` a second, unless ``go_on`` says no; returns when Kafka has them.

        Raises:
            RuntimeError: Kafka does not take them.
        """
        start = time.perf_counter()
        rest = iter(events)
        while go_on():
            due = int((time.perf_counter() - start) * rate) + 1
            while self.sent < due:
                event = next(rest, None)
                if event is None:
                    break
                key, value = event
                partition = crc32(key) % len(self.due_at)
                self.due_at[partition].append(start + self.sent / rate)
                self._producer.produce(self._topic, value, key, partition)
                self.sent += 1
            else:
                self._producer.poll(0)
                time.sleep(TICK_SECONDS)
                continue
            break
        if self._producer.flush(60):
            raise RuntimeError("Kafka does not take the events")


class Ages:
    """The ages of recommendations, as a thread reads them.

    Attributes:
        at: When each arrived, on the clock of ``time.perf_counter``.
        ms: How long after the event that triggered it was due, in milliseconds.
    """

    def __init__(self, brokers: str, topic: str, due_at: list["array[float]"]) -> None:
        self._consumer = Consumer(
            {
                "bootstrap.servers": brokers,
                "group.id": "soak",  # required, though only assign() is used
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 50,
                "queued.max.messages.kbytes": 65_536,
                "log_level": 0,
            }
        )
        partitions = self._consumer.list_topics(topic, timeout=30).topics[topic].partitions
        self._consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
        self._due_at = due_at
        self.at: array[float] = array("d")
        self.ms: array[float] = array("d")

    def listen(self, ending: Flag) -> None:
        """Read until ``ending`` is set."""
        decode = msgspec.json.Decoder(_Answer).decode
        while not ending.is_set():
            message = self._consumer.poll(0.1)
            if message is None or message.error() is not None:
                continue
            now = time.perf_counter()
            trigger = decode(message.value() or b"").trigger
            if trigger.partition is None or trigger.offset is None:
                continue
            due = self._due_at[trigger.partition][trigger.offset]
            self.at.append(now)
            self.ms.append((now - due) * 1000)
        self._consumer.close()
