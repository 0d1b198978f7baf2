"""Cost of what a training reads before it fits, by stage: processor seconds and peak memory of one process.

    python -m bench.preparation 20000 60000 [--basket-size 4.7]

The numbers are customers. Each shop is simulated as Parquet and read in a process of its own. All stages but ``read``
are done once for each fit and for the evaluation. A million customers take about 400 processor seconds and 32 million
lines.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from state.events.dates import DAY
from state.settings import Settings
from training.data.log import read_table
from training.data.purchases import purchases_of
from training.data.simulator import GIFTS, write_parquet
from training.data.walk import prediction_points, walk_points
from training.evaluation.cases import evaluation_cases
from training.evaluation.split import Span
from training.models.global_statistics import INVOICES_AT_ONCE, GlobalStatisticsBuilder

Result = TypeVar("Result")

POINTS = 2_000
WINDOW = 100
CASES = 10_000
EVALUATION_DAYS = 28


def measure(customers: int, basket_size: float) -> None:
    """Print the stages of one shop."""

    def timed(stage: str, run: Callable[[], Result]) -> Result:
        began = time.process_time()
        result = run()
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{customers:>9,}  {stage:<34} {time.process_time() - began:>8.1f} {memory:>9,.0f}", flush=True)
        return result

    with tempfile.TemporaryDirectory(prefix="nextbasket-preparation-") as folder:
        path = Path(folder) / "shop.parquet"
        profile = replace(GIFTS, size=(basket_size, *GIFTS.size[1:]))
        timed("simulate", lambda: write_parquet(path, profile, customers=customers))
        log, ledger = timed("read", lambda: read_table(path, Settings()))
        print(f"{customers:>9,}  {ledger.purchase_lines:,} purchase lines, {len(log):,} invoices", flush=True)
    timed("columns", lambda: purchases_of(log))
    purchases = log.purchases
    end = log[-1].date + 1

    def read_statistics() -> None:
        builder = GlobalStatisticsBuilder(log)
        for start in range(0, len(log), INVOICES_AT_ONCE):
            builder._read(start, min(len(log), start + INVOICES_AT_ONCE))

    def walk_some() -> None:
        points = prediction_points(purchases, moment="both", start=end - EVALUATION_DAYS * DAY, end=end)
        points = points.of(slice(None, None, max(len(points.target) // POINTS, 1)))
        for _ in walk_points(log, purchases, points, WINDOW):
            pass

    timed("statistics, without their fits", read_statistics)
    timed(f"walk of {POINTS:,} points", walk_some)
    timed("evaluation cases", lambda: evaluation_cases(log, Span(end - EVALUATION_DAYS * DAY, end), max_cases=CASES))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("customers", type=int, nargs="*", default=[20_000, 60_000], help="default: 20000 60000")
    parser.add_argument(
        "--basket-size", type=float, default=4.7, help="median lines of a basket (default: %(default)s)"
    )
    options = parser.parse_args()
    if len(options.customers) == 1:
        measure(options.customers[0], options.basket_size)
    else:
        print("customers  stage                                 CPU s  peak MB")
        for number in options.customers:
            command = [
                sys.executable,
                "-m",
                "bench.preparation",
                str(number),
                "--basket-size",
                str(options.basket_size),
            ]
            subprocess.run(command, check=True)
