"""Growth of training with the shop: processor time and memory of ``nextbasket train`` on simulated shops.

    python -m bench.growth 2000 4000 8000 [-- --epochs 1]
    python -m bench.growth --table shop.parquet [-- --epochs 1]

The numbers are customers. Each shop is written as Parquet and trained on in a process of its own, by the command for
users, with one thread an operation; options after ``--`` are passed to it. Child processes of a training count.
``times`` is relative to the first shop. Above the row of a shop are the stages of its training: processor seconds,
seconds by the clock, and the peak memory so far. A shop of 4,000 customers takes about 3 minutes with ``--epochs 1``.
"""

import argparse
import os
import re
import sys
import tempfile
import time
from pathlib import Path
from subprocess import PIPE, Popen
from threading import Thread
from typing import NamedTuple

from bench.memory import Usage
from bench.plain_errors import plain_errors, positive
from stream.cli.exit_codes import ExitCode, Failure
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


def simulate_shop(path: Path, customers: int, basket_size: float) -> None:
    """Write the table of a shop."""
    write_parquet(path, customers=customers, size=(basket_size, *GIFTS.size[1:]))


def measure(table: Path, options: list[str]) -> TrainingCost:
    """Train on a table.

    Raises:
        Failure: The command failed; what it wrote to standard error is printed.
    """
    with tempfile.TemporaryDirectory(prefix="nextbasket-growth-") as temporary:
        folder = Path(temporary)
        settings = {"NEXTBASKET_REGISTRY": str(folder / "registry"), "NEXTBASKET_CACHE": str(folder / "cache")}
        plain = {name: value for name, value in os.environ.items() if not name.startswith("NEXTBASKET_")}
        command = [sys.executable, "-m", "stream", "train", "--data", str(table), *options]
        cpu_before, started = children_time(), time.monotonic()
        with Popen(command, env=plain | ONE_THREAD | settings, stdout=PIPE, stderr=PIPE, text=True) as child:
            usage = Usage(child.pid)
            stages = Thread(target=_print_stages, args=(child, usage))
            stages.start()
            watching = Thread(target=usage.watch, args=(child,))
            watching.start()
            assert child.stdout is not None
            output = child.stdout.read()
            stages.join()
            watching.join()
        cpu, clock = children_time() - cpu_before, time.monotonic() - started
    found = _PURCHASES.search(output)
    if found is None or child.returncode not in (0, 1):  # 1: nothing was promoted
        code = ExitCode.DATA if child.returncode == ExitCode.DATA else ExitCode.NEGATIVE
        raise Failure(
            f"The training on {table} failed with {child.returncode}. Its reason is above. {output}".strip(), code
        )
    lines, invoices, buyers = (int(number.replace(",", "")) for number in found.groups())
    return TrainingCost(buyers, invoices, lines, cpu, clock, usage.peak_mb)


def _print_stages(child: "Popen[str]", usage: Usage) -> None:
    """Print the cost of each stage of a training when it ends; what else it writes to standard error too."""
    stage, cpu, started = "starting", 0.0, time.monotonic()
    assert child.stderr is not None
    for line in child.stderr:
        if not line.endswith(" …\n"):
            print(line, end="", file=sys.stderr, flush=True)
            continue
        usage.sample()
        now = time.monotonic()
        _print_stage(stage, usage.cpu - cpu, now - started, usage.peak_mb)
        stage, cpu, started = line.removesuffix(" …\n"), usage.cpu, now
    _print_stage(stage, usage.cpu - cpu, time.monotonic() - started, usage.peak_mb)


def _print_stage(stage: str, cpu: float, clock: float, peak: float) -> None:
    print(f"  {stage:<40} {cpu:>8.0f} {clock:>8.0f} {peak:>10,.0f}", flush=True)


def main(sizes: list[int], tables: list[Path], basket_size: float, options: list[str]) -> None:
    """Print one row for each shop."""
    first: TrainingCost | None = None
    print("customers  invoices       lines    CPU s  clock s  memory MB   times: lines   CPU  memory")
    with tempfile.TemporaryDirectory(prefix="nextbasket-growth-") as folder:
        for shop in [*sizes, *tables]:
            table = shop if isinstance(shop, Path) else Path(folder) / "shop.parquet"
            if isinstance(shop, int):
                simulate_shop(table, shop, basket_size)
            size = measure(table, options)
            first = first or size
            print(
                f"{size.customers:>9,} {size.invoices:>9,} {size.lines:>11,} {size.cpu:>8.0f} {size.clock:>8.0f} "
                f"{size.memory:>10,.0f} "
                f"{size.lines / first.lines:>14.2f} {size.cpu / first.cpu:>5.2f} {size.memory / first.memory:>7.2f}",
                flush=True,
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("customers", type=positive, nargs="*", help="default: 2000 4000 8000")
    parser.add_argument("--table", type=Path, action="append", default=[], help="a table that is there already")
    parser.add_argument(
        "--basket-size", type=float, default=GIFTS.size[0], help="median lines of a basket (default: %(default)s)"
    )
    parser.epilog = "Options after -- are passed to nextbasket train."
    separator = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    arguments = parser.parse_args(sys.argv[1:separator])
    shops = arguments.customers or ([] if arguments.table else [2_000, 4_000, 8_000])
    with plain_errors():
        main(shops, arguments.table, arguments.basket_size, sys.argv[separator + 1 :])
