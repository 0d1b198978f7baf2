"""Throughput, processor time and latency of the worker and of simpler ones, on one real Kafka and one real Redis.

    python -m bench.stream [--only abc] [--baseline TREE]        (or: make bench)

Six variants run one after the other, each in a process of its own, measured from outside: in a flood, in a steady
stream at a fixed rate (100 whole invoices a second, 1,000 lines a second), and at half of the highest rate at which the
lag does not grow. With the checkout of another commit, (c) and (d) are measured with its code too. Everything shares
one machine: compare the figures with each other, not with those of other machines. Takes less than ten minutes.
"""

import argparse
import json
import os
import pickle
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

from bench.plain_errors import plain_errors
from bench.stream.measure import LATENCY_SECONDS, Result, measure
from bench.stream.start import measure_start
from bench.stream.tables import BASELINE, ratios, show
from bench.stream.variant import Event, WorkerVariant
from bench.stream.workload import Workload, invoice_events, line_events, workload
from state.settings import load_settings
from stream.kafka.topics import ensure_topics
from tests.services.kafka import VERSION, KafkaServer
from tests.services.process import free_port
from tests.services.redis import RedisServer, version

STORED, SENT = 5_000, 8_000
"""Number of invoices in Redis at the start, and of invoices sent."""

TITLES = {
    "a": "Faust as documented: async for + send, no state, no model; lines",
    "b": "nextbasket without a model; lines",
    "c": "nextbasket, lines",
    "d": "nextbasket, whole invoices",
    "e": "consumer + Redis + producer, no Faust, no model; lines",
    "f": "naive worker, model.predict for each event; invoices",
}
FLOODS = {"a": 10_000, "b": 30_000, "c": 20_000, "d": 1_500, "e": 30_000, "f": 60}
RATES = {"c": 1_000.0, "d": 100.0}
WARM_UPS = {"a": 1_000, "b": 2_000, "c": 2_000, "d": 200, "e": 2_000, "f": 5}
WITH_METRICS = "bcde"
"""Variants with the settings and metrics of nextbasket."""
WITHOUT_MODEL = {"b": "with-faust", "e": "without-faust"}
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""As ``nextbasket worker`` sets for itself."""


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

    def run(self, letter: str, tree: Path | None = None) -> Result:
        """Measure one variant in a namespace of its own, with the code of this tree or of another one."""
        with (self._folder / f"{letter}.log").open("ab") as log:
            try:
                result = measure(self._variant(letter, tree, "rate"), self._events(letter), self._brokers, log)
                if letter in RATES:
                    result.start = measure_start(
                        self._variant(letter, tree, "start"), self._events(letter)[0], self._brokers, log
                    )
            except Exception as error:
                output = (self._folder / f"{letter}.log").read_text(errors="replace")[-3_000:]
                raise RuntimeError(f"({letter}) could not be measured: {error}\n{output}") from error
        return result

    def _variant(self, letter: str, tree: Path | None, purpose: str) -> WorkerVariant:
        code = (tree or Path()).resolve()
        namespace = f"bench-{letter}-{purpose}{BASELINE if tree else ''}"
        port = free_port() if letter in WITH_METRICS else 0
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
        environment = {name: value for name, value in os.environ.items() if not name.startswith("NEXTBASKET_")}
        environment |= variables | {
            "BENCH_BROKERS": self._brokers,
            "BENCH_NAMESPACE": namespace,
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "PYTHONPATH": str(code),
        }
        if letter in RATES:
            shutil.copytree(self._model, self._folder / "registry" / namespace)
        if letter in WITH_METRICS:
            self._store_invoices(environment, code)
            command = [sys.executable, "-m", "stream", "worker"]
            if letter in WITHOUT_MODEL:
                command = [sys.executable, "-m", "bench.stream.without_model", WITHOUT_MODEL[letter]]
        else:
            ensure_topics(settings)
            module = {"a": "plain_faust", "f": "naive"}[letter]
            command = [sys.executable, "-m", f"bench.stream.{module}", "--datadir", str(self._folder / module)]
            command += ["worker", "--without-web", "--loglevel", "warn"]
        if letter in WITHOUT_MODEL:
            environment |= ONE_THREAD
        return WorkerVariant(
            letter,
            TITLES[letter],
            command,
            environment,
            str(code),
            settings.group if letter in WITH_METRICS else f"{namespace}.{module}",
            (settings.topics.invoices, settings.topics.recommendations),
            port,
            by_trigger if letter in WITH_METRICS else by_id,
            FLOODS[letter],
            WARM_UPS[letter],
            RATES.get(letter, 0.0),
            letter != "f",
        )

    def train(self) -> None:
        """Fit a model on the invoices before those sent, for the variants with one."""
        subprocess.run(
            [sys.executable, "-m", "bench.stream.train_model", str(self._model), str(len(self._data.sent))], check=True
        )

    def take_registry(self, registry: Path) -> None:
        """Serve the model of an existing registry."""
        shutil.copytree(registry, self._model)

    @property
    def _model(self) -> Path:
        return self._folder / "model"

    def _events(self, letter: str) -> list[Event]:
        shape = invoice_events if letter in "df" else line_events
        return list(shape(self._data.sent))

    def _store_invoices(self, environment: dict[str, str], code: Path) -> None:
        stored = self._folder / "stored.pickle"
        if not stored.exists():
            stored.write_bytes(pickle.dumps(self._data.stored))
        script = str(Path(__file__).with_name("store_invoices.py").resolve())
        subprocess.run([sys.executable, script, str(stored)], env=environment, cwd=code, check=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.stream", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="abcdef", help="variants to run, for example: ab")
    parser.add_argument("--registry", type=Path, help="serve this registry's current model instead of training one")
    parser.add_argument("--baseline", type=Path, help="checkout of another commit whose worker is measured too")
    parser.add_argument("--json", type=Path, default=Path("build/bench.json"), help="file of the figures")
    chosen = parser.parse_args(arguments)
    settings = load_settings()
    data = workload(settings, stored=STORED, sent=SENT)
    print(f"data: {data.source}")
    print(f"machine: {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"load of the machine {os.getloadavg()[0]:.1f}; steady streams last {LATENCY_SECONDS:g} s")
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
        for letter in chosen.only:
            results[letter] = bench.run(letter)
            if chosen.baseline and letter in RATES:
                results[letter + BASELINE] = bench.run(letter, chosen.baseline)
            print(f"({letter}) {results[letter].events_per_second:,.0f} events a second", flush=True)
    show(results)
    chosen.json.parent.mkdir(parents=True, exist_ok=True)
    figures = {"data": data.source, "results": [asdict(result) for result in results.values()], "aims": ratios(results)}
    chosen.json.write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    with plain_errors():
        main()
