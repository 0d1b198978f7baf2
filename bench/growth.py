"""How training grows with the shop: CPU time and memory of ``nextbasket train`` on simulated shops of several sizes.

    python -m bench.growth 2000 4000 8000 [-- --epochs 1]

Each shop is written as Parquet and trained on in a process of its own, by the very command that people use, with one
thread an operation; what follows ``--`` is given to it. Processor time and memory are of all processes of a training.
``times`` compares a shop with the first one.
"""

import os
import re
import sys
import tempfile
import time
from pathlib import Path
from subprocess import PIPE, Popen
from typing import NamedTuple

from bench.memory import peak_mb
from training.data.simulator import write_parquet

ONE_THREAD = {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
_PURCHASES = re.compile(r"purchases: ([0-9,]+) lines, ([0-9,]+) invoices, ([0-9,]+) customers")


class Size(NamedTuple):
    """One shop, and what training on it took: CPU seconds, seconds by the clock, and the peak of memory in MB."""

    customers: int
    invoices: int
    lines: int
    cpu: float
    clock: float
    memory: float


def children_time() -> float:
    """Processor seconds of all processes that this one began and waited for, and of those they began."""
    used = os.times()
    return used.children_user + used.children_system


def measure(customers: int, options: list[str]) -> Size:
    """Simulate a shop and train on it.

    Raises:
        RuntimeError: The command failed; its output is in the message.
    """
    with tempfile.TemporaryDirectory(prefix="nextbasket-growth-") as place:
        folder = Path(place)
        write_parquet(folder / "shop.parquet", customers=customers)
        settings = {"NEXTBASKET_REGISTRY": str(folder / "registry"), "NEXTBASKET_CACHE": str(folder / "cache")}
        plain = {name: value for name, value in os.environ.items() if not name.startswith("NEXTBASKET_")}
        command = [sys.executable, "-m", "stream", "train", "--data", str(folder / "shop.parquet"), *options]
        before, begun = children_time(), time.monotonic()
        with Popen(command, env=plain | ONE_THREAD | settings, stdout=PIPE, text=True) as child:
            memory = peak_mb(child)
            assert child.stdout is not None
            said = child.stdout.read()
        cpu, clock = children_time() - before, time.monotonic() - begun
    found = _PURCHASES.search(said)
    if found is None or child.returncode not in (0, 1):  # 1: nothing was promoted
        raise RuntimeError(f"training on {customers} customers failed ({child.returncode}): {said}")
    lines, invoices, buyers = (int(number.replace(",", "")) for number in found.groups())
    return Size(buyers, invoices, lines, cpu, clock, memory)


def main(arguments: list[str]) -> None:
    """Print a row a shop."""
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    first: Size | None = None
    print("customers  invoices       lines    CPU s  clock s  memory MB   times: lines   CPU  memory")
    for customers in map(int, arguments[:cut] or ["2000", "4000", "8000"]):
        size = measure(customers, arguments[cut + 1 :])
        first = first or size
        print(
            f"{size.customers:>9,} {size.invoices:>9,} {size.lines:>11,} {size.cpu:>8.0f} {size.clock:>8.0f} "
            f"{size.memory:>10,.0f} "
            f"{size.lines / first.lines:>14.2f} {size.cpu / first.cpu:>5.2f} {size.memory / first.memory:>7.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main(sys.argv[1:])
