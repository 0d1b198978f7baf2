"""Learning to retrieve: the weights by which new items are found, from what customers bought for the first time."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from state.events.dates import DAY
from state.events.invoice import Invoice
from training.data.walk import walk
from training.features.basket_lstm.candidates import I2I_CANDIDATE_INPUTS, history_vectors, i2i_scores_by_customer
from training.features.basket_lstm.customer_items import customer_items
from training.features.basket_lstm.flat_histories import Floats, flatten
from training.features.basket_lstm.retrieval import RETRIEVAL_INPUTS, Retrieval, RetrievalIndex
from training.features.item_inputs import ItemSnapshot
from training.models.candidate_views.labelled_views import EMISSION_DAYS, target_dates
from training.models.candidate_views.statistics_history import StatisticsHistory

DAYS = 60
"""The newest days are learnt from: what makes an item new to a shop's customers likely changes with its season."""
MOMENTS = 1_000
"""Visits and emissions, evenly spaced."""
OTHERS = 300
"""Items not bought that stand for all of them."""
PRIOR = 1.0
"""The usual weights count like so many moments, for each deviation that the learnt ones are off."""


class _Moment(NamedTuple):
    """One visit or emission.

    ``inputs`` float32 ``[items, RETRIEVAL_INPUTS]``: of the items bought for the first time, the first ``bought`` rows,
    and of others, each of which stands for exp(``correction``) items.
    """

    inputs: Floats
    bought: int
    correction: float


def fit_retrieval(
    invoices: Sequence[Invoice],
    statistics_history: StatisticsHistory,
    until: int,
    window: int,
    generator: np.random.Generator,
    most: int,
) -> Retrieval:
    """Weights under which what customers bought for the first time is likeliest among all that is new to them.

    The loss is that of the network without its second part: softmax over items, −Σ log p of the bought over √(number).

    Args:
        invoices: The log, sorted by date.
        statistics_history: The global statistics as of each moment.
        until: Only what is dated before it is learnt from, seconds since 1970.
        window: Number of invoices that a history holds.
        generator: Draws the items that were not bought.
        most: Of the invoices that can be learnt from only so many are, the newest.
    """
    dates = target_dates(invoices, until)[-most:]
    start = max(until - DAYS * DAY, dates[0] if dates else until)
    spacing = max(-(-2 * sum(date >= start for date in dates) // MOMENTS), 1)
    seen = list(_moments(invoices, statistics_history, start, until, window, spacing, generator))
    usual = Retrieval()
    if not seen:
        return usual
    deviation = np.concatenate([each.inputs for each in seen]).std(axis=0, dtype=np.float64)
    deviation = np.maximum(deviation, 1e-3)
    begun = np.asarray(usual.weights) * deviation
    scaled = [(each.inputs / deviation, each.bought, each.correction) for each in seen]

    def told(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """Sum of the losses and its gradient."""
        apart = weights - begun
        value, gradient = PRIOR * float(apart @ apart), 2.0 * PRIOR * apart
        for inputs, bought, correction in scaled:
            score = inputs @ weights
            raised = score.copy()
            raised[bought:] += correction
            highest = raised.max()
            share = np.exp(raised - highest)
            total = share.sum()
            root = np.sqrt(bought)
            value -= float((score[:bought] - highest - np.log(total)).sum() / root)
            gradient -= inputs[:bought].sum(axis=0) / root - root * (share / total) @ inputs
        return value, gradient

    found = minimize(told, begun, jac=True, method="L-BFGS-B").x
    return usual._replace(weights=tuple((found / deviation).tolist()))


def _moments(
    invoices: Sequence[Invoice],
    statistics_history: StatisticsHistory,
    start: int,
    until: int,
    window: int,
    spacing: int,
    generator: np.random.Generator,
) -> Iterator[_Moment]:
    nothing = np.zeros(len(RETRIEVAL_INPUTS), np.float32)
    for number, moment in enumerate(walk(invoices, moment="both", start=start, end=until, window=window)):
        if number % spacing or moment.now < start - EMISSION_DAYS * DAY:
            continue
        items, statistics = moment.items, statistics_history.at(moment.now)
        flat = flatten([moment.history], items)
        snapshot = ItemSnapshot.at(items, moment.now, len(flat.unknown))
        own = customer_items(flat, moment.now, snapshot.size)
        binding = statistics.bind(items)
        index = RetrievalIndex.of(snapshot, binding.index_of_row, binding.vectors, nothing)
        index_of_row = np.concatenate([binding.index_of_row, np.full(len(flat.unknown), len(statistics.codes))])
        one = next(i2i_scores_by_customer(flat, own, index_of_row, statistics))
        similarity = history_vectors(own, 1, binding.vectors)[0] @ index.vectors.T
        rows = [items.rows.get(line.stock_code, -1) for line in moment.target.lines if line.quantity > 0]
        bought = np.isin(index.row, rows)
        new = ~np.isin(index.row, one.bought_row)
        hits, others = np.flatnonzero(bought & new), np.flatnonzero(~bought & new)
        if not len(hits) or not len(others):
            continue
        drawn = generator.choice(others, min(OTHERS, len(others)), replace=False)
        inputs = index.inputs(snapshot, one.scores[: len(I2I_CANDIDATE_INPUTS)], similarity)[
            np.concatenate([hits, drawn])
        ]
        yield _Moment(inputs, len(hits), float(np.log(len(others) / len(drawn))))
