"""Cost of a prediction by stage, in milliseconds of processor time a customer.

    python -m bench.serving PATH
    python -m bench.serving PATH --baseline TREE

The network's weights are random, since their values do not matter. Histories and items are those at the end of the
table; customers are drawn in proportion to their invoices. As in the stream, the newest invoice of every history is one
that no prediction has seen, and the others are the same objects as at the prediction before. The floor of the network
is what its matrix products and activations alone take.

With ``--baseline`` every stage is measured in turn by this tree and by another one (a folder with a checkout of an
earlier commit), each in a process of its own, and a column gives the ratio: other work on the machine changes both.
Takes about two minutes on UCI Online Retail, with a baseline four.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

SIZES = (1, 32)
ROUNDS = 5
"""Each figure is the least of so many."""
CALLS = 16
"""Batches measured in a round."""
ANSWER = "answer, top 10"
STAGES = (
    "histories as columns",
    "items as of now",
    "inputs",
    "network",
    "return curve",
    ANSWER,
    "answer, top 100",
)
"""``inputs`` holds the two before it; the answers hold all, and ranking, calibration and reasons."""


class Stages:
    """The stages of the tree that is imported, over the histories of a table."""

    def __init__(self, path: str) -> None:
        import keras  # only here: a process for each tree, which only starts others, needs none of it
        import numpy as np
        from msgspec.structs import replace

        from state.settings import load_settings
        from training.data.cleaning.clean import clean
        from training.data.cleaning.invoices import invoices
        from training.data.tables.invoice_table import load
        from training.data.walk import StateReplay
        from training.features.basket_lstm.flat_histories import flatten
        from training.features.basket_lstm.retrieval import Retrieval
        from training.features.basket_lstm.view import CANDIDATE_INPUTS, build_view
        from training.features.item_inputs import ItemSnapshot
        from training.features.return_time.inputs import RETURN_INPUTS
        from training.models.basket_lstm.network import BasketNetwork
        from training.models.global_statistics import fit_global_statistics
        from training.models.return_time.fitting import NETWORKS, WIDTH, ReturnNetwork
        from training.serving.basket_lstm.calibration import BasketCalibration
        from training.serving.basket_lstm.correction import Correction
        from training.serving.basket_lstm.network import NumpyNetwork
        from training.serving.basket_lstm.scorer import BasketScorer, input_sizes
        from training.serving.return_time.network import NumpyReturnNetwork

        log = invoices(clean(load(Path(path)), load_settings()))
        replay = StateReplay(window=100)
        for invoice in log:
            replay.apply(invoice)
        now, items = log[-1].date, replay.items
        buyers = [invoice.customer_id for invoice in log if invoice.customer_id is not None]
        generator = np.random.default_rng(7)
        drawn = {size: generator.choice(len(buyers), (CALLS, size)) for size in SIZES}
        histories = {buyer: replay.histories[buyer] for buyer in set(buyers)}
        keras.utils.set_random_seed(7)
        return_network = ReturnNetwork(NETWORKS * WIDTH)
        return_network(np.zeros((1, len(RETURN_INPUTS)), np.float32))  # makes its variables
        return_time = NumpyReturnNetwork(return_network.arrays())
        statistics = fit_global_statistics(log, now)
        self._arrays = BasketNetwork(input_sizes()).arrays()
        network = NumpyNetwork(self._arrays, input_sizes())
        scorer = BasketScorer(
            "bench",
            network=network,
            correction=Correction(len(CANDIDATE_INPUTS), statistics.codes),
            statistics=statistics,
            calibration=BasketCalibration(),
            return_time=return_time,
            retrieval=Retrieval(),
        )

        def batch(size: int, call: int) -> list[Any]:
            """Histories whose newest invoice is another object at each call."""
            found = [histories[buyers[index]] for index in drawn[size][call]]
            return [replace(one, invoices=(*one.invoices[:-1], replace(one.invoices[-1]))) for one in found]

        self._batch = batch
        self._views = {size: [scorer.view(batch(size, call), items, now) for call in range(CALLS)] for size in SIZES}
        self._stages: dict[str, Callable[[Any, Any], object]] = {
            "histories as columns": lambda batch, view: flatten(batch, items),
            "items as of now": lambda batch, view: ItemSnapshot.at(items, now, 0),
            "inputs": lambda batch, view: build_view(batch, items, now, statistics, Retrieval()),
            "network": lambda batch, view: network.logits(view),
            "return curve": lambda batch, view: return_time.curve(batch, now),
            ANSWER: lambda batch, view: scorer.predict(batch, items, now, 10),
            "answer, top 100": lambda batch, view: scorer.predict(batch, items, now, 100),
        }

    def measure(self, stage: str, size: int) -> float:
        """Milliseconds of processor time a customer: the least of ``ROUNDS``."""
        step, views = self._stages[stage], self._views[size]
        times = []
        for _ in range(ROUNDS + 1):
            spent = 0.0
            for call in range(CALLS):
                batch = self._batch(size, call)
                start = time.process_time()
                step(batch, views[call])
                spent += time.process_time() - start
            times.append(spent / CALLS / size * 1000)
        return min(times[1:])

    def floor(self) -> dict[str, float]:
        """Candidates, floating-point operations, activations and milliseconds of the network, a customer of 32."""
        import numpy as np

        arrays, views = self._arrays, self._views[32]
        customers = 32 * len(views)
        candidates = sum(len(view.row) for view in views) / customers
        steps = float(sum(view.length[view.customer].sum() for view in views)) / customers
        kernel, recurrent = arrays["lstm_kernel"], arrays["lstm_recurrent"]
        step_inputs = len(arrays["step_mean"])
        heads, inputs, width = arrays["hidden_kernel"].shape
        second = arrays["second_kernel"].shape[2]
        of_lstm = 2.0 * steps * (len(recurrent) + step_inputs) * kernel.shape[1]
        of_heads = 2.0 * candidates * heads / 2 * (inputs * width + width * second + second)
        activations = steps * 5 * len(recurrent)
        left, right = np.ones((1024, 1024), np.float32), np.ones((1024, 1024), np.float32)
        product = _least(lambda: left @ right) / (2.0 * 1024**3)
        values = np.linspace(-3.0, 3.0, 1 << 16, dtype=np.float32)
        tanh = _least(lambda: np.tanh(values)) / len(values)
        return {
            "candidates": candidates,
            "Mflop": (of_lstm + of_heads) / 1e6,
            "activations": activations,
            "ms": ((of_lstm + of_heads) * product + activations * tanh) * 1000,
        }


def _least(operation: Callable[[], object]) -> float:
    times = []
    for _ in range(50):
        start = time.process_time()
        operation()
        times.append(time.process_time() - start)
    return min(times)


def serve(path: str) -> None:
    """Answer each line of stdin, a stage and a batch size or ``floor``, by a line of JSON: the worker of a tree."""
    from stream.cli.threads import use_one_thread  # before numpy is imported

    use_one_thread(override=True)
    stages = Stages(path)
    print("ready", flush=True)
    for line in sys.stdin:
        stage, size = json.loads(line)
        print(json.dumps(stages.floor() if stage == "floor" else stages.measure(stage, size)), flush=True)


class _Tree:
    """The process that measures one tree."""

    def __init__(self, folder: Path, path: str) -> None:
        # -P: or this file's folder, which has a module named stream, would come before the tree.
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(Path(__file__).resolve()), "--serve", str(Path(path).resolve())],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(folder), "TF_CPP_MIN_LOG_LEVEL": "3"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._answer()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"The tree cannot be measured: its process ended with {self._process.wait()}.")
        return line

    def ask(self, stage: str, size: int) -> Any:
        """The answer of ``serve``."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([stage, size]) + "\n")
        self._process.stdin.flush()
        return json.loads(self._answer())

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def main(path: str, baseline: Path | None) -> None:
    """Print a row for each stage."""
    folders = [Path(__file__).resolve().parents[1], *([baseline.resolve()] if baseline else [])]
    trees = [_Tree(folder, path) for folder in folders]
    try:
        columns = [f"{column} {size}" for size in SIZES for column in ("", "baseline", "ratio")[: 3 if baseline else 1]]
        print(f"{'ms a customer in a batch of':30}" + "".join(f"{column.strip():>14}" for column in columns))
        network = 0.0
        for stage in STAGES:
            cells: list[float] = []
            for size in SIZES:
                times = _alternating(trees, stage, size)
                cells += [*times, times[1] / times[0]] if baseline else times
                if (stage, size) == ("network", 32):
                    network = times[0]
            print(f"{stage:30}" + "".join(f"{cell:14.3f}" for cell in cells), flush=True)
        floor = trees[0].ask("floor", 32)
    finally:
        for tree in trees:
            tree.close()
    print(
        f"The floor of the network, a customer in a batch of 32 with {floor['candidates']:.0f} candidates: "
        f"{floor['Mflop']:.1f} million floating-point operations and {floor['activations']:,.0f} activations take "
        f"{floor['ms']:.3f} ms; the network takes {network / floor['ms']:.1f} × that."
    )


def _alternating(trees: Iterable[_Tree], stage: str, size: int) -> list[float]:
    """The least of three measurements of each tree, in turn."""
    rounds = [[tree.ask(stage, size) for tree in trees] for _ in range(3)]
    return [min(times) for times in zip(*rounds, strict=True)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", help="a table that nextbasket train can read")
    parser.add_argument("--baseline", type=Path, help="a folder with another checkout, to compare with")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    for path in filter(None, (Path(arguments.path), arguments.baseline)):
        if not path.exists():
            parser.error(f"there is nothing at {path}")
    if arguments.serve:
        serve(arguments.path)
    else:
        main(arguments.path, arguments.baseline)
