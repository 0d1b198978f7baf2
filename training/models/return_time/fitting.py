"""Fits the network that predicts when a customer returns, on every purchase, open intervals included.

``training.serving.return_time.network`` computes the same in numpy; a test holds the two together.
"""

from collections.abc import Sequence
from typing import NamedTuple

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from state.events.dates import DAY
from state.events.invoice import Invoice
from training import progress
from training.data.purchases import NONE, purchases_of
from training.data.walk import HistoryReplay
from training.features.return_time.inputs import RETURN_INPUTS, return_inputs
from training.models.standardise import Standardise
from training.serving.return_time.network import EDGES

NETWORKS = 3
"""Networks whose log odds are averaged, from different initial weights: a late interval has few purchases."""
WIDTH = 32
"""Hidden cells of each."""
DROPOUT = 0.1
EPOCHS = 15
BATCH = 128
PEAK = 3e-3
DECAY = 0.02

HALF_LIFE = 60.0
"""Days after which an example counts half: histories that the start of the log cuts short mislead."""

DEFAULT_HAZARD = 1.0 / 200.0
"""Returns a day in an interval without data; it weighs as much as half a customer."""

READ_BATCH = 512
"""Histories read at once."""

MAX_PURCHASES = 1_000_000
"""Newest purchases that are used, by default: 200 bytes each."""


class ReturnExamples(NamedTuple):
    """Purchases of a log in its order, and the time to the next one.

    ``inputs`` float32 ``[n, inputs]`` · ``date`` int64 ``[n]``, seconds since 1970 · ``days`` float64 ``[n]``: until
    the customer's next purchase, or until the end of the data · ``returned`` bool ``[n]``: whether there was one ·
    ``since``: when the log begins, days since 1970.
    """

    inputs: NDArray[np.float32]
    date: NDArray[np.int64]
    days: NDArray[np.float64]
    returned: NDArray[np.bool_]
    since: float


def return_examples(
    invoices: Sequence[Invoice], until: int, window: int, max_purchases: int = MAX_PURCHASES
) -> ReturnExamples:
    """The newest purchases dated before ``until``, with their outcomes by then.

    Only the histories of customers with one of the newest purchases are read.

    Args:
        invoices: The log, sorted by date.
        until: First second, since 1970, that must stay unknown.
        window: Number of invoices that a history holds, as in the stream.
        max_purchases: At least 1; older purchases are left out.
    """
    since = invoices[0].date / DAY if invoices else 0.0
    purchases = purchases_of(invoices)
    purchases = purchases.before(purchases.first_at(until))
    newest, following = purchases.invoice[-max_purchases:], purchases.following[-max_purchases:]
    histories = HistoryReplay(invoices, purchases, window)
    inputs = np.empty((len(newest), len(RETURN_INPUTS)), np.float32)
    for start in range(0, len(newest), READ_BATCH):
        batch = newest[start : start + READ_BATCH]
        customers = purchases.customer[batch].tolist()
        read = [
            histories.advance(customer, index + 1) for customer, index in zip(customers, batch.tolist(), strict=True)
        ]
        inputs[start : start + len(batch)] = return_inputs(read, since)
    dates, returned = np.asarray(purchases.date[newest]), following != NONE
    days = (np.where(returned, purchases.date[following], until) - dates) / DAY
    return ReturnExamples(inputs, dates, days, returned, since)


def outcomes(days: NDArray[np.float64], returned: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The outcome of each purchase for the likelihood, float32 ``[n, 2 * intervals]``.

    First the part of each interval that was survived, that is, went by without a return, in [0, 1]; then 1 for the
    interval of the return, the event. A purchase without a return by the end of the data ends within an interval and
    has survived that part of it.
    """
    edges = np.asarray(EDGES)
    survived = np.clip((days[:, None] - edges[:-1]) / np.diff(edges), 0.0, 1.0)
    event = np.zeros_like(survived)
    back = np.flatnonzero(returned & (days <= edges[-1]))
    # A return on an edge lies before it, as "within 7 days" does.
    interval = np.maximum(np.searchsorted(edges, days[back], side="left") - 1, 0)
    event[back, interval] = 1.0
    survived[back, interval] = 0.0
    return np.concatenate([survived, event], axis=1).astype(np.float32)


def negative_log_likelihood(outcome: keras.KerasTensor, logits: keras.KerasTensor) -> keras.KerasTensor:
    """−Σ over intervals of log(1 − h) where it was survived, and of log h where the return was; h = σ(logit).

    Source: Gensheimer and Narasimhan 2019, equation 6; (1 − h) to the power of the part that was survived.

    Args:
        outcome: As ``outcomes`` gives it, ``[n, 2 * intervals]``.
        logits: ``[n, intervals]``.

    Returns:
        ``[n]``.
    """
    survived, event = ops.split(outcome, 2, axis=-1)
    return ops.sum(survived * ops.softplus(logits) + event * ops.softplus(-logits), axis=-1)


class ReturnNetwork(keras.Model):  # type: ignore[misc]  # Keras has no types
    """Log odds of a return in each of the intervals between ``EDGES``, given none before: one hidden layer.

    Differences between customers are trained as steps from one interval to the next, so that a late interval with
    little data follows the customer's earlier ones, and not the mean of all customers.
    """

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__(name="returns")
        self.since = self.add_weight(shape=(1,), initializer="zeros", trainable=False, name="since")
        self.standardise = Standardise(len(RETURN_INPUTS), "standardise")
        self.hidden = keras.layers.Dense(width, activation="tanh", name="hidden")
        self.dropout = keras.layers.Dropout(DROPOUT, name="dropout")
        # It starts from the mean of all customers, and learns how they differ.
        self.step = keras.layers.Dense(len(EDGES) - 1, use_bias=False, kernel_initializer="zeros", name="step")
        self.hazard_bias = self.add_weight(shape=(len(EDGES) - 1,), initializer="zeros", name="bias")

    def call(self, inputs: keras.KerasTensor, training: bool = False) -> keras.KerasTensor:
        """Logits ``[customers, intervals]`` of ``RETURN_INPUTS`` ``[customers, inputs]``."""
        hidden = self.dropout(self.hidden(self.standardise(inputs)), training=training)
        return self.hazard_bias + ops.cumsum(self.step(hidden), axis=-1)

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """The weights under the names of ``training.serving.return_time.network.SHAPES``."""
        found = {
            "since": self.since,
            "mean": self.standardise.mean,
            "deviation": self.standardise.deviation,
            "hidden_kernel": self.hidden.kernel,
            "hidden_bias": self.hidden.bias,
            "hazard_kernel": ops.cumsum(self.step.kernel, axis=-1),
            "hazard_bias": self.hazard_bias,
        }
        return {name: value.numpy().astype(np.float32) for name, value in found.items()}


def fit_returns(examples: ReturnExamples, until: int) -> ReturnNetwork:
    """Fit by the likelihood of every purchase's outcome; the seed is Keras's (``set_random_seed``).

    Args:
        examples: At least one purchase.
        until: The end of the data, seconds since 1970; older examples weigh less.

    Returns:
        ``NETWORKS`` networks as one, whose log odds are the mean of theirs.
    """
    networks = []
    for number in range(NETWORKS):
        with progress.part(number * EPOCHS, (number + 1) * EPOCHS, of=NETWORKS * EPOCHS):
            networks.append(_fit_one(examples, until))
    return average_networks(networks)


def average_networks(networks: Sequence[ReturnNetwork]) -> ReturnNetwork:
    """One network with the cells of several, fitted on the same purchases; its log odds are the mean of theirs."""
    first, number = networks[0], len(networks)
    averaged = ReturnNetwork(number * WIDTH)
    averaged(np.zeros((1, len(RETURN_INPUTS)), np.float32))  # builds it
    averaged.since.assign(first.since)
    averaged.standardise.set_weights(first.standardise.get_weights())
    averaged.hidden.kernel.assign(ops.concatenate([network.hidden.kernel for network in networks], axis=1))
    averaged.hidden.bias.assign(ops.concatenate([network.hidden.bias for network in networks]))
    averaged.step.kernel.assign(ops.concatenate([network.step.kernel for network in networks]) / number)
    averaged.hazard_bias.assign(sum(network.hazard_bias for network in networks) / number)
    return averaged


def _fit_one(examples: ReturnExamples, until: int) -> ReturnNetwork:
    network = ReturnNetwork()
    network.since.assign([examples.since])
    network.standardise.fit(examples.inputs)
    outcome = outcomes(examples.days, examples.returned)
    network(examples.inputs[:1])  # builds it
    network.hazard_bias.assign(_mean_hazard_bias(outcome))
    weight = 0.5 ** ((until - examples.date) / DAY / HALF_LIFE)
    steps = -(-len(examples.date) // BATCH) * EPOCHS
    rate = keras.optimizers.schedules.CosineDecay(PEAK / 10, 0.8 * steps, warmup_target=PEAK, warmup_steps=0.2 * steps)
    optimizer = keras.optimizers.AdamW(rate, weight_decay=DECAY, clipnorm=1.0)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    # So small a network spends most of its time between the steps; several at a time end in the same weights.
    network.compile(optimizer=optimizer, loss=negative_log_likelihood, steps_per_execution=16)
    shown = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: progress.update(epoch + 1, EPOCHS, "returns")
    )
    network.fit(
        examples.inputs,
        outcome,
        sample_weight=(weight / weight.mean()).astype(np.float32),
        epochs=EPOCHS,
        batch_size=BATCH,
        callbacks=[shown],
        verbose=0,
    )
    return network


def _mean_hazard_bias(outcome: NDArray[np.float32]) -> NDArray[np.float64]:
    """Log odds of a return in each interval over all customers, shrunk to ``DEFAULT_HAZARD``."""
    survived, event = np.split(outcome.sum(axis=0, dtype=np.float64), 2)
    hazard = (event + 0.5 * -np.expm1(-DEFAULT_HAZARD * np.diff(EDGES))) / (survived + event + 0.5)
    log_odds: NDArray[np.float64] = np.log(hazard) - np.log1p(-hazard)
    return log_odds
