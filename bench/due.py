"""Time and memory of a list of who is due, the first one and those after it, over simulated customers in a real Redis.

    python -m bench.due [CUSTOMERS]

The first list reads every history and records each customer in the index, as workers do from then on. The next one
reads the index alone. Customers have 1 to 9 invoices of 3 lines. The network of the return is random, which does not
change its cost. No basket is ranked. A million customers, the default, take some minutes, and 2 GB.
"""

import argparse
import time
from collections.abc import Iterator
from contextlib import closing

import numpy as np
from redis import Redis

from state.events.dates import DAY
from state.events.invoice import Invoice, Line
from state.settings import Settings
from state.store.redis.due_index import RedisDueIndex
from state.store.redis.layout import Keys
from state.store.redis.store import RedisStore
from stream.pipeline.due import DueQuery, due_customers
from tests.services.redis import RedisServer
from tests.unit.stream.test_due_index import NetworkScorer

NOW = 1_323_435_000
MADE = 5_000
"""Customers whose histories differ; the others are copies of them."""
COUNTRIES = ("France", "Germany", "United Kingdom")
COMPARED = "list that compares all revisions"
LISTS = (
    ("first list, index empty", DueQuery(NOW, 7, limit=1_000)),
    ("next list", DueQuery(NOW, 7, limit=1_000)),
    ("next list, a day later, 30 days", DueQuery(NOW + DAY, 30, limit=1_000)),
    ("next list, of a segment", DueQuery(NOW, 7, limit=1_000, segment={"country": frozenset({"France"})})),
    (COMPARED, DueQuery(NOW, 7, limit=1_000)),
)


def invoices(customers: int, seed: int) -> Iterator[Invoice]:
    """Each customer's invoices, the number of them geometric up to 9."""
    generator = np.random.default_rng(seed)
    for customer in range(customers):
        for number in range(min(9, int(generator.geometric(0.3)))):
            codes = generator.integers(3_000, size=3).tolist()
            lines = tuple(Line(f"{code:05d}", 1_000 * (1 + code % 12), 1.0 + code % 7) for code in codes)
            date = NOW - int(generator.uniform(0, 300) * DAY)
            attributes = {"country": COUNTRIES[customer % len(COUNTRIES)]}
            yield Invoice(f"{customer}-{number}", f"c{customer}", date, lines, attributes=attributes)


def fill(store: RedisStore, admin: Redis, customers: int) -> None:
    """Write some histories, and copies of them."""
    made = min(customers, MADE)
    store.apply(list(invoices(made, seed=1)), clock_ms=1)
    keys = Keys("")
    for start in range(made, customers, MADE):
        with admin.pipeline(transaction=False) as pipeline:
            for number in range(start, min(start + MADE, customers)):
                pipeline.copy(keys.history(f"c{number % made}"), keys.history(f"c{number}"))
            pipeline.execute()


def _redis_seconds(admin: Redis) -> float:
    cpu = admin.info("cpu")
    return float(cpu["used_cpu_user"] + cpu["used_cpu_sys"])


def main(customers: int) -> None:
    """Print the seconds of each list."""
    with RedisServer(fsync="no") as server, Redis.from_url(server.url) as admin:
        settings = Settings(redis_url=server.url)
        with closing(RedisStore(settings)) as store, closing(RedisDueIndex(settings)) as index:
            fill(store, admin, customers)
            before = admin.info("memory")["used_memory"]
            print(f"{customers:,} customers, {before / 2**20:,.0f} MB in Redis", flush=True)
            for name, query in LISTS:
                if name == COMPARED:
                    index.set_complete(False)
                begin, cpu, redis_cpu = time.perf_counter(), time.process_time(), _redis_seconds(admin)
                found = due_customers(store, NetworkScorer(), query, top_k=10, index=index)
                assert found.read == customers
                seconds, spent = time.perf_counter() - begin, time.process_time() - cpu
                print(
                    f"{name:<40} {seconds:6.1f} s; processor time {spent:5.1f} s, "
                    f"of Redis {_redis_seconds(admin) - redis_cpu:5.1f} s",
                    flush=True,
                )
            print(f"the index takes {(admin.info('memory')['used_memory'] - before) / customers:,.0f} bytes a customer")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("customers", nargs="?", type=int, default=1_000_000)
    main(parser.parse_args().customers)
