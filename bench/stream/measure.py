"""Measurement of a variant from outside: a flood for throughput and processor time, a steady stream for latency."""

import json
import statistics
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import psutil
from confluent_kafka import Consumer, Producer, TopicPartition

from tests.services.group import Group, wait_until

LATENCY_SECONDS = 10.0
SETTLE_SECONDS = 2.0
"""Start of the steady stream that is not counted."""
FLOOD_LIMIT_S = 120.0
LINGER_MS = 5
"""Setting of a producer that sends thousands of events a second; it is part of the latency."""
TICK_SECONDS = 0.005
"""Interval between the batches of the steady stream."""

Event = tuple[bytes, bytes]
"""Key and value."""


@dataclass(frozen=True)
class WorkerVariant:
    """A worker to measure.

    ``identify`` returns the event that an answer is for: ("id", n) or ("at", partition, offset).
    ``flood`` events are sent at once, after ``warm_up`` events.
    """

    letter: str
    title: str
    command: Sequence[str]
    environment: dict[str, str]
    group: str
    topics: tuple[str, str]
    metrics_port: int
    identify: Callable[[dict[str, Any]], tuple[Any, ...] | None]
    flood: int
    warm_up: int


@dataclass
class Result:
    """Figures of one variant. CPU and stages in µs an event, latencies in ms, memory in MB."""

    letter: str
    title: str
    events_per_second: float
    cpu_us: float
    answers_per_event: float
    memory_mb: float = 0.0
    latency_rate: float = 0.0
    latency_p50_ms: float = 0.0
    latency_p99_ms: float = 0.0
    latency_answers: int = 0
    stages_us: dict[str, float] = field(default_factory=dict)


def measure(variant: WorkerVariant, events: Sequence[Event], brokers: str, log: Any) -> Result:
    """Run a variant's process through warm-up, flood and steady stream."""
    producer = Producer(
        {
            "bootstrap.servers": brokers,
            "linger.ms": LINGER_MS,
            "log_level": 0,
            "queue.buffering.max.messages": 1_000_000,
        }
    )
    group = Group(brokers, variant.group, variant.topics[0])
    process = subprocess.Popen(variant.command, env=variant.environment, stdout=log, stderr=log)
    watched = psutil.Process(process.pid)
    answers = Answers(brokers, variant.topics[1])

    def alive() -> None:
        if process.poll() is not None:
            raise RuntimeError(f"({variant.letter}) ended with {process.returncode}")

    try:
        # The first events start the process and warm it up.
        _flood(producer, variant.topics[0], events[: variant.warm_up])
        wait_until(lambda: group.done() >= variant.warm_up, f"({variant.letter}) is warm", FLOOD_LIMIT_S, alive)
        flood = events[variant.warm_up : variant.warm_up + variant.flood]
        result = _throughput(variant, flood, producer, group, watched, answers, alive)
        _latency(variant, result, events[variant.warm_up + variant.flood :], producer, answers)
        result.memory_mb = watched.memory_info().rss / 1e6
        return result
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        answers.close()
        group.close()


def _throughput(
    variant: WorkerVariant,
    events: Sequence[Event],
    producer: Producer,
    group: Group,
    watched: psutil.Process,
    answers: "Answers",
    alive: Callable[[], None],
) -> Result:
    answers.skip()
    stages = _stages(variant)
    cpu = sum(watched.cpu_times()[:2])
    start = time.time()
    _flood(producer, variant.topics[0], events)
    wait_until(lambda: group.done() >= variant.warm_up + len(events), "the flood is through", FLOOD_LIMIT_S, alive)
    cpu = sum(watched.cpu_times()[:2]) - cpu
    spent = {name: seconds - stages.get(name, 0.0) for name, seconds in _stages(variant).items()}
    found = answers.read_all()
    # The last answer ends the time: the commit comes up to its interval later.
    last = max(sent for sent, _ in found)
    return Result(
        variant.letter,
        variant.title,
        len(events) / (last - start),
        cpu / len(events) * 1e6,
        len(found) / len(events),
        stages_us={name: seconds / len(events) * 1e6 for name, seconds in spent.items()},
    )


def _latency(
    variant: WorkerVariant, result: Result, events: Sequence[Event], producer: Producer, answers: "Answers"
) -> None:
    """Send at half the measured throughput, and measure the time until each answer arrives."""
    rate = result.events_per_second / 2
    count = min(len(events), int(rate * (LATENCY_SECONDS + SETTLE_SECONDS)))
    sent: dict[tuple[Any, ...], float] = {}
    identity_at: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    identities = [("id", json.loads(value)["id"]) for _, value in events[:count]]
    answers.skip()
    arrived: list[tuple[float, bytes]] = []
    ending = threading.Event()
    listener = threading.Thread(target=answers.listen, args=(arrived, ending))
    listener.start()
    start = time.perf_counter()
    first = 0
    while first < count:
        # All due events are sent together: waking up for each event would take a core from the measured worker.
        due = min(count, int((time.perf_counter() - start) * rate) + 1)
        for (key, value), identity in zip(events[first:due], identities[first:due], strict=True):

            def confirmed(error: Any, message: Any, identity: tuple[Any, ...] = identity) -> None:
                identity_at["at", message.partition(), message.offset()] = identity

            sent[identity] = time.perf_counter()
            producer.produce(variant.topics[0], value, key, on_delivery=confirmed)
        first = due
        producer.poll(0)
        time.sleep(TICK_SECONDS)
    producer.flush(30)
    time.sleep(1.0 + 2 * result.latency_p99_ms / 1000)
    ending.set()
    listener.join()
    latencies = []
    for received, value in arrived:
        identity_of = variant.identify(json.loads(value))
        if identity_of is not None:
            sent_at = sent.get(identity_at.get(identity_of, identity_of))
            if sent_at is not None and sent_at - start > SETTLE_SECONDS:
                latencies.append((received - sent_at) * 1000)
    result.latency_rate = count / max(1e-9, max(sent.values()) - start) if sent else 0.0
    result.latency_answers = len(latencies)
    if len(latencies) > 1:
        cuts = statistics.quantiles(latencies, n=100, method="inclusive")
        result.latency_p50_ms, result.latency_p99_ms = cuts[49], cuts[98]


def _flood(producer: Producer, topic: str, events: Sequence[Event]) -> None:
    for key, value in events:
        producer.produce(topic, value, key)
        producer.poll(0)
    if producer.flush(60):
        raise RuntimeError("Kafka does not take the events")


def _stages(variant: WorkerVariant) -> dict[str, float]:
    """Seconds spent in each stage so far, from the metrics of the worker."""
    if not variant.metrics_port:
        return {}
    with urllib.request.urlopen(f"http://127.0.0.1:{variant.metrics_port}/metrics", timeout=10) as response:
        text = response.read().decode()
    prefix = 'nextbasket_stage_seconds_sum{stage="'
    lines = [line.removeprefix(prefix) for line in text.splitlines() if line.startswith(prefix)]
    return {line.split('"')[0]: float(line.rsplit(" ", 1)[1]) for line in lines}


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

    def close(self) -> None:
        """Disconnect."""
        self._consumer.close()
