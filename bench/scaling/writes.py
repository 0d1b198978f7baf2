"""What a store alone spends on a Redis Cluster: processor time a line of each node, and of the process that writes.

    python -m bench.scaling.writes [--lines 60000] [--batch 512] [--stores 1] [--single]

Single lines are applied in batches, and after each batch the changed items are read, as a worker does; nothing is
answered or published. With several stores, each writes the batches of its customers in turn and reads what the others
changed. It takes seconds, where ``bench.scaling`` takes minutes.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from zlib import crc32

from bench.scaling.saturation import single_lines
from bench.scaling.servers import RedisServers
from bench.stream.workload import workload
from state.events.invoice import Invoice
from state.settings import Settings, load_settings
from state.store.redis.store import RedisStore

STORED = 5_000
WARM_UP_LINES = 15_000


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the measurement."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.scaling.writes",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--lines", type=int, default=60_000, help="lines that count")
    parser.add_argument("--batch", type=int, default=512, help="lines in a batch")
    parser.add_argument("--stores", type=int, default=1, help="stores that take turns")
    parser.add_argument("--single", action="store_true", help="one Redis in place of a Cluster of three")
    chosen = parser.parse_args(arguments)
    data = workload(load_settings(), stored=STORED, sent=8_000)
    events = single_lines([invoice for invoice in data.sent if invoice.customer_id])
    warm_up, counted = events[:WARM_UP_LINES], events[WARM_UP_LINES : WARM_UP_LINES + chosen.lines]
    with ExitStack() as closes:
        folder = Path(closes.enter_context(tempfile.TemporaryDirectory(prefix="nextbasket-writes-")))
        redis = closes.enter_context(RedisServers(folder, cluster=not chosen.single))
        settings = Settings(redis_url=redis.url)
        stores = [closes.enter_context(closing(RedisStore(settings))) for _ in range(chosen.stores)]
        write(stores, data.stored, chosen.batch)
        write(stores, warm_up, chosen.batch)
        before = redis.spent()
        spent_s = write(stores, counted, chosen.batch)
        cpu = [now.since(then).cpu_s for now, then in zip(redis.spent(), before, strict=True)]
    lines = len(counted)
    print(
        f"{lines:,} lines in batches of {chosen.batch}, {chosen.stores} stores, load {os.getloadavg()[0]:.1f}\n"
        f"Redis, µs a line: {1e6 * sum(cpu) / lines:.1f}, of each node "
        + " ".join(f"{1e6 * each / lines:.1f}" for each in cpu)
        + f", busiest over mean {max(cpu) * len(cpu) / sum(cpu):.2f}\n"
        f"lines a second of a core of the busiest node: {lines / max(cpu):,.0f}\n"
        f"the process that writes, µs a line: {1e6 * spent_s / lines:.1f}"
    )


def write(stores: Sequence[RedisStore], events: Sequence[Invoice], batch: int) -> float:
    """Apply events in batches, each by the store of its customer; returns the processor time of this process."""
    parts: list[list[Invoice]] = [[] for _ in stores]
    for event in events:
        parts[crc32(str(event.customer_id).encode()) % len(stores)].append(event)
    versions = [store.items().version for store in stores]
    began = time.process_time()
    for start in range(0, max(map(len, parts)), batch):
        for number, (store, part) in enumerate(zip(stores, parts, strict=True)):
            if some := part[start : start + batch]:
                store.apply(some, clock_ms=1)
                versions[number] = store.items(versions[number]).version
    return time.process_time() - began


if __name__ == "__main__":
    main()
