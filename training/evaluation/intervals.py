"""95 % intervals of metrics, from resampling customers.

Invoices of one customer resemble each other, so customers are drawn with replacement, each with all their invoices
(cluster bootstrap; Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, ch. 6 and 13).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2_000
"""Resamples of an interval: enough for the third decimal of its ends to be stable."""

LEVEL = 0.95

_BLOCK = 250
"""Resamples that are summed at once: memory grows with the customers, not with customers times all resamples."""


class Interval(NamedTuple):
    """A mean and the ends of its 95 % interval."""

    mean: float
    low: float
    high: float


class Resampling:
    """The same resamples of customers for every metric, so that two models are compared on the same resample."""

    def __init__(
        self, customers: NDArray[np.int64], *, generator: np.random.Generator, resamples: int = RESAMPLES
    ) -> None:
        """Draw the resamples, once.

        Args:
            customers: Which customer each invoice belongs to ``[n]``.
            generator: The source of randomness; the same seed gives the same intervals.
            resamples: Their number.
        """
        _, self._index = np.unique(customers, return_inverse=True)
        self._n_customers = int(self._index.max(initial=-1)) + 1
        # How often each customer was drawn: one on average, so a byte holds it.
        self._weights = np.zeros((resamples, self._n_customers), np.uint8)
        if self._n_customers:
            for resample in range(resamples):
                drawn = generator.integers(self._n_customers, size=self._n_customers)
                self._weights[resample] = np.bincount(drawn, minlength=self._n_customers)

    def interval(self, values: NDArray[np.float64]) -> Interval:
        """The interval of one column of ``intervals``: one value an invoice ``[n]``."""
        return self.intervals(values[:, None])[0]

    def intervals(self, values: NDArray[np.float64]) -> list[Interval]:
        """Percentile intervals of means over invoices, of many metrics at once: a matrix product, not a loop.

        For the interval of a difference, pass the differences invoice by invoice.

        Args:
            values: One value an invoice and metric ``[n, metrics]``; NaN where a metric is not defined.

        Returns:
            One a metric; all of it NaN where no value is defined. A resample without a defined value is left out.
        """
        defined = ~np.isnan(values)
        filled = np.where(defined, values, 0.0)
        sums, sizes = self._by_customer(filled), self._by_customer(defined.astype(np.float64))
        resampled_means = np.empty((len(self._weights), values.shape[1]))
        for start in range(0, len(resampled_means), _BLOCK):
            weights = self._weights[start : start + _BLOCK].astype(np.float64)
            with np.errstate(invalid="ignore"):  # 0 / 0, in a resample without a defined value, is NaN as it should be
                resampled_means[start : start + _BLOCK] = (weights @ sums) / (weights @ sizes)
        return [
            _interval(float(total) / int(number) if number else float("nan"), means[~np.isnan(means)])
            for total, number, means in zip(filled.sum(axis=0), defined.sum(axis=0), resampled_means.T, strict=True)
        ]

    def _by_customer(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sums over the invoices of each customer ``[customers, metrics]``."""
        columns = [np.bincount(self._index, weights=column, minlength=self._n_customers) for column in values.T]
        return np.stack(columns, axis=1) if columns else np.zeros((self._n_customers, 0))


def _interval(mean: float, resampled_means: NDArray[np.float64]) -> Interval:
    if not len(resampled_means):
        return Interval(mean, float("nan"), float("nan"))
    tail = (1.0 - LEVEL) / 2.0
    low, high = np.quantile(resampled_means, [tail, 1.0 - tail])
    return Interval(mean, float(low), float(high))
