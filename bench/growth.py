"""Growth of training with the shop: processor time and memory of ``nextbasket train`` on simulated shops.

    python -m bench.growth 2000 4000 8000 [-- --epochs 1]

The numbers are customers. Each shop is written as Parquet and trained on in a process of its own, by the command for
users, with one thread an operation; options after ``--`` are passed to it. Child processes of a training count.
``times`` is relative to the first shop. A shop of 4,000 customers takes about 3 minutes with ``--epochs 1``.
"""

import argparse
import os
import re
import sys
import tempfile
import time
from pathlib import Path
from subprocess import PIPE, Popen
from typing import NamedTuple

from bench.memory import peak_mb
from training.data.simulator import GIFTS, write_parquet

ONE_THREAD = {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
_PURCHASES = re.compile(r"purchases: ([0-9,]+) lines, ([0-9,]+) invoices, ([0-9,]+) customers")


class TrainingCost(NamedTuple):
    """A shop, and the cost of training on it: processor seconds, seconds by the clock, peak memory in MB."""

    customers: int
    invoices: int
    lines: int
    cpu: float
    clock: float
    memory: float


def children_time() -> float:
    """Processor seconds of all finished children and their children."""
    used = os.times()
    return used.children_user + used.children_system


def measure(customers: int, basket_size: float, options: list[str]) -> TrainingCost:
    """Simulate a shop and train on it.

    Raises:
        RuntimeError: The command failed; its output is in the message.
    """
    with tempfile.TemporaryDirectory(prefix="nextbasket-growth-") as temporary:
        folder = Path(temporary)
        write_parquet(folder / "shop.parquet", customers=customers, size=(basket_size, *GIFTS.size[1:]))
        settings = {"NEXTBASKET_REGISTRY": str(folder / "registry"), "NEXTBASKET_CACHE": str(folder / "cache")}
        plain = {name: value for name, value in os.environ.items() if not name.startswith("NEXTBASKET_")}
        command = [sys.executable, "-m", "stream", "train", "--data", str(folder / "shop.parquet"), *options]
        cpu_before, started = children_time(), time.monotonic()
        with Popen(command, env=plain | ONE_THREAD | settings, stdout=PIPE, text=True) as child:
            memory = peak_mb(child)
            assert child.stdout is not None
            output = child.stdout.read()
        cpu, clock = children_time() - cpu_before, time.monotonic() - started
    found = _PURCHASES.search(output)
    if found is None or child.returncode not in (0, 1):  # 1: nothing was promoted
        raise RuntimeError(f"training on {customers} customers failed ({child.returncode}): {output}")
    lines, invoices, buyers = (int(number.replace(",", "")) for number in found.groups())
    return TrainingCost(buyers, invoices, lines, cpu, clock, memory)


def main(sizes: list[int], basket_size: float, options: list[str]) -> None:
    """Print one row for each shop."""
    first: TrainingCost | None = None
    print("customers  invoices       lines    CPU s  clock s  memory MB   times: lines   CPU  memory")
    for customers in sizes:
        size = measure(customers, basket_size, options)
        first = first or size
        print(
            f"{size.customers:>9,} {size.invoices:>9,} {size.lines:>11,} {size.cpu:>8.0f} {size.clock:>8.0f} "
            f"{size.memory:>10,.0f} "
            f"{size.lines / first.lines:>14.2f} {size.cpu / first.cpu:>5.2f} {size.memory / first.memory:>7.2f}",
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("customers", type=int, nargs="*", default=[2_000, 4_000, 8_000], help="default: 2000 4000 8000")
    parser.add_argument(
        "--basket-size", type=float, default=GIFTS.size[0], help="median lines of a basket (default: %(default)s)"
    )
    parser.epilog = "Options after -- are passed to nextbasket train."
    separator = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    arguments = parser.parse_args(sys.argv[1:separator])
    main(arguments.customers, arguments.basket_size, sys.argv[separator + 1 :])
