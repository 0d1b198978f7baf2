"""Return-time baseline: the share of the customer's gaps, shrunk to customers with as many baskets.

The curves of all customers are the estimate of Kaplan and Meier ("Nonparametric estimation from incomplete
observations", JASA 53, 1958), which also uses gaps that are still open. The probability is that after the invoice just
made (``now`` is its date); later it is conditioned on the days passed since.
"""

from array import array
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from state.events.dates import DAY
from training.serving.scorer import HORIZONS

GROUPS = (1, 2, 3, 4, 5, 6, 8, 11, 16, 26)
"""Smallest number of baskets of each group of customers with a common curve."""

DAYS = 366
"""Length of the curves in days; later returns are not predicted."""

STRENGTH = 4.0
"""The common curve counts like so many gaps of the customer (best on 2011-04-01 to 05-31)."""


class Gaps(NamedTuple):
    """Times between baskets, each ``[n]``.

    ``baskets``: number of the customer's baskets then · ``days``: until the next one, or until the end of the data ·
    ``returned``: whether there was a next one.
    """

    baskets: NDArray[np.int64]
    days: NDArray[np.float64]
    returned: NDArray[np.bool_]


class GapShareCurves:
    """Curves by number of baskets: ``curves`` float64 ``[groups, DAYS]``, the probability of a return within d days."""

    def __init__(self, curves: NDArray[np.float64]) -> None:
        """Checks the curves.

        Raises:
            ValueError: They have another shape, or are no probabilities that never fall.
        """
        if curves.shape != (len(GROUPS), DAYS):
            raise ValueError(f"The curves have the shape {curves.shape}, not {(len(GROUPS), DAYS)}.")
        if not (np.all(curves >= 0.0) and np.all(curves <= 1.0) and np.all(np.diff(curves, axis=1) >= 0.0)):
            raise ValueError("The curves are no probabilities that never fall.")
        self.curves = curves

    @classmethod
    def default(cls) -> Self:
        """Curves for a shop without data, near those of Online Retail as of 2011-10-05.

        Some customers return the same day, some never, the others at a constant rate that grows with the baskets.
        """
        at_once = np.asarray([0.05, 0.06, 0.07, 0.08, 0.09, 0.11, 0.13, 0.16, 0.2, 0.3])
        ever = np.asarray([0.8, 0.9, 0.95, 0.96, 0.97, 0.98, 0.98, 0.99, 0.99, 0.99])
        scale = np.asarray([108.0, 79.0, 67.0, 50.0, 41.0, 33.0, 24.0, 18.0, 11.5, 6.0])
        days = np.arange(DAYS)
        curves = at_once[:, None] + (ever - at_once)[:, None] * -np.expm1(-days / scale[:, None])
        curves[:, 0] = 0.0
        return cls(curves)

    @classmethod
    def fit(cls, gaps: Gaps) -> Self:
        """Fits the curves; a group without customers gets the default one.

        With d(t) returns on day t and n(t) customers without a return before it, the probability of no return until
        the end of day t is S(t) = Π over s ≤ t of (1 − (d(s) + ½ u(s)) / (n(s) + ½)), where u is the hazard of the
        default curve: a prior that counts like half a customer.
        """
        prior = cls.default().curves
        group = _group(gaps.baskets)
        day = np.minimum(_day(gaps.days), DAYS)
        curves = np.empty_like(prior)
        for number in range(len(GROUPS)):
            here = group == number
            ends = np.bincount(day[here], minlength=DAYS + 1)[:DAYS]
            back = np.bincount(day[here & gaps.returned], minlength=DAYS + 1)[:DAYS]
            at_risk = here.sum() - np.concatenate([[0], np.cumsum(ends)[:-1]])
            before = np.concatenate([[0.0], prior[number][:-1]])
            hazard = (prior[number] - before) / (1.0 - before)
            curves[number] = 1.0 - np.cumprod(1.0 - (back + 0.5 * hazard) / (at_risk + 0.5))
        return cls(np.clip(np.maximum.accumulate(curves, axis=1), 0.0, 1.0))

    def curve(self, dates: Sequence[int], now: int) -> tuple[float, ...]:
        """Probability of a return within each of ``HORIZONS`` days of ``now``, never falling with the horizon.

        Args:
            dates: Of the customer's purchases, oldest first, seconds since 1970. Without any, the curve is that after a
                first basket.
            now: Time of the prediction; before the last date it counts as that date.
        """
        common = self.curves[int(_group(np.asarray([max(len(dates), 1)]))[0])]
        gaps_of_customer = _day(np.diff(np.asarray(dates, np.float64)) / DAY)
        passed = max(now - dates[-1], 0) / DAY if len(dates) else 0.0
        until = [passed, *(passed + horizon for horizon in HORIZONS)]
        probability = [
            float(
                (STRENGTH * common[min(int(day), DAYS - 1)] + (gaps_of_customer <= day).sum())
                / (STRENGTH + len(gaps_of_customer))
            )
            for day in until
        ]
        before = probability[0] if passed > 0.0 else 0.0
        left = 1.0 - before
        return tuple(max(0.0, min(1.0, (each - before) / left)) if left > 1e-9 else 0.0 for each in probability[1:])

    def curves_of(self, dates: Sequence[Sequence[int]], now: int) -> NDArray[np.float64]:
        """``curve`` of several customers, float64 ``[customers, horizons]``."""
        return np.asarray([self.curve(each, now) for each in dates], np.float64).reshape(len(dates), len(HORIZONS))


def gaps(purchases: Iterable[tuple[str, int]], until: int) -> Gaps:
    """Times between baskets in a log.

    Args:
        purchases: Customer and date of every purchase, by date.
        until: End of the data, seconds since 1970; later purchases are ignored.
    """
    last: dict[str, tuple[int, int]] = {}
    numbers, days = array("q"), array("d")  # of a large log tuples would take much memory
    for customer, date in purchases:
        if date >= until:
            break
        number, before = last.get(customer, (0, 0))
        if number:
            numbers.append(number)
            days.append((date - before) / DAY)
        last[customer] = (number + 1, date)
    n_returned = len(numbers)
    numbers.extend(number for number, _ in last.values())
    days.extend((until - before) / DAY for _, before in last.values())
    return Gaps(np.array(numbers, np.int64), np.array(days, np.float64), np.arange(len(numbers)) < n_returned)


def _group(baskets: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.searchsorted(np.asarray(GROUPS), baskets, side="right") - 1


def _day(days: NDArray[np.float64]) -> NDArray[np.int64]:
    """Whole days within which a return lies: 0 for the same second, 1 for up to 24 hours."""
    return np.ceil(np.maximum(days, 0.0)).astype(np.int64)
