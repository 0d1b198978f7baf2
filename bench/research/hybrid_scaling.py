"""Time and memory of training the hybrid model by the number of purchase lines, in one epoch on generated purchases.

    python -m bench.research.hybrid_scaling 100_000 1_000_000

Customers have one of 50 tastes, and items follow Zipf's law within a taste and overall; a basket has ten items. The log
is in a file, and each size has a process of its own, so that the peaks are separate. A million lines take 3 minutes on
one core.
"""

import argparse
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
"""Purchases of a customer: there are a tenth as many customers as purchases."""
DAYS = 365
NEGATIVES = 512
BLOCK = 10_000


def purchases(interactions: int) -> Iterator[Invoice]:
    """Purchases by date, of about ``interactions`` lines in all."""
    generator = np.random.default_rng(1)
    count = interactions // BASKET
    customers = max(count // PER_CUSTOMER, 1)
    chance = 1.0 / np.arange(1, ITEMS + 1)
    chance /= chance.sum()
    orders = np.stack([generator.permutation(ITEMS) for _ in range(TASTES)])
    for first in range(0, count, BLOCK):
        block = min(BLOCK, count - first)
        who = generator.integers(customers, size=block)
        what = generator.choice(ITEMS, (block, BASKET), p=chance)
        by_taste = generator.random((block, BASKET)) < 0.7
        what = np.where(by_taste, orders[who % TASTES][np.arange(block)[:, None], what], what)
        for index in range(block):
            number = first + index
            lines = tuple(
                Line(f"{code:05d}", THOUSAND, 1.0 + code % 17, f"item {code} of kind {code % 40}")
                for code in dict.fromkeys(what[index].tolist())
            )
            yield Invoice(f"{number:09d}", f"c{who[index]}", 1_300_000_000 + number * DAYS * DAY // count, lines)


def train_one(interactions: int) -> None:
    """Write a log, train on it, and print a row."""
    started = time.perf_counter()
    log = merge_logs(purchases(interactions))
    written = time.perf_counter()
    model = make_model("hybrid", epochs=1, negatives=NEGATIVES)
    model.fit(log, until=log[-1].date + 1, seed=1)
    ended = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{interactions:>12,}  {len(log):>10,}  {written - started:>8.0f}  {ended - written:>9.0f}  {peak:>8,.0f}",
        flush=True,
    )


def main(sizes: list[int]) -> None:
    """Measure each size in a process of its own."""
    print(f"{'interactions':>12}  {'purchases':>10}  {'s to log':>8}  {'s to fit':>9}  {'peak MB':>8}", flush=True)
    for size in sizes:
        subprocess.run([sys.executable, "-m", "bench.research.hybrid_scaling", "--one", str(size)], check=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lines", type=int, nargs="*", default=[100_000, 1_000_000, 10_000_000])
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)  # in the process of one size
    options = parser.parse_args()
    if options.one:
        train_one(options.lines[0])
    else:
        main(options.lines)
