"""A group of workers drains events that were all there before: what the workers, Redis and Kafka spend for them."""

import glob
import time
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.scaling.servers import RedisServers, Spent
from bench.scaling.shop import Shop, Worker, in_turns, opened
from bench.stream.variant import Event
from bench.stream.workload import Workload
from state.events.invoice import Invoice
from tests.services.kafka import KafkaServer

STAGES = ("decode", "identify", "apply", "answer", "publish", "confirm")
IDLE_SECONDS = 4.0
IDLE_TIMES = 3
COUNTERS = (
    "nextbasket_events_total",
    'nextbasket_recommendations_total{fate="sent"}',
    *(f'nextbasket_stage_seconds_sum{{stage="{stage}"}}' for stage in STAGES),
)


@dataclass
class Drain:
    """What draining ``events``, which have ``lines`` lines, took, in seconds by the clock and of processor time.

    ``idle`` is the share of a core that those which run take while nothing comes. ``redis`` is without what a server
    takes then. ``event_bytes`` is what an event takes on Kafka's disk, and ``answer_bytes`` what a recommendation and
    its scores take, before compaction.
    """

    workers: int
    in_turns: bool
    events: int
    lines: int
    answers: int
    seconds: float
    worker_cpu_s: float
    idle: float
    kafka_cpu_s: float
    redis: list[Spent]
    stages_ms: dict[str, float]
    shares: list[float]
    event_bytes: float
    answer_bytes: float

    @property
    def redis_cpu_s(self) -> float:
        """Of all its servers."""
        return sum(node.cpu_s for node in self.redis)

    @property
    def worker_us(self) -> float:
        """Processor time of the group an event, in µs, without what it takes when it is idle.

        The latter is a cost a second, and a drain on few cores takes the longer the more workers there are.
        """
        return (self.worker_cpu_s - self.idle * self.seconds) / self.events * 1e6

    @property
    def redis_us(self) -> float:
        """Processor time of Redis a line, in µs."""
        return self.redis_cpu_s / self.lines * 1e6


@dataclass(frozen=True)
class Load:
    """What a group drains: the invoices before, some events that warm the workers up, and the events that count."""

    stored: Sequence[Invoice]
    warm_up: Sequence[Event]
    events: Sequence[Event]
    lines: int


def drain(
    folder: Path,
    kafka: KafkaServer,
    redis: RedisServers,
    model: Path,
    data: Workload,
    load: Load,
    workers: int,
    *,
    turns: bool = False,
) -> tuple[Drain, str]:
    """Measure a group of workers in a namespace of its own, which is returned too; Redis is emptied before.

    With ``turns`` one of them runs at a time: what the group costs where each worker has a core, and its caches, for
    itself.
    """
    redis.empty()
    broker = psutil.Process(kafka.pid)
    with ExitStack() as closes:
        shop, group = closes.enter_context(opened(Shop(folder, kafka.brokers, redis.url, model, data.dialect)))
        shop.store(load.stored)
        started = closes.enter_context(shop.workers(workers, group))
        with shop.preloaded(load.warm_up):
            pass
        shop.drain(started, group)
        idle, idle_nodes = _idle(started, redis)
        topics = shop.settings.topics
        names = [topics.invoices], [topics.recommendations, topics.scores]
        disk_before = [_log_bytes(kafka.folder, each) for each in names]
        before = [worker.samples(*COUNTERS) for worker in started]
        with shop.preloaded(load.events):
            time.sleep(1.0)  # the workers have committed, and the producer's work is done
            redis_before, kafka_before = redis.spent(), sum(broker.cpu_times()[:2])
            cpu_before, began = sum(worker.cpu_s() for worker in started), time.perf_counter()
        with in_turns(started) if turns else nullcontext():
            shop.drain(started, group)
        seconds, cpu = time.perf_counter() - began, sum(worker.cpu_s() for worker in started) - cpu_before
        spent = [
            now.since(then).without(idle_node * seconds)
            for now, then, idle_node in zip(redis.spent(), redis_before, idle_nodes, strict=True)
        ]
        kafka_cpu = sum(broker.cpu_times()[:2]) - kafka_before
        after = [worker.samples(*COUNTERS) for worker in started]
        disk = [_log_bytes(kafka.folder, each) for each in names]
    counted = [
        [now - then for now, then in zip(*pair, strict=True)] for pair in zip(after, before, strict=True)
    ]  # by worker
    _, answers, *stages = [sum(each) for each in zip(*counted, strict=True)]
    processed = [each[0] for each in counted]
    found = Drain(
        workers,
        turns,
        len(load.events),
        load.lines,
        round(answers),
        seconds,
        cpu,
        idle / workers if turns else idle,
        kafka_cpu,
        spent,
        {name: 1000 * took for name, took in zip(STAGES, stages, strict=True)},
        [each / max(1.0, sum(processed)) for each in processed],
        (disk[0] - disk_before[0]) / len(load.events),
        (disk[1] - disk_before[1]) / max(1.0, answers),
    )
    return found, shop.namespace


def _idle(workers: Sequence[Worker], redis: RedisServers) -> tuple[float, list[float]]:
    """The shares of a core that workers, and each server of Redis, take while nothing comes: least of some spans."""
    shares, of_nodes = [], []
    for _ in range(IDLE_TIMES):
        cpu, nodes, began = sum(worker.cpu_s() for worker in workers), redis.spent(), time.perf_counter()
        time.sleep(IDLE_SECONDS)
        cpu, seconds = sum(worker.cpu_s() for worker in workers) - cpu, time.perf_counter() - began
        shares.append(cpu / seconds)
        of_nodes.append([now.since(then).cpu_s / seconds for now, then in zip(redis.spent(), nodes, strict=True)])
    return min(shares), [min(each) for each in zip(*of_nodes, strict=True)]


def _log_bytes(folder: Path, topics: Sequence[str]) -> int:
    """Bytes of the logs of some topics on the disk of a broker."""
    return sum(
        file.stat().st_size for topic in topics for file in (folder / "data").glob(f"{glob.escape(topic)}-*/*.log")
    )
