"""Cost of fitting a model on a whole table, features included: processor time, seconds by the clock, peak memory.

    python -m bench.fitting PATH [MODEL ...]

Each model is fitted on everything before the newest date, in a process of its own. numpy and TensorFlow have one thread
unless the environment sets more (``TF_NUM_INTRAOP_THREADS=2``). Child processes of a training count. ``times`` is the
processor time relative to the first model. On UCI Online Retail the three default models take about 15 minutes.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from bench.growth import ONE_THREAD
from bench.memory import peak_mb
from state.settings import load_settings
from stream.cli.progress import show_progress
from stream.cli.threads import choose_kernels
from training import progress
from training.data.log import read_table
from training.models import make_model

MODELS = ("ease_count_demand", "hybrid", "basket_lstm")


def processor_time() -> float:
    """Processor seconds of this process and its finished children."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def fit_one(path: Path, name: str) -> None:
    """Fit one model, and print processor seconds of reading and of fitting, and seconds of fitting by the clock."""
    log, _ = read_table(path, load_settings())
    read, started = processor_time(), time.monotonic()
    with show_progress():
        progress.stage(f"fitting {name}")
        make_model(name).fit(log, until=log[-1].date + 1, seed=7)
    fitted, clock = processor_time(), time.monotonic() - started
    print(f"{read:.1f} {fitted - read:.1f} {clock:.1f}")


def main(path: Path, names: list[str]) -> None:
    """Print one row for each model."""
    choose_kernels()  # for the children, as nextbasket train does
    first = None
    columns = f"{'reading, CPU s':>15} {'fitting, CPU s':>15} {'by the clock':>13} {'times':>7} {'peak MB':>8}"
    print(f"{'model':<20} {columns}", flush=True)
    for name in names:
        command = [sys.executable, "-m", "bench.fitting", "--one", str(path), name]
        with subprocess.Popen(command, env=ONE_THREAD | os.environ, stdout=subprocess.PIPE, text=True) as process:
            peak = peak_mb(process)
            assert process.stdout is not None
            output = process.stdout.read().split()
        if process.returncode:
            sys.exit(process.returncode)
        read, fitted, clock = map(float, output[-3:])
        first = first or fitted
        figures = f"{read:>15.1f} {fitted:>15.1f} {clock:>13.1f} {fitted / first:>7.1f} {peak:>8,.0f}"
        print(f"{name:<20} {figures}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, help="a table that nextbasket train can read")
    parser.add_argument("models", nargs="*", default=MODELS, help=f"default: {' '.join(MODELS)}")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)  # in the process of one model
    options = parser.parse_args()
    if not options.path.exists():
        parser.error(f"there is nothing at {options.path}")
    if options.one:
        fit_one(options.path, options.models[0])
    else:
        main(options.path, options.models)
