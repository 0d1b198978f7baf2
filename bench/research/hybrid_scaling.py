"""Print how training the hybrid model grows: ``python -m bench.research.hybrid_scaling 100_000 1_000_000``.

Made-up purchases, ten items a basket: customers of one of 50 tastes, items by Zipf's law within a taste and overall.
The log lies in a file, one epoch is run, and each size has a process of its own, so that peaks do not mix.
"""

import resource
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np

from state.events.dates import DAY
from state.events.invoice import THOUSAND, Invoice, Line
from training.data.log import merge_logs
from training.models import make_model

ITEMS = 5_000
TASTES = 50
BASKET = 10
PER_CUSTOMER = 10
"""Purchases of a customer: a tenth as many customers as purchases."""
DAYS = 365
NEGATIVES = 512
BLOCK = 10_000


def purchases(interactions: int) -> Iterator[Invoice]:
    """Purchases by date, about so many lines in all."""
    generator = np.random.default_rng(1)
    count = interactions // BASKET
    customers = max(count // PER_CUSTOMER, 1)
    chance = 1.0 / np.arange(1, ITEMS + 1)
    chance /= chance.sum()
    orders = np.stack([generator.permutation(ITEMS) for _ in range(TASTES)])
    for first in range(0, count, BLOCK):
        several = min(BLOCK, count - first)
        who = generator.integers(customers, size=several)
        what = generator.choice(ITEMS, (several, BASKET), p=chance)
        own = generator.random((several, BASKET)) < 0.7
        what = np.where(own, orders[who % TASTES][np.arange(several)[:, None], what], what)
        for place in range(several):
            number = first + place
            lines = tuple(
                Line(f"{code:05d}", THOUSAND, 1.0 + code % 17, f"item {code} of kind {code % 40}")
                for code in dict.fromkeys(what[place].tolist())
            )
            yield Invoice(f"{number:09d}", f"c{who[place]}", 1_300_000_000 + number * DAYS * DAY // count, lines)


def one(interactions: int) -> None:
    """Write a log of a size, train on it, and print a line."""
    began = time.perf_counter()
    log = merge_logs(purchases(interactions))
    written = time.perf_counter()
    model = make_model("hybrid", epochs=1, negatives=NEGATIVES)
    model.fit(log, until=log[-1].date + 1, seed=1)
    ended = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{interactions:>12,}  {len(log):>10,}  {written - began:>8.0f}  {ended - written:>9.0f}  {peak:>8,.0f}",
        flush=True,
    )


def main(sizes: list[int]) -> None:
    """Run each size in a process of its own."""
    print(f"{'interactions':>12}  {'purchases':>10}  {'s to log':>8}  {'s to fit':>9}  {'peak MB':>8}", flush=True)
    for size in sizes:
        subprocess.run([sys.executable, "-m", "bench.research.hybrid_scaling", "--one", str(size)], check=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        one(int(sys.argv[2]))
    else:
        main([int(size) for size in sys.argv[1:]] or [100_000, 1_000_000, 10_000_000])
