"""Processor time of a refresh of 100,000 customers in a real Redis, published to the embedded broker.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python -m bench.refresh [--registry PATH] [--customers N]

The customers are those of the table, copied until there are enough. The first refresh sends a list to each; in the next
nothing differs; after that one item in a hundred is sold out. The time is that of this process, which has the broker
too; that of Redis comes apart. Without a registry a model is trained first, for five minutes; what it costs does not
depend on how long it is trained.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from random import Random

from redis import Redis

from bench.api.customers import fill
from bench.stream.workload import workload
from state.domain.catalogue import Catalogue
from state.domain.rules import Merchandising
from state.events.catalogue import CatalogueItem
from state.events.shop_dialect import shop_dialect
from state.settings import load_settings
from state.store.redis.refresh_progress import RedisRefreshProgress
from state.store.redis.store import RedisStore
from stream.kafka.config import EMBEDDED_API_VERSION
from stream.kafka.partitioner import partition_of
from stream.kafka.publisher import KafkaPublisher
from stream.monitoring import Metrics
from stream.pipeline.catalogue_changes import CatalogueChanges
from stream.pipeline.outages import Outages
from stream.pipeline.processor import Processor
from stream.pipeline.refresh import Refresher, model_name
from stream.pipeline.refresh_sender import Collaborators
from stream.pipeline.retry import RetryPolicy
from stream.tools.embedded import embedded_kafka
from tests.services.redis import RedisServer, version
from training.registry import Registry
from training.serving.load import fallback_scorer, load_scorer

CUSTOMERS = 100_000
PARTITIONS = 8
TARGET_S = 480.0


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.refresh", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--registry", type=Path, help="the current model of this registry instead of training one")
    parser.add_argument("--customers", type=int, default=CUSTOMERS)
    chosen = parser.parse_args(arguments)
    print(f"machine: {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    with ExitStack() as closes:
        folder = Path(closes.enter_context(tempfile.TemporaryDirectory(prefix="nextbasket-bench-")))
        redis = closes.enter_context(RedisServer(fsync="no"))
        print(f"Redis {version()}", flush=True)
        registry = chosen.registry or folder / "registry"
        if chosen.registry is None:
            subprocess.run([sys.executable, "-m", "bench.stream.train_model", str(registry), "0"], check=True)
        base = load_settings()
        settings = base.model_copy(
            update={
                "redis_url": redis.url,
                "kafka_brokers": closes.enter_context(embedded_kafka()),
                "kafka_api_version": EMBEDDED_API_VERSION,
                "registry": str(registry),
                "namespace": "",
                "dialect": workload(base, stored=0, sent=0).dialect,
                "refresh_delay_seconds": 0.0,
                "refresh_share": 1.0,
            }
        )
        fill(settings, chosen.customers)
        bundles = Registry(str(registry))
        current = bundles.current()
        assert current is not None
        scorer = load_scorer(bundles.open(current), dialect=shop_dialect(settings))
        metrics, stop = Metrics(), threading.Event()
        retry = RetryPolicy(stop, Random(1), Outages(metrics.outage))
        store = closes.enter_context(closing(RedisStore(settings)))
        catalogue = {"now": Merchandising()}
        processor = Processor(
            settings=settings,
            store=store,
            publisher=closes.enter_context(closing(KafkaPublisher(settings))),
            scorer=lambda: scorer,
            fallback=fallback_scorer(),
            retry=retry,
            metrics=metrics,
            merchandising=lambda: catalogue["now"],
        )
        progress = closes.enter_context(closing(RedisRefreshProgress(settings)))
        changes = CatalogueChanges()
        refresher = Refresher(
            settings,
            Collaborators(
                store=store,
                items=processor.items,
                recommender=processor.recommender,
                publisher=processor.publisher,
                retry=retry,
                progress=progress,
                changes=changes,
                partitions=lambda: PARTITIONS,
                partition_of=partition_of,
                model=lambda: model_name(scorer),
                rules=lambda: "0:",
                now=lambda: int(time.time()),
                fallback=model_name(fallback_scorer()),
                clock_problem=lambda: None,
            ),
            metrics,
        )
        admin = closes.enter_context(Redis.from_url(redis.url))

        def measure(name: str) -> None:
            cpu, server, wall = time.process_time(), _cpu_of(admin), time.perf_counter()
            before = {outcome: _count(metrics, outcome) for outcome in ("sent", "unchanged", "untouched")}
            while refresher.step(frozenset(range(PARTITIONS))) != 1.0:
                pass
            spent, served = time.process_time() - cpu, _cpu_of(admin) - server
            counts = ", ".join(f"{_count(metrics, each) - before[each]:,.0f} {each}" for each in before)
            customers = sum(_count(metrics, each) - before[each] for each in before)
            print(
                f"{name}: {counts}; CPU {spent:.1f} s and {served:.1f} s in Redis, "
                f"{spent / max(1, customers) * 1e3:.3f} ms a customer; {time.perf_counter() - wall:.0f} s by the clock",
                flush=True,
            )
            if customers >= CUSTOMERS:
                print(f"   target: at most {TARGET_S:.0f} s   {'met' if spent <= TARGET_S else 'NOT MET'}")

        refresher.step(frozenset(range(PARTITIONS)))
        progress.ask("1")
        measure("every list is sent")
        progress.ask("2")
        measure("nothing differs")
        codes = processor.items.table.codes
        gone = {code: CatalogueItem(code, stock=0.0) for code in codes[::100]}
        catalogue["now"] = Merchandising(Catalogue(gone))
        for offset, (code, item) in enumerate(gone.items()):
            changes.note(code, 0, offset, None, item)
        measure(f"{len(gone)} of {len(codes):,} items are sold out")


def _cpu_of(redis: Redis) -> float:
    used = redis.info("cpu")
    return float(used["used_cpu_user"] + used["used_cpu_sys"])


def _count(metrics: Metrics, outcome: str) -> float:
    return metrics.registry.get_sample_value("nextbasket_refreshed_customers_total", {"outcome": outcome}) or 0.0


if __name__ == "__main__":
    main()
