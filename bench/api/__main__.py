"""Requests a second and latency of one ``nextbasket api``, by wrk, with 100,000 customers in a real Redis.

    python -m bench.api [--registry PATH]        (or: make bench-api)

Fresh rankings and answers 304 apart: as many as the process can do, then latency at half of that, and at the rates of
the targets. The customers are those of the table, copied until there are enough. Server and wrk share the machine; the
processor time of a request is the server's alone. Needs wrk (Debian: apt-get install wrk). Takes about eight minutes,
five of them for a model; its cost does not depend on how long it is trained.
"""

import argparse
import json
import os
import platform
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import quote

import httpx
import psutil

from bench.api.customers import fill
from bench.stream.workload import workload
from state.settings import Settings, load_settings
from tests.integration.api_server import api_server
from tests.services.group import wait_until
from tests.services.redis import RedisServer, version

CUSTOMERS = 100_000
ASKED = 2_000
"""Different customers of the requests 304; each needs its entity tag, which is asked for once."""
CONNECTIONS = 32
START_S = 60.0
"""How long a server may take until it answers."""
SECONDS = 20
TARGETS = {"fresh": (60, 25.0), "304": (1_000, 3.0)}
"""Requests a second, and the p99 in ms that is aimed at."""


@dataclass(frozen=True)
class Figures:
    """What wrk measured at a rate (None: as fast as answers come), and the processor time of the server."""

    kind: str
    rate: float | None
    per_second: float
    errors: int
    p50_ms: float
    p99_ms: float
    p999_ms: float
    cpu_ms: float


class Bench:
    """The running server and the requests of each kind."""

    def __init__(self, client: httpx.Client, folder: Path, customers: Sequence[str], seed: int) -> None:
        self._client = client
        self._folder = folder
        self._seed = seed
        self._process = _server_of(client)
        chosen = random.Random(seed).sample(customers, ASKED)
        self._write("fresh", [(_path(each), "") for each in customers])
        self._write("304", [(_path(each), _entity_tag(client, _path(each))) for each in chosen])

    def measure(self, kind: str, rate: float | None) -> Figures:
        """Send requests of a kind for ``SECONDS``."""
        pause_ms = 0.0 if rate is None else CONNECTIONS / rate * 1_000
        before = _cpu_seconds(self._process)
        done = subprocess.run(
            [
                *("wrk", "--threads", "1", "--connections", str(CONNECTIONS), "--duration", f"{SECONDS}s"),
                *("--timeout", "10s", "--script", str(Path(__file__).with_name("requests.lua"))),
                str(self._client.base_url),
                *("--", str(self._folder / kind), f"{pause_ms:.3f}", str(self._seed)),
            ],
            capture_output=True,
            text=True,
            check=True,
        )
        spent = _cpu_seconds(self._process) - before
        found = json.loads(done.stdout.strip().splitlines()[-1])
        return Figures(
            kind,
            rate,
            found["requests"] / found["seconds"],
            found["errors"],
            found["p50_ms"],
            found["p99_ms"],
            found["p999_ms"],
            spent / max(1, found["requests"]) * 1_000,
        )

    def _write(self, kind: str, requests: Sequence[tuple[str, str]]) -> None:
        (self._folder / kind).write_text("".join(f"{path}\t{tag}\n" for path, tag in requests))


@contextmanager
def running(settings: Settings, folder: Path) -> Iterator[httpx.Client]:
    """A server over a Redis and a registry."""
    variables = {
        "NEXTBASKET_REDIS_URL": settings.redis_url,
        "NEXTBASKET_REGISTRY": settings.registry,
        "NEXTBASKET_DIALECT": settings.dialect,
        "NEXTBASKET_API_RATE": "none",
        "NEXTBASKET_API_MAX_AGE_SECONDS": "86400",
        "NEXTBASKET_LOG_FORMAT": "json",
    }
    with api_server(variables, folder / "api.log") as client:
        wait_until(lambda: client.get("/readyz").status_code == 200, "the API is ready", START_S)
        yield client


def show(figures: Sequence[Figures]) -> None:
    """Print a row for each measurement."""
    names = ("answers/s", "errors", "p50 ms", "p99 ms", "p99.9 ms", "CPU ms")
    print(f"\n{'':6} {'asked/s':>8} " + " ".join(f"{name:>9}" for name in names))
    for each in figures:
        asked = "most" if each.rate is None else f"{each.rate:,.0f}"
        print(
            f"{each.kind:6} {asked:>8} {each.per_second:9,.1f} {each.errors:9} {each.p50_ms:9.2f} {each.p99_ms:9.2f} "
            f"{each.p999_ms:9.2f} {each.cpu_ms:9.3f}"
        )
    for kind, (rate, most) in TARGETS.items():
        for each in figures:
            if each.kind == kind and each.rate == rate:
                met = "met" if each.p99_ms <= most and not each.errors else "NOT MET"
                print(f"{kind}: p99 {each.p99_ms:.1f} ms at {rate:,} a second   target: at most {most:g} ms   {met}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.api", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--registry", type=Path, help="serve this registry's current model instead of training one")
    parser.add_argument("--json", type=Path, default=Path("build/bench-api.json"), help="file of the figures")
    chosen = parser.parse_args(arguments)
    if shutil.which("wrk") is None:
        parser.error("wrk is not installed; on Debian and Ubuntu: apt-get install wrk")
    print(f"machine: {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    figures: list[Figures] = []
    with ExitStack() as closes:
        folder = Path(closes.enter_context(tempfile.TemporaryDirectory(prefix="nextbasket-bench-")))
        redis = closes.enter_context(RedisServer(fsync="no"))
        print(f"Redis {version()}", flush=True)
        registry = chosen.registry or folder / "registry"
        if chosen.registry is None:
            subprocess.run([sys.executable, "-m", "bench.stream.train_model", str(registry), "0"], check=True)
        base = load_settings()
        dialect = workload(base, stored=0, sent=0).dialect
        settings = base.model_copy(
            update={"redis_url": redis.url, "registry": str(registry), "namespace": "", "dialect": dialect}
        )
        customers = fill(settings, CUSTOMERS)
        bench = Bench(closes.enter_context(running(settings, folder)), folder, customers, settings.seed)
        for kind, (rate, _) in TARGETS.items():
            bench.measure(kind, float(rate))  # warms up
            most = bench.measure(kind, None)
            figures += [most, bench.measure(kind, most.per_second / 2), bench.measure(kind, float(rate))]
            print(f"{kind}: {most.per_second:,.1f} a second", flush=True)
    show(figures)
    chosen.json.parent.mkdir(parents=True, exist_ok=True)
    chosen.json.write_text(json.dumps([asdict(each) for each in figures], indent=2))


def _path(customer: str) -> str:
    return f"/v1/customers/{quote(customer, safe='')}/recommendations"


def _entity_tag(client: httpx.Client, path: str) -> str:
    """The entity tag of a list; a server on a busy machine may refuse to answer late, and is asked again."""
    deadline = time.monotonic() + START_S
    while (answer := client.get(path)).status_code == 503 and time.monotonic() < deadline:
        time.sleep(1.0)
    answer.raise_for_status()
    return answer.headers["etag"]


def _server_of(client: httpx.Client) -> psutil.Process:
    """The process that listens on the client's address."""
    port = client.base_url.port
    for process in psutil.Process().children(recursive=True):
        if any(each.laddr.port == port and each.status == psutil.CONN_LISTEN for each in process.net_connections()):
            return process
    raise RuntimeError(f"no child of this process listens on port {port}")


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


if __name__ == "__main__":
    main()
