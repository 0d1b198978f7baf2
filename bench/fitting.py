"""Print what it costs to fit a model on a whole table, features included.

    python -m bench.fitting PATH [MODEL ...]

Each model is fitted on everything before the newest date, in a process of its own with one thread for numpy and
TensorFlow unless the environment says otherwise (``TF_NUM_INTRAOP_THREADS=2``). Processes that a model begins beside
it count. ``times`` compares a model's processor time with the first one's.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

from bench.growth import ONE_THREAD
from bench.memory import peak_mb
from state.settings import load_settings
from stream.cli.progress import show_progress
from training import progress
from training.data.log import read_table
from training.models import make_model

MODELS = ("ease_count_demand", "hybrid", "basket_lstm")


def processor_time() -> float:
    """Seconds of this process and those it began and waited for."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def one(path: Path, name: str) -> None:
    """Fit one model; print CPU seconds of reading and fitting, and seconds of fitting by the clock."""
    log, _ = read_table(path, load_settings())
    read, begun = processor_time(), time.monotonic()
    with show_progress():
        progress.stage(f"fitting {name}")
        make_model(name).fit(log, until=log[-1].date + 1, seed=7)
    fitted, clock = processor_time(), time.monotonic() - begun
    print(f"{read:.1f} {fitted - read:.1f} {clock:.1f}")


def main(path: str, names: list[str]) -> None:
    """Print a row a model."""
    first = None
    columns = f"{'reading, CPU s':>15} {'fitting, CPU s':>15} {'by the clock':>13} {'times':>7} {'peak MB':>8}"
    print(f"{'model':<20} {columns}", flush=True)
    for name in names or MODELS:
        command = [sys.executable, "-m", "bench.fitting", "--one", path, name]
        with subprocess.Popen(command, env=ONE_THREAD | os.environ, stdout=subprocess.PIPE, text=True) as process:
            peak = peak_mb(process)
            assert process.stdout is not None
            said = process.stdout.read().split()
        if process.returncode:
            sys.exit(process.returncode)
        read, fitted, clock = map(float, said[-3:])
        first = first or fitted
        figures = f"{read:>15.1f} {fitted:>15.1f} {clock:>13.1f} {fitted / first:>7.1f} {peak:>8,.0f}"
        print(f"{name:<20} {figures}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        one(Path(sys.argv[2]), sys.argv[3])
    elif len(sys.argv) < 2 or not Path(sys.argv[1]).exists():
        sys.exit(f"{__doc__}\nPATH is a table that nextbasket train can read, such as online_retail.parquet.")
    else:
        main(sys.argv[1], sys.argv[2:])
