"""Throughput, processor time and latency of the worker and of simpler ones, on one real Kafka and one real Redis.

    python -m bench.stream [--only abc]        (or: make bench)

Six variants run one after the other, each in a process of its own, measured from outside. Everything shares one
machine: compare the figures with each other, not with those of other machines. Takes less than ten minutes.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.stream.measure import LATENCY_SECONDS, Event, Result, WorkerVariant, measure
from bench.stream.workload import Workload, invoice_events, line_events, workload
from state.events.shop_dialect import shop_dialect
from state.settings import load_settings
from state.store.claim import claim_store
from state.store.redis.store import RedisStore
from stream.kafka.topics import ensure_topics
from tests.services.kafka import VERSION, KafkaServer
from tests.services.process import free_port
from tests.services.redis import RedisServer, version

STORED, SENT = 5_000, 7_000
"""Number of invoices in Redis at the start, and of invoices sent."""

TITLES = {
    "a": "Faust as documented: async for + send, no state, no model; lines",
    "b": "nextbasket without a model; lines",
    "c": "nextbasket, lines",
    "d": "nextbasket, whole invoices",
    "e": "consumer + Redis + producer, no Faust, no model; lines",
    "f": "naive worker, model.predict for each event; invoices",
}
FLOODS = {"a": 15_000, "b": 40_000, "c": 30_000, "d": 2_500, "e": 40_000, "f": 60}
WARM_UPS = {"a": 1_000, "b": 2_000, "c": 2_000, "d": 200, "e": 2_000, "f": 5}
WITH_METRICS = "bcde"
"""Variants with the settings and metrics of nextbasket."""
WITHOUT_MODEL = {"b": "with-faust", "e": "without-faust"}
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""As ``nextbasket worker`` sets for itself."""

Ratio = tuple[str, float, str, bool]
"""A measured ratio: its name, its value, the target, whether it is met."""


def by_id(answer: dict[str, Any]) -> tuple[Any, ...] | None:
    """The event in an answer of a simpler worker."""
    return "id", answer["id"]


def by_trigger(answer: dict[str, Any]) -> tuple[Any, ...] | None:
    """The event in an answer of nextbasket."""
    trigger = answer["trigger"]
    return ("at", trigger["partition"], trigger["offset"]) if "offset" in trigger else None


class Bench:
    """The servers, the invoices and the model that all variants share."""

    def __init__(self, folder: Path, data: Workload, brokers: str, redis_url: str) -> None:
        self._folder = folder
        self._data = data
        self._brokers = brokers
        self._redis_url = redis_url

    def run(self, letter: str) -> Result:
        """Measure one variant in a namespace of its own."""
        namespace, port = f"bench-{letter}", free_port() if letter in WITH_METRICS else 0
        variables = {
            "NEXTBASKET_KAFKA_BROKERS": self._brokers,
            "NEXTBASKET_REDIS_URL": self._redis_url,
            "NEXTBASKET_NAMESPACE": namespace,
            "NEXTBASKET_REGISTRY": str(self._folder / "registry"),
            "NEXTBASKET_DIALECT": self._data.dialect,
            "NEXTBASKET_METRICS_PORT": str(port),
            "NEXTBASKET_LOG_FORMAT": "json",
        }
        settings = load_settings(variables)
        ensure_topics(settings)
        if letter in WITH_METRICS:
            self._store_invoices(variables)
            command = [str(Path(sys.executable).with_name("nextbasket")), "worker"]
            if letter in WITHOUT_MODEL:
                command = [sys.executable, "-m", "bench.stream.without_model", WITHOUT_MODEL[letter]]
        else:
            module = {"a": "plain_faust", "f": "naive"}[letter]
            command = [sys.executable, "-m", f"bench.stream.{module}", "--datadir", str(self._folder / module)]
            command += ["worker", "--without-web", "--loglevel", "warn"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("NEXTBASKET_")}
        environment |= variables | {
            "BENCH_BROKERS": self._brokers,
            "BENCH_NAMESPACE": namespace,
            "TF_CPP_MIN_LOG_LEVEL": "3",
        }
        if letter in WITHOUT_MODEL:
            environment |= ONE_THREAD
        variant = WorkerVariant(
            letter,
            TITLES[letter],
            command,
            environment,
            settings.group if letter in WITH_METRICS else f"{namespace}.{module}",
            (settings.topics.invoices, settings.topics.recommendations),
            port,
            by_trigger if letter in WITH_METRICS else by_id,
            FLOODS[letter],
            WARM_UPS[letter],
        )
        with (self._folder / f"{letter}.log").open("wb") as log:
            try:
                return measure(variant, self._events(letter), self._brokers, log)
            except Exception as error:
                output = (self._folder / f"{letter}.log").read_text(errors="replace")[-3_000:]
                raise RuntimeError(f"({letter}) could not be measured: {error}\n{output}") from error

    def train(self) -> None:
        """Fit a model on the invoices before those sent, for the variants with one."""
        registry = str(self._folder / "registry" / "bench-c")
        subprocess.run(
            [sys.executable, "-m", "bench.stream.train_model", registry, str(len(self._data.sent))], check=True
        )

    def take_registry(self, registry: Path) -> None:
        """Serve the model of an existing registry."""
        shutil.copytree(registry, self._folder / "registry" / "bench-c")

    def share_model(self) -> None:
        """The same model for both variants that have one."""
        shutil.copytree(self._folder / "registry" / "bench-c", self._folder / "registry" / "bench-d")

    def _events(self, letter: str) -> list[Event]:
        shape = invoice_events if letter in "df" else line_events
        return list(shape(self._data.sent))

    def _store_invoices(self, environment: dict[str, str]) -> None:
        settings = load_settings(environment)
        store = RedisStore(settings)
        claim_store(store, shop_dialect(settings))
        stored = self._data.stored
        for start in range(0, len(stored), 500):
            store.apply(stored[start : start + 500], clock_ms=1)
        store.close()


def ratios(results: dict[str, Result]) -> list[Ratio]:
    """The ratios with targets whose variants were measured."""
    found: list[Ratio] = []
    for over, under, target in (("b", "a", 2.5), ("c", "a", 1.5), ("d", "f", 50.0)):
        if over in results and under in results:
            ratio = results[over].events_per_second / results[under].events_per_second
            found.append((f"({over}) over ({under})", ratio, f"at least {target:g}", ratio >= target))
    if "c" in results:
        latency = results["c"].latency_p99_ms
        found.append(("p99 at half of (c)'s load, ms", latency, "under 100", 0 < latency < 100))
        memory = max(results[letter].memory_mb for letter in "cd" if letter in results)
        found.append(("memory of a worker, MB", memory, "under 700", memory < 700))
    return found


def show(results: dict[str, Result]) -> None:
    """Print the tables of results, stages and ratios."""
    print(f"\n{'':60} {'events/s':>9} {'CPU µs':>8} {'answers':>8} {'at/s':>8} {'p50 ms':>7} {'p99 ms':>7} {'MB':>5}")
    for result in results.values():
        print(
            f"({result.letter}) {result.title:56} {result.events_per_second:9,.0f} {result.cpu_us:8,.0f} "
            f"{result.answers_per_event:8.2f} {result.latency_rate:8,.0f} {result.latency_p50_ms:7.1f} "
            f"{result.latency_p99_ms:7.1f} {result.memory_mb:5.0f}"
        )
    print("\nEach stage, µs an event (wall clock of the processing thread; predict is part of answer):")
    for result in results.values():
        if result.stages_us:
            stages = "  ".join(f"{name} {spent:,.1f}" for name, spent in result.stages_us.items())
            print(f"({result.letter}) {stages}")
    print()
    for name, value, target, met in ratios(results):
        print(f"{name:32} {value:8.1f}   target: {target:14} {'met' if met else 'NOT MET'}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.stream", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="abcdef", help="variants to run, for example: ab")
    parser.add_argument("--registry", type=Path, help="serve this registry's current model instead of training one")
    parser.add_argument("--json", type=Path, default=Path("build/bench.json"), help="file of the figures")
    chosen = parser.parse_args(arguments)
    settings = load_settings()
    data = workload(settings, stored=STORED, sent=SENT)
    print(f"data: {data.source}")
    print(f"machine: {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"latency at half of each variant's own throughput, for {LATENCY_SECONDS:g} s")
    results: dict[str, Result] = {}
    with ExitStack() as closes:
        folder = Path(closes.enter_context(tempfile.TemporaryDirectory(prefix="nextbasket-bench-")))
        kafka = closes.enter_context(KafkaServer(optimise=True, heap_mb=768))
        redis = closes.enter_context(RedisServer(fsync="everysec"))
        print(f"Kafka {VERSION}, Redis {version()} (append-only file, fsync every second)", flush=True)
        bench = Bench(folder, data, kafka.brokers, redis.url)
        if set(chosen.only) & set("cd"):
            if chosen.registry:
                bench.take_registry(chosen.registry)
            else:
                bench.train()
            bench.share_model()
        for letter in chosen.only:
            results[letter] = bench.run(letter)
            print(f"({letter}) {results[letter].events_per_second:,.0f} events a second", flush=True)
    show(results)
    chosen.json.parent.mkdir(parents=True, exist_ok=True)
    figures = {"data": data.source, "results": [asdict(result) for result in results.values()], "aims": ratios(results)}
    chosen.json.write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
