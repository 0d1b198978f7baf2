"""How sure a figure is: 95 % intervals from resampling customers.

Invoices of one customer resemble each other, so customers are drawn with replacement and bring all their invoices with
them (cluster bootstrap; Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, ch. 6 and 13).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

DRAWS = 2_000
"""Resamples of an interval: enough for the third decimal of its ends to hold."""

_CHUNK = 200


class Interval(NamedTuple):
    """A mean and the ends of its 95 % interval."""

    mean: float
    low: float
    high: float


def interval(
    values: NDArray[np.float64],
    customers: NDArray[np.int64],
    *,
    generator: np.random.Generator,
    draws: int = DRAWS,
    level: float = 0.95,
) -> Interval:
    """Percentile interval of a mean over invoices, resampling customers.

    For the interval of a difference, pass the differences invoice by invoice: both models meet the same draws.

    Args:
        values: One value an invoice ``[n]``; NaN where the metric is not defined there.
        customers: Which customer each invoice belongs to ``[n]``.
        generator: The source of chance; the same seed gives the same interval.
        draws: Number of resamples.
        level: Coverage.

    Returns:
        NaN all over where no value is defined. A draw that meets no defined value is left out.
    """
    defined = ~np.isnan(values)
    if not defined.any():
        return Interval(float("nan"), float("nan"), float("nan"))
    values, customers = values[defined], customers[defined]
    _, index = np.unique(customers, return_inverse=True)
    sums = np.bincount(index, weights=values).astype(np.float64)
    sizes = np.bincount(index).astype(np.float64)
    means = np.concatenate([_means(sums, sizes, generator, min(_CHUNK, draws - at)) for at in range(0, draws, _CHUNK)])
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(means, [tail, 1.0 - tail])
    return Interval(float(values.mean()), float(low), float(high))


def _means(
    sums: NDArray[np.float64], sizes: NDArray[np.float64], generator: np.random.Generator, draws: int
) -> NDArray[np.float64]:
    """Means of ``draws`` resamples: each customer weighted by how often it was drawn."""
    share = np.full(len(sums), 1.0 / len(sums))
    weights = generator.multinomial(len(sums), share, size=draws).astype(np.float64)
    means: NDArray[np.float64] = (weights @ sums) / (weights @ sizes)
    return means
