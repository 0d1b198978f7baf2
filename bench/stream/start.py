"""How long a worker takes from its start to its first answer, and its memory then."""

import time
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import psutil
from confluent_kafka import Producer

from bench.stream.answers import Answers
from bench.stream.variant import Event, WorkerVariant, running
from tests.services.group import Group, wait_until

LIMIT_S = 60.0


@dataclass
class Start:
    """Seconds by the clock and of processor time until the first answer, and memory in MB."""

    seconds: float
    cpu_s: float
    memory_mb: float


def measure_start(variant: WorkerVariant, event: Event, brokers: str, log: Any) -> Start:
    """Start a worker whose topic has an event already, and wait for the answer; the worker is then ended."""
    producer = Producer({"bootstrap.servers": brokers, "log_level": 0})
    with (
        closing(Answers(brokers, variant.topics[1])) as answers,
        closing(Group(brokers, variant.group, variant.topics[0])) as group,
    ):
        producer.produce(variant.topics[0], event[1], event[0])
        producer.flush(30)
        answers.skip()
        began = time.perf_counter()
        with running(variant, log) as process:
            watched = psutil.Process(process.pid)
            answers.first(LIMIT_S)
            seconds = time.perf_counter() - began
            start = Start(seconds, sum(watched.cpu_times()[:2]), watched.memory_full_info().uss / 1e6)
            wait_until(lambda: group.done() >= 1, f"({variant.letter}) commits its first event", LIMIT_S)
    return start
