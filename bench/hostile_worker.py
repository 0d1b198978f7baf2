"""Memory of a whole worker under hours of hostile events, on a real Kafka and a real Redis that it starts.

    python -m bench.hostile_worker --minutes 60 --rate 200

The events are those of ``bench.hostile``, which are refused or have no customer, and valid ones that are made to fill a
worker: every one of another customer, invoices of thousands of lines, long attributes, one invoice that grows, events
of nearly a megabyte that compress to a thousandth. The resident set of the worker is sampled every second. After the
first minutes, in which caches fill, it must not grow by more than 50 MB; at no time may it pass 400 MB. Events that the
worker is behind with are waited for, so that the rate is at most the given one.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
from confluent_kafka import Producer

from bench.hostile import MAX_GROWTH_MB, hostile_events
from state.settings import load_settings
from stream.kafka.topics import ensure_topics
from tests.services.group import Group
from tests.services.kafka import KafkaServer
from tests.services.redis import RedisServer

MAX_PEAK_MB = 400
MOST_BEHIND = 3_000
"""Events that may wait in Kafka; more are not sent before."""
CODES = 5_000
"""Stock codes of the valid events: items are state, so that new ones would be no leak."""


def valid_event(rng: random.Random, number: int) -> bytes:
    """An event that is accepted."""
    kind = rng.random()
    size = 1 if kind < 0.9 else rng.randint(500, 3_000)
    growing = kind > 0.995
    event: dict[str, Any] = {
        "invoice_no": "growing" if growing else str(number),
        "customer_id": "growing" if growing else f"customer {number}",
        "invoice_date": "2011-12-09T12:50:00Z",
        "lines": [
            {"stock_code": f"{rng.randrange(CODES):05}", "quantity": 1, "unit_price": round(rng.random(), 2)}
            for _ in range(size)
        ],
    }
    if rng.random() < 0.01:
        event["note"] = "x" * 900_000
    if rng.random() < 0.2:
        event["customer"] = {"attributes": {f"{key:02}": f"{number} " + "😀" * 240 for key in range(32)}}
    return json.dumps(event).encode()


def events(rng: random.Random) -> Iterator[bytes]:
    """Events without end: two hostile ones for each valid one."""
    hostile = hostile_events(rng)
    number = 0
    while True:
        yield next(hostile)
        yield next(hostile)
        number += 1
        yield valid_event(rng, number)


class Load:
    """Sends events, and counts them."""

    def __init__(self, brokers: str, topic: str, group: Group, source: Iterator[bytes]) -> None:
        self._producer = Producer(
            {
                "bootstrap.servers": brokers,
                "compression.type": "zstd",
                "linger.ms": 50,
                "message.max.bytes": 4_000_000,
                "log_level": 0,
            }
        )
        self._topic = topic
        self._group = group
        self._source = source
        self.sent = 0
        self.done = 0

    def run(self, seconds: float, rate: float, every_second: Callable[[], None]) -> None:
        """Send for some seconds, at most ``rate`` a second and no more than the worker keeps up with."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            began = time.monotonic()
            self.done = self._group.done()
            if self.sent - self.done < MOST_BEHIND:
                for _ in range(int(rate)):
                    self._producer.produce(self._topic, next(self._source))
                    self.sent += 1
                    self._producer.poll(0)
                self._producer.flush(60)
            every_second()
            time.sleep(max(0.0, began + 1 - time.monotonic()))


def main() -> None:
    """Print a row a minute, and fail where the worker grew too much."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--warm-up", type=float, default=5.0, help="minutes before growth is counted (default: 5)")
    parser.add_argument("--rate", type=int, default=200, help="events a second, at most (default: 200)")
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        kafka = stack.enter_context(KafkaServer())
        redis = stack.enter_context(RedisServer(fsync="everysec"))
        variables = {
            "NEXTBASKET_KAFKA_BROKERS": kafka.brokers,
            "NEXTBASKET_REDIS_URL": redis.url,
            "NEXTBASKET_REGISTRY": str(folder / "registry"),
            "NEXTBASKET_PARTITIONS": "4",
            "NEXTBASKET_LOG_FORMAT": "json",
            "NEXTBASKET_LOG_LEVEL": "ERROR",
        }
        settings = load_settings(variables)
        ensure_topics(settings)
        others = {name: value for name, value in os.environ.items() if not name.startswith("NEXTBASKET_")}
        log = stack.enter_context((folder / "worker.log").open("ab"))
        worker = subprocess.Popen(
            [sys.executable, "-m", "stream", "worker"], env=others | variables, stdout=log, stderr=log
        )
        stack.callback(end, worker)
        group = Group(kafka.brokers, settings.group, settings.topics.invoices)
        stack.callback(group.close)
        load = Load(kafka.brokers, settings.topics.invoices, group, events(random.Random(arguments.seed)))
        grown, peak = watch(worker, load, arguments)
        if problems := (folder / "worker.log").read_text(errors="replace"):
            print("The worker logged:\n" + problems[:3_000])
    if grown > MAX_GROWTH_MB or peak > MAX_PEAK_MB:
        raise SystemExit(f"At most {MAX_GROWTH_MB} MB of growth and a peak of {MAX_PEAK_MB} MB are allowed.")


def watch(worker: "subprocess.Popen[bytes]", load: Load, arguments: argparse.Namespace) -> tuple[float, float]:
    """Send, sample and print; returns the growth of the median of a minute since the warm-up, and the peak, in MB."""
    watched = psutil.Process(worker.pid)
    samples: list[float] = []

    def sample() -> None:
        if (code := worker.poll()) is not None:
            raise SystemExit(f"The worker ended with {code}.")
        samples.append(watched.memory_info().rss / 2**20)

    print(f"{'minute':>6} {'sent':>10} {'done':>10} {'CPU s':>8} {'RSS, median':>12} {'highest':>8} {'grown':>7}  MB")
    base: float | None = None
    grown = peak = 0.0
    minute = 0
    while minute < arguments.minutes:
        samples.clear()
        load.run(60.0, arguments.rate, sample)
        minute += 1
        median = sorted(samples)[len(samples) // 2]
        peak = max(peak, high_water_mb(worker.pid))
        if base is None and minute >= arguments.warm_up:
            base = median
        grown = median - base if base is not None else 0.0
        cpu = sum(watched.cpu_times()[:2])
        print(
            f"{minute:>6} {load.sent:>10,} {load.done:>10,} {cpu:>8.0f} {median:>12.1f} {max(samples):>8.1f} "
            f"{grown:>+7.1f}",
            flush=True,
        )
    print(f"Highest resident set ever: {peak:.0f} MB")
    return grown, peak


def high_water_mb(pid: int) -> float:
    """The most that a process has had resident."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def end(process: "subprocess.Popen[Any]") -> None:
    """End a process in order, or else by force."""
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


if __name__ == "__main__":
    main()
