"""The network's say on when a customer comes back: examples of every purchase, and a fit that takes open ones too.

``training.serving.return_time.network`` computes the same in numpy; a test holds the two together.
"""

from collections.abc import Sequence
from typing import NamedTuple

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from state.domain.history import CustomerHistory, add_invoice
from state.events.dates import DAY
from state.events.invoice import Invoice
from training import progress
from training.data.history_cache import HistoryCache
from training.models.standardise import Standardise
from training.serving.return_time.inputs import RETURN_INPUTS, return_inputs
from training.serving.return_time.network import EDGES

NETWORKS = 3
"""Networks whose log odds are averaged, from other beginnings: a late interval hangs on few purchases."""
WIDTH = 32
"""Hidden cells of each."""
DROPOUT = 0.1
EPOCHS = 15
BATCH = 128
PEAK = 3e-3
DECAY = 0.02

HALF_LIFE = 60.0
"""Days after which an example counts half: histories that the beginning of the log cuts short mislead."""

DEFAULT_HAZARD = 1.0 / 200.0
"""Returns a day in an interval of which nothing is known; it counts as half a customer."""

READ_BATCH = 512
"""Histories read at once."""

MAX_PURCHASES = 1_000_000
"""Purchases kept unless told: 200 bytes each."""

NEVER = np.iinfo(np.int64).min
"""The date of a next purchase that did not come."""


class ReturnExamples(NamedTuple):
    """Purchases of a log in its order, and what came of them.

    ``inputs`` float32 ``[n, inputs]`` · ``date`` int64 ``[n]``, seconds since 1970 · ``days`` float64 ``[n]``: until
    the customer's next purchase, or until the end of what is known · ``returned`` bool ``[n]``: whether there was one ·
    ``since``: when the log begins, days since 1970.
    """

    inputs: NDArray[np.float32]
    date: NDArray[np.int64]
    days: NDArray[np.float64]
    returned: NDArray[np.bool_]
    since: float


def return_examples(invoices: Sequence[Invoice], until: int, window: int, most: int = MAX_PURCHASES) -> ReturnExamples:
    """The newest purchases dated before ``until``, with the outcomes known then.

    Histories are read along the walk, and only numbers are kept: those of ``most`` purchases.

    Args:
        invoices: The log, sorted by date.
        until: First second, since 1970, that must stay unknown.
        window: Number of invoices that a history holds, as in the stream.
        most: At least 1; older purchases are left out.
    """
    since = invoices[0].date / DAY if invoices else 0.0
    histories = HistoryCache()
    last: dict[str, int] = {}
    waiting: list[CustomerHistory] = []
    # Rings: the purchase with the number n lies at n modulo most. Room that is never written to takes no memory.
    inputs = np.empty((most, len(RETURN_INPUTS)), np.float32)
    date, following = np.empty(most, np.int64), np.empty(most, np.int64)
    number = 0

    def read() -> None:
        inputs[np.arange(number - len(waiting), number) % most] = return_inputs(waiting, since)
        waiting.clear()

    for invoice in invoices:
        if invoice.date >= until:
            break
        customer = invoice.customer_id
        if customer is None:
            continue
        histories[customer] = add_invoice(histories.get(customer) or CustomerHistory(customer), invoice, window).history
        if not invoice.is_purchase:
            continue
        if last.get(customer, -1) >= max(number - most, 0):
            following[last[customer] % most] = invoice.date
        last[customer] = number
        date[number % most], following[number % most] = invoice.date, NEVER
        waiting.append(histories[customer])
        number += 1
        if len(waiting) == min(READ_BATCH, most):
            read()
    if waiting:
        read()
    newest = np.arange(max(number - most, 0), number) % most
    dates, next_date = date[newest], following[newest]
    returned = next_date != NEVER
    days = (np.where(returned, next_date, until) - dates) / DAY
    return ReturnExamples(inputs[newest], dates, days, returned, since)


def outcomes(days: NDArray[np.float64], returned: NDArray[np.bool_]) -> NDArray[np.float32]:
    """What the likelihood needs of each purchase, float32 ``[n, 2 * intervals]``.

    First the part of each interval that passed without a return, in [0, 1]; then 1 for the interval of the return. One
    still open at the end of what is known ends in the middle of an interval and has passed that part of it.
    """
    edges = np.asarray(EDGES)
    passed = np.clip((days[:, None] - edges[:-1]) / np.diff(edges), 0.0, 1.0)
    came = np.zeros_like(passed)
    back = np.flatnonzero(returned & (days <= edges[-1]))
    # A return on an edge lies before it, as "within 7 days" does.
    interval = np.maximum(np.searchsorted(edges, days[back], side="left") - 1, 0)
    came[back, interval] = 1.0
    passed[back, interval] = 0.0
    return np.concatenate([passed, came], axis=1).astype(np.float32)


def negative_log_likelihood(outcome: keras.KerasTensor, logits: keras.KerasTensor) -> keras.KerasTensor:
    """−Σ over intervals of log(1 − h) where it passed without a return, and of log h where it came; h = σ(logit).

    Source: Gensheimer and Narasimhan 2019, equation 6; (1 − h) to the power of the part where only a part has passed.

    Args:
        outcome: As ``outcomes`` gives it, ``[n, 2 * intervals]``.
        logits: ``[n, intervals]``.

    Returns:
        ``[n]``.
    """
    passed, came = ops.split(outcome, 2, axis=-1)
    return ops.sum(passed * ops.softplus(logits) + came * ops.softplus(-logits), axis=-1)


class ReturnNetwork(keras.Model):  # type: ignore[misc]  # Keras has no types
    """Log odds of a return in each of the intervals between ``EDGES``, given none before: one hidden layer.

    What customers differ by is learnt as steps from one interval to the next. So a late interval, which the log has
    hardly seen yet, goes by what is known of the earlier ones, and not by what is usual of everybody.
    """

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__(name="returns")
        self.since = self.add_weight(shape=(1,), initializer="zeros", trainable=False, name="since")
        self.standardise = Standardise(len(RETURN_INPUTS), "standardise")
        self.hidden = keras.layers.Dense(width, activation="tanh", name="hidden")
        self.dropout = keras.layers.Dropout(DROPOUT, name="dropout")
        # It begins with what is usual, and learns how customers differ.
        self.step = keras.layers.Dense(len(EDGES) - 1, use_bias=False, kernel_initializer="zeros", name="step")
        self.usual = self.add_weight(shape=(len(EDGES) - 1,), initializer="zeros", name="bias")

    def call(self, inputs: keras.KerasTensor, training: bool = False) -> keras.KerasTensor:
        """Logits ``[customers, intervals]`` of ``RETURN_INPUTS`` ``[customers, inputs]``."""
        hidden = self.dropout(self.hidden(self.standardise(inputs)), training=training)
        return self.usual + ops.cumsum(self.step(hidden), axis=-1)

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """The weights under the names of ``training.serving.return_time.network.SHAPES``."""
        found = {
            "since": self.since,
            "mean": self.standardise.mean,
            "deviation": self.standardise.deviation,
            "hidden_kernel": self.hidden.kernel,
            "hidden_bias": self.hidden.bias,
            "hazard_kernel": ops.cumsum(self.step.kernel, axis=-1),
            "hazard_bias": self.usual,
        }
        return {name: value.numpy().astype(np.float32) for name, value in found.items()}


def fit_returns(seen: ReturnExamples, until: int) -> ReturnNetwork:
    """Fit by the likelihood of what came of every purchase; chance is Keras's (``set_random_seed``).

    Args:
        seen: At least one purchase.
        until: The end of what is known, seconds since 1970; examples count the less the longer they lie before.

    Returns:
        ``NETWORKS`` networks as one, whose log odds are the mean of theirs.
    """
    networks = []
    for number in range(NETWORKS):
        with progress.part(number * EPOCHS, (number + 1) * EPOCHS, of=NETWORKS * EPOCHS):
            networks.append(_fit_one(seen, until))
    return average_networks(networks)


def average_networks(networks: Sequence[ReturnNetwork]) -> ReturnNetwork:
    """Networks fitted on the same purchases as one, with the cells of all; its log odds are the mean of theirs."""
    first, number = networks[0], len(networks)
    together = ReturnNetwork(number * WIDTH)
    together(np.zeros((1, len(RETURN_INPUTS)), np.float32))  # builds it
    together.since.assign(first.since)
    together.standardise.set_weights(first.standardise.get_weights())
    together.hidden.kernel.assign(ops.concatenate([each.hidden.kernel for each in networks], axis=1))
    together.hidden.bias.assign(ops.concatenate([each.hidden.bias for each in networks]))
    together.step.kernel.assign(ops.concatenate([each.step.kernel for each in networks]) / number)
    together.usual.assign(sum(each.usual for each in networks) / number)
    return together


def _fit_one(seen: ReturnExamples, until: int) -> ReturnNetwork:
    network = ReturnNetwork()
    network.since.assign([seen.since])
    network.standardise.fit(seen.inputs)
    outcome = outcomes(seen.days, seen.returned)
    network(seen.inputs[:1])  # builds it
    network.usual.assign(_usual(outcome))
    weight = 0.5 ** ((until - seen.date) / DAY / HALF_LIFE)
    steps = -(-len(seen.date) // BATCH) * EPOCHS
    rate = keras.optimizers.schedules.CosineDecay(PEAK / 10, 0.8 * steps, warmup_target=PEAK, warmup_steps=0.2 * steps)
    optimizer = keras.optimizers.AdamW(rate, weight_decay=DECAY, clipnorm=1.0)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    # So small a network spends most of its time between the steps; several at a time end in the same weights.
    network.compile(optimizer=optimizer, loss=negative_log_likelihood, steps_per_execution=16)
    shown = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: progress.update(epoch + 1, EPOCHS, "returns")
    )
    network.fit(
        seen.inputs,
        outcome,
        sample_weight=(weight / weight.mean()).astype(np.float32),
        epochs=EPOCHS,
        batch_size=BATCH,
        callbacks=[shown],
        verbose=0,
    )
    return network


def _usual(outcome: NDArray[np.float32]) -> NDArray[np.float64]:
    """Log odds of a return in each interval over all customers, steadied by ``DEFAULT_HAZARD``."""
    passed, came = np.split(outcome.sum(axis=0, dtype=np.float64), 2)
    hazard = (came + 0.5 * -np.expm1(-DEFAULT_HAZARD * np.diff(EDGES))) / (passed + came + 0.5)
    usual: NDArray[np.float64] = np.log(hazard) - np.log1p(-hazard)
    return usual
