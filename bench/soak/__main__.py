"""A long run: single lines at a steady rate, on a real Kafka and Redis, with memory, lag and latency each second.

    python -m bench.soak [--events 2000000] [--rate 2500] [--registry FOLDER]

The lines of ``NEXTBASKET_DATA``, or of a simulated shop, are sent over and over with later dates, so that histories
reach their windows and what Redis holds is bounded; topics have a bound too. Feeder, Kafka, Redis and worker share one
machine. Writes the figures and a picture. Ends early where the rate is not held. Two million lines take 14 minutes, and
the training of a model some more, unless a registry is given.
"""

import argparse
import json
import os
import platform
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import psutil

from bench.plain_errors import plain_errors, positive
from bench.scaling.__main__ import trained
from bench.scaling.servers import RedisServers
from bench.scaling.shop import Shop, Worker, opened
from bench.soak.events import repeated
from bench.soak.feeder import Ages, Feeder
from bench.soak.picture import picture
from bench.soak.samples import Sample, Summary, growth, quantiles, windows
from bench.stream.workload import table_of
from state.settings import load_settings
from tests.services.kafka import VERSION, KafkaServer
from tests.services.redis import version
from training.data.cleaning.clean import clean
from training.data.cleaning.invoices import invoices

TRAINED_BEFORE = 8_000
"""Invoices at the end of the table that the model is not trained on."""
TOPIC_LIMITS = {"segment.bytes": 8 << 20, "retention.bytes": 64 << 20, "min.cleanable.dirty.ratio": 0.3}
"""Bounds of a segment and of a partition of each topic, so that what is old is removed while the run goes on."""
MAX_DISK_MB = 6_000
MAX_LAG_SECONDS = 60.0
"""A lag of so many seconds of events ends the run: the rate is not held."""
LAST_ANSWERS_S = 60.0
PROCESSED = "nextbasket_events_total"
LETTERS = ('nextbasket_dead_letters_total{cause="invalid"}', 'nextbasket_dead_letters_total{cause="refused"}')


class Soak:
    """A run: samples the processes each second until it is ended."""

    def __init__(self, worker: Worker, feeder: Feeder, kafka: KafkaServer, redis: RedisServers, rate: float) -> None:
        self._worker, self._feeder, self._kafka, self._redis, self._rate = worker, feeder, kafka, redis, rate
        self._processes = [psutil.Process(pid) for pid in (worker.process.pid, redis.nodes[0].pid, kafka.pid)]
        self.samples: list[Sample] = []
        self.problem = ""
        self.start = time.perf_counter()
        self.cpu_at_start = self.cpu()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._sample)

    def cpu(self) -> list[float]:
        """Processor seconds of worker, Redis and Kafka."""
        return [sum(process.cpu_times()[:2]) for process in self._processes]

    def begin(self) -> None:
        """Sample each second from now on."""
        self._thread.start()

    def end(self) -> None:
        """Stop sampling."""
        self._ending.set()
        self._thread.join()

    def holds(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problem

    def _sample(self) -> None:
        cpu, at = self.cpu(), time.perf_counter()
        second = 0
        while not self._ending.wait(max(0.0, self.start + second + 1 - time.perf_counter())):
            second += 1
            try:
                cpu, at = self._take(cpu, at)
            except (OSError, psutil.Error) as error:
                self.problem = self.problem or f"a process could not be sampled: {error}"
                return

    def _take(self, cpu_before: list[float], before: float) -> tuple[list[float], float]:
        sent = self._feeder.sent
        (processed,) = self._worker.samples(PROCESSED)
        cpu, at = self.cpu(), time.perf_counter()
        shares = [(now - then) / (at - before) for now, then in zip(cpu, cpu_before, strict=True)]
        memory = [process.memory_info().rss / 1e6 for process in self._processes]
        disk = [_size_mb(folder) for folder in (self._kafka.folder, self._redis.nodes[0].folder)]
        sample = Sample(
            round(at - self.start, 2), sent, int(processed), sent - int(processed), memory[0], memory[1], *disk, *shares
        )
        self.samples.append(sample)
        if self._worker.process.poll() is not None:
            self.problem = "the worker has ended"
        elif sample.lag > MAX_LAG_SECONDS * self._rate:
            self.problem = f"the rate is not held: {sample.lag:,} events wait after {sample.second:.0f} s"
        elif sum(disk) > MAX_DISK_MB:
            self.problem = f"Kafka and Redis have {sum(disk):,.0f} MB on disk"
        if len(self.samples) % 60 == 0:
            print(
                f"{sample.second / 60:4.0f} min: {sample.processed:,} lines, lag {sample.lag:,}, worker "
                f"{sample.worker_mb:.0f} MB, Redis {sample.redis_mb:.0f} MB, on disk {sum(disk):,.0f} MB",
                flush=True,
            )
        return cpu, at


def _size_mb(folder: Path) -> float:
    """What the files in a folder take on disk, in MB, those that vanish meanwhile left out."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(path) / name).stat().st_blocks * 512
            except OSError:
                continue
    return total / 1e6


def summary(soak: Soak, ages: Ages, events: int, letters: float) -> Summary:
    """What a run adds up to."""
    last = soak.samples[-1]
    p50, p99, p999 = quantiles(ages.ms, 0.5, 0.99, 0.999)
    spent = [
        (now - then) / max(1, last.processed) * 1e6 for now, then in zip(soak.cpu(), soak.cpu_at_start, strict=True)
    ]
    return Summary(
        events=events,
        processed=last.processed,
        dead_letters=int(letters),
        answers=len(ages.ms),
        seconds=last.second,
        rate=last.processed / last.second,
        worker_mb=last.worker_mb,
        growth_mb=growth([one.worker_mb for one in soak.samples]),
        redis_mb=last.redis_mb,
        redis_growth_mb=growth([one.redis_mb for one in soak.samples]),
        max_lag=max(one.lag for one in soak.samples),
        p50_ms=p50,
        p99_ms=p99,
        p999_ms=p999,
        worst_window_p99_ms=max(one.p99_ms for one in windows(ages.at, ages.ms, soak.start)),
        worker_cpu_us=spent[0],
        redis_cpu_us=spent[1],
        kafka_cpu_us=spent[2],
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run it."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=positive, default=2_000_000, help="lines to send (default: %(default)s)")
    parser.add_argument("--rate", type=positive, default=2_500, help="lines a second (default: %(default)s)")
    parser.add_argument("--settle-ms", type=int, default=0, help="NEXTBASKET_SETTLE_MS of the worker (default: 0)")
    parser.add_argument("--registry", type=Path, help="serve this registry's current model instead of training one")
    parser.add_argument("--json", type=Path, default=Path("build/soak.json"), help="file of the figures")
    parser.add_argument("--picture", type=Path, default=Path("build/soak.svg"), help="file of the picture")
    chosen = parser.parse_args(arguments)
    settings = load_settings()
    table = table_of(settings)
    log = invoices(clean(table, settings))
    dialect = "uci" if table.uci else "plain"
    print(f"{chosen.events:,} lines at {chosen.rate:,.0f} a second: {chosen.events / chosen.rate / 60:.1f} minutes")
    print(f"Kafka {VERSION}, Redis {version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}", flush=True)
    with ExitStack() as closes:
        folder = Path(closes.enter_context(tempfile.TemporaryDirectory(prefix="nextbasket-soak-")))
        model = chosen.registry or trained(folder / "model", TRAINED_BEFORE)
        kafka = closes.enter_context(KafkaServer(optimise=True, heap_mb=768))
        redis = closes.enter_context(RedisServers(folder / "redis", cluster=False))
        variables = {"NEXTBASKET_SETTLE_MS": str(chosen.settle_ms)}
        shop, group = closes.enter_context(
            opened(Shop(folder, kafka.brokers, redis.url, model, dialect, variables, TOPIC_LIMITS))
        )
        (worker,) = closes.enter_context(shop.workers(1, group))
        topics = shop.settings.topics
        feeder = Feeder(kafka.brokers, topics.invoices, shop.settings.partitions)
        ages = Ages(kafka.brokers, topics.recommendations, feeder.due_at)
        ending = threading.Event()
        closes.callback(ending.set)
        listener = threading.Thread(target=ages.listen, args=(ending,), daemon=True)
        listener.start()
        load_before = os.getloadavg()[0]
        soak = Soak(worker, feeder, kafka, redis, chosen.rate)
        soak.begin()
        feeder.feed(repeated(log, chosen.events), chosen.rate, soak.holds)
        deadline = time.perf_counter() + LAST_ANSWERS_S
        while soak.holds() and worker.samples(PROCESSED)[0] < feeder.sent and time.perf_counter() < deadline:
            time.sleep(0.2)
        time.sleep(2.0)  # the last answers, and a last sample
        soak.end()
        letters = sum(worker.samples(*LETTERS)) if worker.process.poll() is None else 0.0
        found = summary(soak, ages, chosen.events, letters)
        ending.set()
        listener.join()
    lost = found.events - found.processed
    problem = soak.problem or (f"{lost:,} lines were not processed" if lost else "")
    print(json.dumps(asdict(found), indent=2))
    figures = {
        "rate": chosen.rate,
        "settle_ms": chosen.settle_ms,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "load_before": load_before,
        "problem": problem,
        "summary": asdict(found),
        "samples": [asdict(one) for one in soak.samples],
        "windows": [asdict(one) for one in windows(ages.at, ages.ms, soak.start)],
    }
    title = f"{found.processed:,} lines at {chosen.rate:,.0f} a second, one worker, {os.cpu_count()} shared cores"
    for path in (chosen.json, chosen.picture):
        path.parent.mkdir(parents=True, exist_ok=True)
    chosen.json.write_text(json.dumps(figures))
    chosen.picture.write_bytes(picture(title, soak.samples, windows(ages.at, ages.ms, soak.start)))
    print(f"Wrote {chosen.json} and {chosen.picture}.")
    if problem:
        raise SystemExit(f"It did not hold: {problem}.")


if __name__ == "__main__":
    with plain_errors():
        main()
