"""How sure a figure is: 95 % intervals from resampling customers.

Invoices of one customer resemble each other, so customers are drawn with replacement and bring all their invoices with
them (cluster bootstrap; Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, ch. 6 and 13).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

DRAWS = 2_000
"""Resamples of an interval: enough for the third decimal of its ends to hold."""

LEVEL = 0.95


class Interval(NamedTuple):
    """A mean and the ends of its 95 % interval."""

    mean: float
    low: float
    high: float


class Resampling:
    """The same draws of customers for every figure, so that differences are those of one draw."""

    def __init__(self, customers: NDArray[np.int64], *, generator: np.random.Generator, draws: int = DRAWS) -> None:
        """Draw once.

        Args:
            customers: Which customer each invoice belongs to ``[n]``.
            generator: The source of chance; the same seed gives the same intervals.
            draws: Number of resamples.
        """
        _, self._index = np.unique(customers, return_inverse=True)
        self._n_customers = int(self._index.max(initial=-1)) + 1
        size = (draws, self._n_customers)
        drawn = generator.integers(self._n_customers, size=size) if self._n_customers else np.zeros(size, np.int64)
        self._weights = np.zeros(size, np.float32)
        for draw, chosen in enumerate(drawn):
            self._weights[draw] = np.bincount(chosen, minlength=self._n_customers)

    def interval(self, values: NDArray[np.float64]) -> Interval:
        """Percentile interval of the mean over invoices.

        For the interval of a difference, pass the differences invoice by invoice.

        Args:
            values: One value an invoice ``[n]``; NaN where the metric is not defined there.

        Returns:
            NaN all over where no value is defined. A draw that meets no defined value is left out.
        """
        defined = ~np.isnan(values)
        if not defined.any():
            return Interval(float("nan"), float("nan"), float("nan"))
        index = self._index[defined]
        sums = self._weights @ np.bincount(index, weights=values[defined], minlength=self._n_customers)
        sizes = self._weights @ np.bincount(index, minlength=self._n_customers).astype(np.float64)
        means = sums[sizes > 0.0] / sizes[sizes > 0.0]
        tail = (1.0 - LEVEL) / 2.0
        low, high = np.quantile(means, [tail, 1.0 - tail])
        return Interval(float(values[defined].mean()), float(low), float(high))
