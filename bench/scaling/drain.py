"""A group of workers drains events that were all there before: what the workers, Redis and Kafka spend for them."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.scaling.servers import RedisServers, Spent
from bench.scaling.shop import Worker, shop_on
from bench.stream.variant import Event
from bench.stream.workload import Workload
from state.events.invoice import Invoice

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

    ``idle`` is the share of a core that the whole group takes while nothing comes.
    """

    workers: int
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
    brokers: str,
    kafka_pid: int,
    redis: RedisServers,
    model: Path,
    data: Workload,
    load: Load,
    workers: int,
) -> Drain:
    """Measure a group of workers in a namespace of its own; Redis is emptied before."""
    redis.empty()
    kafka = psutil.Process(kafka_pid)
    with shop_on(folder, brokers, redis.url, model, data.dialect) as (shop, group):
        shop.store(load.stored)
        with shop.workers(workers, group) as started:
            with shop.preloaded(load.warm_up):
                pass
            shop.drain(started, group)
            idle = _idle(started)
            before = [worker.samples(*COUNTERS) for worker in started]
            with shop.preloaded(load.events):
                time.sleep(1.0)  # the workers have committed, and the producer's work is done
                redis_before, kafka_before = redis.spent(), sum(kafka.cpu_times()[:2])
                cpu_before, began = sum(worker.cpu_s() for worker in started), time.perf_counter()
            shop.drain(started, group)
            seconds, cpu = time.perf_counter() - began, sum(worker.cpu_s() for worker in started) - cpu_before
            spent = [now.since(then) for now, then in zip(redis.spent(), redis_before, strict=True)]
            kafka_cpu = sum(kafka.cpu_times()[:2]) - kafka_before
            after = [worker.samples(*COUNTERS) for worker in started]
    counted = [
        [now - then for now, then in zip(*pair, strict=True)] for pair in zip(after, before, strict=True)
    ]  # by worker
    _, answers, *stages = [sum(each) for each in zip(*counted, strict=True)]
    processed = [each[0] for each in counted]
    return Drain(
        workers,
        len(load.events),
        load.lines,
        round(answers),
        seconds,
        cpu,
        idle,
        kafka_cpu,
        spent,
        {name: 1000 * took for name, took in zip(STAGES, stages, strict=True)},
        [each / max(1.0, sum(processed)) for each in processed],
    )


def _idle(workers: Sequence[Worker]) -> float:
    """The share of a core that workers take while nothing comes: the least of some spans."""
    shares = []
    for _ in range(IDLE_TIMES):
        cpu, began = sum(worker.cpu_s() for worker in workers), time.perf_counter()
        time.sleep(IDLE_SECONDS)
        shares.append((sum(worker.cpu_s() for worker in workers) - cpu) / (time.perf_counter() - began))
    return min(shares)
