"""Weeks: what was in demand when a basket was bought.

Demand decays, and cannot be read backwards; so it is written down at the end of each week. What was much in demand then
and was not bought, the customer saw and left; what was bought without being in demand is the customer's own taste.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from state.events.dates import DAY
from training.features.basket_lstm.flat_histories import STEPS, FlatHistories, Floats, Ints
from training.features.item_inputs import log_demand

WEEK = 7 * DAY
KEPT = 60
"""Weeks that are remembered."""


class WeeklyDemand(NamedTuple):
    """Demand at a half-life of a week as of the end of each of the newest weeks that are over.

    ``first``: number of the first of them since 1970 · ``demand`` float32 ``[weeks, places + 1]``: log of the demand
    less the greatest of its week, as in ``ItemSnapshot``; at least one week; the last place is that of an item
    never sold.
    """

    first: int
    demand: Floats

    def then(self, flat: FlatHistories, customer: Ints, place: Ints) -> Floats:
        """Demand of each candidate in the week of each of the newest baskets, or in the nearest week there is.

        Args:
            flat: The customers' baskets.
            customer: Each candidate's customer.
            place: Each candidate's place in the vocabulary.

        Returns:
            float32 ``[candidates, STEPS]``, the newest basket in the last column, 0 where there is none.
        """
        recent = flat.basket_ago < STEPS
        week = np.zeros((len(flat.n_baskets), STEPS), np.int64)
        held = np.zeros((len(flat.n_baskets), STEPS), np.float32)
        at = flat.basket_customer[recent], STEPS - 1 - flat.basket_ago[recent]
        week[at] = np.clip(flat.basket_date[recent] // WEEK - self.first, 0, len(self.demand) - 1)
        held[at] = 1.0
        demand: Floats = self.demand[week[customer], place[:, None]] * held[customer]
        return demand


class WeeklyDemandBuilder:
    """Demand as it is read along the log, week after week, of items numbered in order of first sight."""

    def __init__(self) -> None:
        """Begin before the first basket."""
        self._week: int | None = None
        self._demand = np.zeros(64)  # as of the end of the week that is not over
        self._over: list[NDArray[np.float32]] = []

    def sell(self, items: NDArray[np.integer], date: int) -> None:
        """Count a basket of distinct items; dates never fall."""
        self._turn(date // WEEK)
        while len(self._demand) <= items.max(initial=-1):
            self._demand = np.concatenate([self._demand, np.zeros_like(self._demand)])
        self._demand[items] += np.exp2(date % WEEK / WEEK - 1.0)

    def until(self, date: int, chosen: Sequence[int] | NDArray[np.integer]) -> WeeklyDemand:
        """The weeks that were over at a date, of the chosen items only."""
        self._turn(date // WEEK)
        demand = np.zeros((max(len(self._over), 1), len(chosen) + 1), np.float32)
        for row, seen in zip(demand, self._over, strict=False):
            known = np.asarray(chosen) < len(seen)
            row[:-1][known] = seen[np.asarray(chosen)[known]]
        logs = log_demand(demand)
        return WeeklyDemand(date // WEEK - len(demand), logs - logs.max(axis=1, keepdims=True))

    def _turn(self, week: int) -> None:
        """Write the weeks before ``week`` down."""
        if self._week is None:
            self._week = week
        for _ in range(min(week - self._week, KEPT)):  # after longer without a basket nothing is left of demand
            self._over = [*self._over[1 - KEPT :], self._demand.astype(np.float32)]
            self._demand = self._demand * 0.5
        self._week = max(week, self._week)
