"""Hours to replay the history of a large shop through workers, measured on a part, and bytes of Redis a customer.

    python -m bench.replay [--registry FOLDER] [--customers 20000] [--lines 30000] [--workers 1 2 4]

A shop with 30 lines a customer is simulated, its first half stored, and the lines that follow drained by groups of
workers, as ``nextbasket replay`` would send them: in time order, line by line. Each measurement begins with the same
half, because a line costs more where histories are longer. The rest is carried on to a million customers and 30 million
lines: a line costs the same there, as neither a history nor a batch depends on the number of customers. A worker holds
some 3,000 of these customers in memory, so with 20,000 it reads most of them, as with a million. Each has
a core of its own then, and Kafka and Redis have others. ``nextbasket rebuild``, which makes no recommendations, is the
cost of applying alone.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from itertools import islice
from pathlib import Path

from redis import Redis

from bench.plain_errors import plain_errors, positive
from bench.scaling.__main__ import trained
from bench.scaling.drain import Drain, Load, drain
from bench.scaling.saturation import single_lines
from bench.scaling.servers import RedisServers
from bench.stream.workload import Workload, line_events
from state.events.invoice import Invoice
from state.settings import Settings
from state.store.redis.layout import Keys
from state.store.redis.store import RedisStore
from tests.services.kafka import KafkaServer
from training.data.log import read_table
from training.data.simulator import GIFTS, write_parquet

CUSTOMERS, LINES = 1_000_000, 30_000_000
"""What is carried on to."""
BASKET = 4.7
"""Median lines of a basket: 30 lines a customer."""
WARM_UP_INVOICES = 200
BATCH = 512
SAMPLE = 2_000
"""Keys of a kind whose bytes are asked for."""


def simulated(folder: Path, customers: int) -> list[Invoice]:
    """The invoices with a customer, by date."""
    path = folder / "shop.parquet"
    write_parquet(path, replace(GIFTS, size=(BASKET, *GIFTS.size[1:])), customers=customers)
    log, _ = read_table(path, Settings())
    return [invoice for invoice in log if invoice.customer_id]


def rebuilt(redis: RedisServers, invoices: Sequence[Invoice]) -> tuple[float, float, float]:
    """Processor seconds of the client and of Redis for applying everything, and the bytes that Redis then holds."""
    redis.empty()
    before = redis.spent()[0]
    spent, lines = 0.0, single_lines(invoices)
    with closing(RedisStore(Settings(redis_url=redis.url))) as store:
        for start in range(0, len(lines), BATCH):
            began = time.process_time()
            store.apply(lines[start : start + BATCH], clock_ms=1)
            spent += time.process_time() - began
    after = redis.spent()[0].since(before)
    return spent, after.cpu_s, after.bytes


def bytes_of(redis: RedisServers, namespace: str) -> float:
    """Mean bytes of a recommendation and of its entry in the index of who is due."""
    keys = Keys(f"{namespace}:")
    with Redis(port=redis.nodes[0].port, socket_timeout=60) as client:
        found = list(islice(client.scan_iter(keys.all_recommendations, count=1_000), SAMPLE))
        sizes = [int(client.memory_usage(key) or 0) for key in found]
        shards = [keys.due_index(shard) for shard in range(0, 1_024, 64)]
        taken = sum(int(client.memory_usage(key, samples=0) or 0) for key in shards)
        entries = sum(int(client.hlen(key)) for key in shards)
    return sum(sizes) / max(1, len(sizes)) + taken / max(1, entries)


def hours(one: Drain) -> float:
    """Of the whole replay by such a group, each worker on a core of its own."""
    return one.worker_us * LINES / one.workers / 1e6 / 3600


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print what it adds up to."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.replay", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--registry", type=Path, help="serve this registry's current model instead of training one")
    parser.add_argument("--customers", type=positive, default=20_000, help="to simulate (default: %(default)s)")
    parser.add_argument("--lines", type=positive, default=30_000, help="to drain (default: %(default)s)")
    parser.add_argument("--workers", type=positive, nargs="+", default=[1, 2, 4], help="sizes of the group")
    parser.add_argument("--dialect", default="uci", help="of the model (default: %(default)s)")
    chosen = parser.parse_args(arguments)
    with ExitStack() as closes:
        folder = Path(closes.enter_context(tempfile.TemporaryDirectory(prefix="nextbasket-replay-")))
        log = simulated(folder, chosen.customers)
        lines = sum(len(invoice.lines) for invoice in log)
        customers = len({invoice.customer_id for invoice in log})
        print(
            f"{customers:,} customers, {len(log):,} invoices, {lines:,} lines; load {os.getloadavg()[0]:.1f}",
            flush=True,
        )
        model = chosen.registry or trained(folder / "model", 8_000)
        redis = closes.enter_context(RedisServers(folder / "redis", cluster=False))
        client_s, redis_s, held = rebuilt(redis, log)
        kafka = closes.enter_context(KafkaServer(optimise=True, heap_mb=768))
        half = len(log) // 2
        warm, rest = log[half : half + WARM_UP_INVOICES], log[half + WARM_UP_INVOICES :]
        events = list(islice(line_events(rest), chosen.lines))
        load = Load(log[:half], list(line_events(warm)), events, len(events))
        data = Workload("simulated", chosen.dialect, log[:half], rest)
        found = []
        recommendation = 0.0
        for number in chosen.workers:
            one, namespace = drain(folder, kafka, redis, model, data, load, number)
            found.append(one)
            recommendation = bytes_of(redis, namespace)
            print(
                f"{number} workers: {one.events / one.seconds:,.0f} lines/s here; {one.worker_us:.0f} µs of the group "
                f"and {one.redis_us:.1f} µs of Redis a line, {one.answers / one.events:.2f} answers a line",
                flush=True,
            )
    print(f"\ncarried on to {CUSTOMERS:,} customers and {LINES:,} lines, a core for each worker:")
    for one in found:
        print(
            f"{one.workers} workers: {hours(one):.1f} hours; Redis is busy for {one.redis_us * LINES / 3.6e9:.2f} hours"
        )
    print(
        f"without recommendations (nextbasket rebuild): {client_s / lines * LINES / 3600:.2f} hours, Redis "
        f"{redis_s / lines * LINES / 3600:.2f} hours"
    )
    history = held / customers
    print(
        f"Redis: {history:,.0f} bytes a customer for the history, {recommendation:,.0f} for recommendation and entry "
        f"in the index of who is due: {(history + recommendation) * CUSTOMERS / 2**30:.1f} GiB"
    )
    print(
        f"Kafka's disk: {found[0].event_bytes:,.0f} bytes a line, {found[0].answer_bytes:,.0f} a recommendation with "
        "its scores, before compaction"
    )


if __name__ == "__main__":
    with plain_errors():
        main()
