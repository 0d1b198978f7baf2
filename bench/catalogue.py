"""Cost of a larger catalogue: of an answer, of the process that gives it and its start, and of fitting item statistics.

    python -m bench.catalogue 4000 40000 100000 [--customers 500]

The numbers are items. For each a grocery shop is simulated, with as many customers. The statistics of its items
(item-to-item weights among them) are fitted once on all of it; a training does so for every week of its examples. Then
another process loads the bundle, the items and histories, and answers; between two batches items are sold. The weights
of the network are random: their values do not matter. One thread; milliseconds and seconds are processor time, the
least of several rounds. Memory of the fit is the peak of its process, the whole log and TensorFlow included. Few
customers buy a part of a large catalogue only: 2,000 buy most of 100,000 items. Takes about a minute of processor time
a size with 500 customers, three with 2,000.
"""

import argparse
import os
import pickle
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

from bench.growth import ONE_THREAD

CUSTOMERS = 500
BATCHES = 16
SIZE = 32
ROUNDS = 5
"""Each figure is the least of so many."""
COLUMNS = ("items", "sold", "lines", "fit s", "fit MB", "bundle MB", "start s", "answer MB", "ms of 32", "ms alone")


def fit(folder: Path, n_items: int, customers: int) -> None:
    """Simulate a shop, fit its item statistics, write what ``answer`` reads; print sold items, lines, seconds, MB."""
    import keras  # here only: a process that answers does without

    from state.settings import load_settings
    from training.data.log import read_table
    from training.data.simulator import GROCERIES, write_parquet
    from training.data.walk import StateReplay
    from training.features.basket_lstm.retrieval import Retrieval
    from training.features.basket_lstm.view import CANDIDATE_INPUTS
    from training.features.return_time.inputs import RETURN_INPUTS
    from training.models.basket_lstm.network import BasketNetwork
    from training.models.global_statistics import fit_global_statistics
    from training.models.return_time.fitting import NETWORKS, WIDTH, ReturnNetwork
    from training.serving.basket_lstm.calibration import BasketCalibration
    from training.serving.basket_lstm.correction import Correction
    from training.serving.basket_lstm.network import NumpyNetwork
    from training.serving.basket_lstm.scorer import BasketScorer, input_sizes
    from training.serving.return_time.network import NumpyReturnNetwork

    write_parquet(folder / "shop.parquet", GROCERIES, customers=customers, items=n_items)
    log, _ = read_table(folder / "shop.parquet", load_settings())
    replay, buyers, lines = StateReplay(window=100), [], 0
    for invoice in log:
        replay.apply(invoice)
        lines += len(invoice.lines)
        if invoice.customer_id is not None:
            buyers.append(invoice.customer_id)
    now = log[-1].date
    started = time.process_time()
    statistics = fit_global_statistics(log, now + 1)
    seconds = time.process_time() - started
    keras.utils.set_random_seed(7)
    return_network = ReturnNetwork(NETWORKS * WIDTH)
    return_network(np.zeros((1, len(RETURN_INPUTS)), np.float32))  # makes its variables
    (folder / "bundle").mkdir()
    BasketScorer(
        "bench",
        network=NumpyNetwork(BasketNetwork(input_sizes()).arrays(), input_sizes()),
        correction=Correction(len(CANDIDATE_INPUTS), statistics.codes),
        statistics=statistics,
        calibration=BasketCalibration(),
        return_time=NumpyReturnNetwork(return_network.arrays()),
        retrieval=Retrieval(),
    ).save(folder / "bundle")
    drawn = np.random.default_rng(7).choice(buyers, (BATCHES, SIZE))
    histories = [[replay.histories[customer] for customer in batch] for batch in drawn.tolist()]
    (folder / "state.pickle").write_bytes(pickle.dumps((replay.items, histories, list(log[-BATCHES:]), now)))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{len(replay.items):,} {lines:,} {seconds:.1f} {peak:,.0f}")


def answer(folder: Path) -> None:
    """Load the bundle and the state, answer; print MB of the bundle, seconds to the first answer, MB, ms a customer."""
    from training.serving.basket_lstm.scorer import load

    started = time.process_time()
    scorer = load(folder / "bundle", "bench")
    items, histories, invoices, now = pickle.loads((folder / "state.pickle").read_bytes())
    scorer.predict(histories[0][:1], items, now, 10)
    start = time.process_time() - started
    figures = {}
    for size in (SIZE, 1):
        spent = []
        for _ in range(ROUNDS + 1):
            begun = time.process_time()
            for number, (batch, invoice) in enumerate(zip(histories, invoices, strict=True)):
                items.sell(invoice.lines, now + number)
                scorer.predict(batch[:size], items, now + number, 10)
            spent.append((time.process_time() - begun) / len(histories) / size * 1000)
        figures[size] = min(spent[1:])
    memory = psutil.Process().memory_info().rss / 2**20
    bundle = sum(file.stat().st_size for file in (folder / "bundle").iterdir()) / 2**20
    print(f"{bundle:,.0f} {start:.1f} {memory:,.0f} {figures[SIZE]:.2f} {figures[1]:.2f}")


def main(sizes: list[int], customers: int) -> None:
    """Print one row for each size."""
    print("".join(f"{name:>11}" for name in COLUMNS), flush=True)
    for size in sizes:
        with tempfile.TemporaryDirectory(prefix="nextbasket-catalogue-") as folder:
            row = [f"{size:,}"]
            for step in ("fit", "answer"):
                command = [sys.executable, "-m", "bench.catalogue", str(size), "--customers", str(customers)]
                done = subprocess.run(
                    [*command, "--step", step, folder], env=os.environ | ONE_THREAD, stdout=subprocess.PIPE, text=True
                )
                if done.returncode:
                    sys.exit(done.returncode)
                row += done.stdout.splitlines()[-1].split()
        print("".join(f"{figure:>11}" for figure in row), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("items", type=int, nargs="*", default=[4_000, 40_000, 100_000], help="sizes of the catalogue")
    parser.add_argument("--customers", type=int, default=CUSTOMERS, help="of each shop")
    parser.add_argument("--step", nargs=2, help=argparse.SUPPRESS)  # in a process of its own
    options = parser.parse_args()
    if options.step is None:
        main(options.items, options.customers)
    elif options.step[0] == "fit":
        fit(Path(options.step[1]), options.items[0], options.customers)
    else:
        answer(Path(options.step[1]))
