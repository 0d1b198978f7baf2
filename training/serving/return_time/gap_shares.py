"""When a customer comes back: the share of the customer's own gaps, shrunk to customers with as many baskets.

What is usual is learnt from the log by Kaplan and Meier's estimate ("Nonparametric estimation from incomplete
observations", JASA 53, 1958), which also uses the customers of whom it is not yet known whether they return. The
chance is that of the invoice just made (``now`` its date); later it is conditioned on the days already gone by.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from state.events.dates import DAY
from training.serving.scorer import HORIZONS

GROUPS = (1, 2, 3, 4, 5, 6, 8, 11, 16, 26)
"""Least number of baskets of each group of customers who are compared with each other."""

DAYS = 366
"""The curves reach this many days; later returns are not foreseen."""

STRENGTH = 4.0
"""What is usual counts as much as this many gaps of the customer's own (best on 2011-04-01 to 05-31)."""


class Gaps(NamedTuple):
    """Times between baskets to learn from, each ``[n]``.

    ``baskets``: how many the customer had then · ``days``: until the next one, or until the end of the data ·
    ``returned``: whether there was a next one.
    """

    baskets: NDArray[np.int64]
    days: NDArray[np.float64]
    returned: NDArray[np.bool_]


class GapShareCurves:
    """Usual curves by number of baskets: ``curves`` float64 ``[groups, DAYS]``, the chance of a return within day d."""

    def __init__(self, curves: NDArray[np.float64]) -> None:
        """Take curves over.

        Raises:
            ValueError: They have another shape, or are no chances that never fall.
        """
        if curves.shape != (len(GROUPS), DAYS):
            raise ValueError(f"The curves have the shape {curves.shape}, not {(len(GROUPS), DAYS)}.")
        if not (np.all(curves >= 0.0) and np.all(curves <= 1.0) and np.all(np.diff(curves, axis=1) >= 0.0)):
            raise ValueError("The curves are no chances that never fall.")
        self.curves = curves

    @classmethod
    def usual(cls) -> Self:
        """Curves for a shop nothing is known of, near those of Online Retail as of 2011-10-05.

        Some come back the same day, some never; the rest at a steady rate, the sooner the more baskets they have.
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
        """Learn the usual curves; a group that nobody is in gets those of a shop nothing is known of.

        With d(t) returns on day t and n(t) who were not back before it, the chance of no return until the end of
        day t is S(t) = Π over s ≤ t of (1 − (d(s) + ½ u(s)) / (n(s) + ½)), u being the hazard of the curves of
        ``usual``: half a customer of them steadies days of which little is known.
        """
        prior = cls.usual().curves
        group = _group(gaps.baskets)
        day = np.minimum(_day(gaps.days), DAYS)
        curves = np.empty_like(prior)
        for place in range(len(GROUPS)):
            here = group == place
            ends = np.bincount(day[here], minlength=DAYS + 1)[:DAYS]
            back = np.bincount(day[here & gaps.returned], minlength=DAYS + 1)[:DAYS]
            at_risk = here.sum() - np.concatenate([[0], np.cumsum(ends)[:-1]])
            before = np.concatenate([[0.0], prior[place][:-1]])
            hazard = (prior[place] - before) / (1.0 - before)
            curves[place] = 1.0 - np.cumprod(1.0 - (back + 0.5 * hazard) / (at_risk + 0.5))
        return cls(np.clip(np.maximum.accumulate(curves, axis=1), 0.0, 1.0))

    def curve(self, dates: Sequence[int], now: int) -> tuple[float, ...]:
        """The chance of a return within each of ``HORIZONS`` days of ``now``, never falling with the horizon.

        Args:
            dates: When the customer bought, oldest first, seconds since 1970. Nobody who never bought is known, so for
                a customer without dates it is that after a first basket.
            now: The moment of the prediction; one before the last date counts as that date.
        """
        usual = self.curves[int(_group(np.asarray([max(len(dates), 1)]))[0])]
        own = _day(np.diff(np.asarray(dates, np.float64)) / DAY)
        gone = max(now - dates[-1], 0) / DAY if len(dates) else 0.0
        until = [gone, *(gone + horizon for horizon in HORIZONS)]
        chance = [
            float((STRENGTH * usual[min(int(day), DAYS - 1)] + (own <= day).sum()) / (STRENGTH + len(own)))
            for day in until
        ]
        gone_by = chance[0] if gone > 0.0 else 0.0
        left = 1.0 - gone_by
        return tuple(max(0.0, min(1.0, (each - gone_by) / left)) if left > 1e-9 else 0.0 for each in chance[1:])


def gaps(purchases: Iterable[tuple[str, int]], until: int) -> Gaps:
    """Times between baskets in a log.

    Args:
        purchases: Customer and date of every purchase, by date.
        until: End of what is known, seconds since 1970; later purchases are not looked at.
    """
    last: dict[str, tuple[int, int]] = {}
    found: list[tuple[int, float, bool]] = []
    for customer, date in purchases:
        if date >= until:
            break
        number, before = last.get(customer, (0, 0))
        if number:
            found.append((number, (date - before) / DAY, True))
        last[customer] = (number + 1, date)
    found.extend((number, (until - before) / DAY, False) for number, before in last.values())
    return Gaps(
        np.asarray([number for number, _, _ in found], np.int64),
        np.asarray([days for _, days, _ in found], np.float64),
        np.asarray([returned for _, _, returned in found], np.bool_),
    )


def _group(baskets: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.searchsorted(np.asarray(GROUPS), baskets, side="right") - 1


def _day(days: NDArray[np.float64]) -> NDArray[np.int64]:
    """Whole days within which a return lies: 0 for the same second, 1 for up to 24 hours."""
    return np.ceil(np.maximum(days, 0.0)).astype(np.int64)
