"""Cost of a prediction by step and runtime, in milliseconds of processor time a customer.

    python -m bench.serving PATH

The network's weights are random, since their values do not matter. Histories and items are those at the end of the
table; customers are drawn in proportion to their invoices. numpy has one thread, TensorFlow its default. Takes about a
minute on UCI Online Retail.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from threadpoolctl import threadpool_limits

from state.domain.selection import DEPTH
from state.settings import load_settings
from training.data.cleaning.clean import clean
from training.data.cleaning.invoices import invoices
from training.data.tables.invoice_table import load
from training.data.walk import StateReplay
from training.features.basket_lstm.retrieval import Retrieval
from training.features.basket_lstm.view import CANDIDATE_INPUTS, View, build_view
from training.features.return_time.inputs import RETURN_INPUTS
from training.models.basket_lstm.network import BasketNetwork
from training.models.global_statistics import fit_global_statistics
from training.models.return_time.fitting import NETWORKS, WIDTH, ReturnNetwork
from training.serving.basket_lstm.calibration import BasketCalibration
from training.serving.basket_lstm.correction import Correction
from training.serving.basket_lstm.network import NumpyNetwork
from training.serving.basket_lstm.scorer import BasketScorer, input_sizes
from training.serving.return_time.network import NumpyReturnNetwork

BATCHES = (1, 32, 256)
SECONDS = 3.0


def main(path: str) -> None:
    """Print a row for each step, a column for each batch size."""
    log = invoices(clean(load(Path(path)), load_settings()))
    replay = StateReplay(window=100)
    for invoice in log:
        replay.apply(invoice)
    now = log[-1].date
    keras.utils.set_random_seed(7)
    generator = np.random.default_rng(7)
    buyers = [invoice.customer_id for invoice in log if invoice.customer_id is not None]
    return_network = ReturnNetwork(NETWORKS * WIDTH)
    return_network(np.zeros((1, len(RETURN_INPUTS)), np.float32))  # makes its variables
    return_time = NumpyReturnNetwork(return_network.arrays())
    with threadpool_limits(1):
        statistics = fit_global_statistics(log, now)
        network = BasketNetwork(input_sizes())
        print(f"{'ms a customer':32}" + "".join(f"{size:>10}" for size in BATCHES))
        rows: dict[str, list[float]] = {}
        for size in BATCHES:
            drawn = generator.choice(len(buyers), (16, size))
            batches = [[replay.histories[buyers[index]] for index in indices] for indices in drawn]
            views = [build_view(each, replay.items, now, statistics, Retrieval()) for each in batches]
            keras_inputs = [_inputs(view) for view in views]
            numpy_network = NumpyNetwork(network.arrays(), input_sizes())
            scorer = BasketScorer(
                "bench",
                network=numpy_network,
                correction=Correction(len(CANDIDATE_INPUTS)),
                statistics=statistics,
                calibration=BasketCalibration(),
                return_time=return_time,
                retrieval=Retrieval(),
            )
            compiled = tf.function(network, reduce_retracing=True)
            steps: dict[str, Callable[[int], object]] = {
                "features": lambda n, b=batches: build_view(b[n], replay.items, now, statistics, Retrieval()),  # type: ignore[misc]
                "network, numpy": lambda n, v=views, w=numpy_network: w.logits(v[n]),  # type: ignore[misc]
                "network, tf.function": lambda n, i=keras_inputs, c=compiled: [c(x) for x in i[n]],  # type: ignore[misc]
                "network, Keras on_batch": lambda n, i=keras_inputs: [network.predict_on_batch(x) for x in i[n]],  # type: ignore[misc]
                "prediction (numpy), top 10": lambda n, b=batches, s=scorer: s.predict(b[n], replay.items, now, 10),  # type: ignore[misc]
                "as deep as rules need, top 100": lambda n, b=batches, s=scorer: s.predict(  # type: ignore[misc]
                    b[n], replay.items, now, DEPTH
                ),
            }
            for name, step in steps.items():
                rows.setdefault(name, []).append(_timed(step, len(batches)) / size)
            rows.setdefault("candidates a customer", []).append(float(np.mean([len(v.row) for v in views])) / size)
    for name, values in rows.items():
        print(f"{name:32}" + "".join(f"{value:10.2f}" for value in values))


def _inputs(view: View) -> list[dict[str, Any]]:
    """Inputs of the Keras network: one group for each number of baskets, since it does not pad."""
    groups = []
    for length in np.unique(view.length[view.length > 0]):
        customers = np.flatnonzero(view.length == length)
        rows = np.flatnonzero(np.isin(view.customer, customers))
        groups.append(
            {
                "candidate_inputs": tf.constant(view.candidate_inputs[rows]),
                "customer_inputs": tf.constant(view.customer_inputs[customers]),
                "step_inputs": tf.constant(view.step_inputs[rows, -length:]),
                "basket_inputs": tf.constant(view.basket_inputs[customers, -length:]),
                "customer_index": tf.constant(np.searchsorted(customers, view.customer[rows]).astype(np.int32)),
            }
        )
    return groups


def _timed(step: Callable[[int], object], batches: int) -> float:
    """Milliseconds of processor time a call, which other work on the machine does not change."""
    for number in range(batches):
        step(number)
    calls, start, ends = 0, time.process_time(), time.perf_counter() + SECONDS
    while time.perf_counter() < ends or calls < 2:
        step(calls % batches)
        calls += 1
    return (time.process_time() - start) / calls * 1000


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", help="a table that nextbasket train can read")
    main(**vars(parser.parse_args()))
