"""Measurement of a variant from outside: a flood, a steady stream at a fixed rate, and one at half of its capacity."""

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import psutil
from confluent_kafka import Producer

from bench.stream.answers import Answers
from bench.stream.stages import Stages, between, stages
from bench.stream.start import Start
from bench.stream.steady import SETTLE_SECONDS, Steady, Stream
from bench.stream.variant import Event, WorkerVariant, running
from tests.services.group import Group, wait_until

LATENCY_SECONDS = 8.0
FLOOD_LIMIT_S = 120.0
LINGER_MS = 1
"""Setting of the producer; it is part of the latency."""


@dataclass
class Result:
    """Figures of one variant. ``cpu_us`` is processor time an event of the flood in µs, memory is in MB.

    ``capacity`` is the highest rate that was held, in events a second, at most that of the flood; 0: not searched.
    ``streams`` are those at the fixed rate, where there is one, and at half of the capacity, or of the flood.
    """

    letter: str
    title: str
    events_per_second: float
    cpu_us: float
    answers_per_event: float
    stages: Stages
    memory_mb: float = 0.0
    capacity: float = 0.0
    fixed: Steady | None = None
    half: Steady | None = None
    start: Start | None = None
    load: float = field(default_factory=lambda: psutil.getloadavg()[0])


def measure(variant: WorkerVariant, events: Sequence[Event], brokers: str, log: Any) -> Result:
    """Run a variant's process through warm-up, flood and steady streams."""
    producer = Producer(
        {
            "bootstrap.servers": brokers,
            "linger.ms": LINGER_MS,
            "log_level": 0,
            "queue.buffering.max.messages": 1_000_000,
        }
    )
    with (
        closing(Answers(brokers, variant.topics[1])) as answers,
        closing(Group(brokers, variant.group, variant.topics[0])) as group,
        running(variant, log) as process,
    ):

        def alive() -> None:
            if process.poll() is not None:
                raise RuntimeError(f"({variant.letter}) ended with {process.returncode}")

        watched = psutil.Process(process.pid)
        # The first events start the process and warm it up.
        _flood(producer, variant.topics[0], events[: variant.warm_up])
        wait_until(lambda: group.done() >= variant.warm_up, f"({variant.letter}) is warm", FLOOD_LIMIT_S, alive)
        used = variant.warm_up + variant.flood
        result = _throughput(variant, events[variant.warm_up : used], producer, group, watched, answers, alive)
        stream = Stream(variant, producer, answers, watched)
        rest = events[used:]
        if variant.rate:
            count = _count(variant.rate)
            result.fixed, rest = stream.run(rest[:count], variant.rate), rest[count:]
        half = result.events_per_second / 2
        if variant.search:
            # The last events are for the stream at half of the capacity.
            result.capacity, sent = stream.capacity(rest[: 3 * len(rest) // 4], half / 4, alive)
            # In the seconds of a step a lag may stay small at more than a flood reaches, which nothing holds.
            result.capacity = min(result.capacity, result.events_per_second)
            half, rest = (result.capacity or half) / 2, rest[sent:]
        result.half = stream.run(rest[: _count(half)], half)
        result.memory_mb = watched.memory_info().rss / 1e6
        return result


def _count(rate: float) -> int:
    return max(2, int(rate * (LATENCY_SECONDS + SETTLE_SECONDS)))


def _throughput(
    variant: WorkerVariant,
    events: Sequence[Event],
    producer: Producer,
    group: Group,
    watched: psutil.Process,
    answers: Answers,
    alive: Callable[[], None],
) -> Result:
    answers.skip()
    before = stages(variant)
    cpu = sum(watched.cpu_times()[:2])
    start = time.time()
    _flood(producer, variant.topics[0], events)
    wait_until(lambda: group.done() >= variant.warm_up + len(events), "the flood is through", FLOOD_LIMIT_S, alive)
    cpu = sum(watched.cpu_times()[:2]) - cpu
    found = answers.read_all()
    # The last answer ends the time: the commit comes up to its interval later.
    last = max(sent for sent, _ in found)
    return Result(
        variant.letter,
        variant.title,
        len(events) / (last - start),
        cpu / len(events) * 1e6,
        len(found) / len(events),
        between(before, stages(variant)),
    )


def _flood(producer: Producer, topic: str, events: Sequence[Event]) -> None:
    for key, value in events:
        producer.produce(topic, value, key)
        producer.poll(0)
    if producer.flush(60):
        raise RuntimeError("Kafka does not take the events")
