"""Fits the weights of ``Retrieval``, which finds items new to a customer, on first purchases of items."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from state.events.dates import DAY
from state.events.invoice import Invoice
from training.data.purchases import purchases_of
from training.data.walk import prediction_points, walk_points
from training.features.basket_lstm.candidates import history_vectors
from training.features.basket_lstm.customer_items import customer_items
from training.features.basket_lstm.flat_histories import Floats, flatten
from training.features.basket_lstm.i2i_scores import i2i_scores_by_customer
from training.features.basket_lstm.retrieval import RETRIEVAL_INPUTS, Retrieval, RetrievalIndex
from training.features.item_inputs import ItemSnapshot
from training.models.candidate_views.labelled_views import EMISSION_DAYS, target_dates
from training.models.candidate_views.statistics_history import StatisticsHistory

DAYS = 60
"""The newest days are used: which new items a shop's customers buy changes with the season."""
MAX_CASES = 1_000
"""Visits and emissions, evenly spaced."""
NEGATIVES = 300
"""Items not bought that are drawn for each case."""
PRIOR = 1.0
"""Weight of the squared distance, in deviations of the inputs, to the default weights."""


class _RetrievalCase(NamedTuple):
    """One visit or emission.

    ``inputs`` float32 ``[items, RETRIEVAL_INPUTS]``: of the items bought for the first time, the first ``bought`` rows,
    and of items drawn from the others, to whose logits ``correction`` is added, log(others / drawn).
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
    max_targets: int,
) -> Retrieval:
    """Weights under which what customers bought for the first time is likeliest among all that is new to them.

    The loss is that of ``basket_lstm`` without the hit loss: softmax over items, −Σ log p of the bought over √(number).

    Args:
        invoices: The log, sorted by date.
        statistics_history: The global statistics as of each moment.
        until: Only what is dated before it is used, seconds since 1970.
        window: Number of invoices that a history holds.
        generator: Draws the items that were not bought.
        max_targets: The newest invoices with an earlier one of the same customer, this many at most.
    """
    dates = target_dates(invoices, until, max_targets)
    start = max(until - DAYS * DAY, dates[0] if dates else until)
    spacing = max(-(-2 * sum(date >= start for date in dates) // MAX_CASES), 1)
    cases = list(_cases(invoices, statistics_history, start, until, window, spacing, generator))
    default = Retrieval()
    if not cases:
        return default
    deviation = np.concatenate([each.inputs for each in cases]).std(axis=0, dtype=np.float64)
    deviation = np.maximum(deviation, 1e-3)
    prior = np.asarray(default.weights) * deviation
    scaled = [(each.inputs / deviation, each.bought, each.correction) for each in cases]

    def loss_and_gradient(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """Sum of the losses and its gradient."""
        distance = weights - prior
        value, gradient = PRIOR * float(distance @ distance), 2.0 * PRIOR * distance
        for inputs, bought, correction in scaled:
            score = inputs @ weights
            corrected = score.copy()
            corrected[bought:] += correction
            highest = corrected.max()
            share = np.exp(corrected - highest)
            total = share.sum()
            root = np.sqrt(bought)
            value -= float((score[:bought] - highest - np.log(total)).sum() / root)
            gradient -= inputs[:bought].sum(axis=0) / root - root * (share / total) @ inputs
        return value, gradient

    found = minimize(loss_and_gradient, prior, jac=True, method="L-BFGS-B").x
    return default._replace(weights=tuple((found / deviation).tolist()))


def _cases(
    invoices: Sequence[Invoice],
    statistics_history: StatisticsHistory,
    start: int,
    until: int,
    window: int,
    spacing: int,
    generator: np.random.Generator,
) -> Iterator[_RetrievalCase]:
    nothing = np.zeros(len(RETRIEVAL_INPUTS), np.float32)
    purchases = purchases_of(invoices)
    points = prediction_points(purchases, moment="both", start=start, end=until).of(slice(None, None, spacing))
    points = points.of(points.now >= start - EMISSION_DAYS * DAY)
    statistics_of_points = statistics_history.at_each(points.now.tolist())
    for point, statistics in zip(walk_points(invoices, purchases, points, window), statistics_of_points, strict=True):
        items = point.items
        flat = flatten([point.history], items)
        snapshot = ItemSnapshot.at(items, point.now, len(flat.unknown))
        bought_before = customer_items(flat, point.now, snapshot.size)
        binding = statistics.bind(items)
        index = RetrievalIndex.of(snapshot, binding.index_of_row, binding.vectors, nothing)
        index_of_row = np.concatenate([binding.index_of_row, np.full(len(flat.unknown), len(statistics.codes))])
        one = next(i2i_scores_by_customer(flat, bought_before, index_of_row, statistics))
        similarity = history_vectors(bought_before, 1, binding.vectors)[0] @ index.vectors.T
        rows = [items.rows.get(code, -1) for code in point.target.purchased_codes]
        bought = np.isin(index.row, rows)
        new = ~np.isin(index.row, bought_before.row)
        hits, others = np.flatnonzero(bought & new), np.flatnonzero(~bought & new)
        if not len(hits) or not len(others):
            continue
        drawn = generator.choice(others, min(NEGATIVES, len(others)), replace=False)
        inputs = index.inputs(snapshot, one.scores, similarity)[np.concatenate([hits, drawn])]
        yield _RetrievalCase(inputs, len(hits), float(np.log(len(others) / len(drawn))))
