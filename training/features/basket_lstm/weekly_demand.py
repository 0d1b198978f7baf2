"""Weekly demand: how an item sold in the week in which a basket was bought.

Decayed demand cannot be computed backwards, so it is stored at the end of each week. A popular item that is missing
from a basket was likely seen and not wanted; a bought item that was not popular reflects the customer's taste.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from state.events.dates import DAY
from training.features.basket_lstm.flat_histories import STEPS, FlatHistories, Floats, Ints
from training.features.item_inputs import log_demand

WEEK = 7 * DAY
MAX_WEEKS = 60
"""Weeks that are stored, the newest ones."""


class WeeklyDemand(NamedTuple):
    """Demand at a half-life of a week as of the end of each of the newest complete weeks.

    ``first``: number of the first of them since 1970 · ``demand`` float32 ``[weeks, vocabulary + 1]``: log of the
    demand less the greatest of its week, as in ``ItemSnapshot``; at least one week; the last column is that of an item
    never sold.
    """

    first: int
    demand: Floats

    def at_baskets(self, flat: FlatHistories, customer: Ints, item_index: Ints) -> Floats:
        """Demand of each candidate in the week of each of the newest baskets, or in the nearest week stored.

        Args:
            flat: The customers' baskets.
            customer: Each candidate's customer, in order.
            item_index: Each candidate's index in the vocabulary.

        Returns:
            float32 ``[STEPS, candidates]``, the newest basket last, 0 where there is none.
        """
        recent = flat.basket_ago < STEPS
        customers = len(flat.n_baskets)
        week = np.zeros((customers, STEPS), np.int64)
        at = flat.basket_customer[recent], STEPS - 1 - flat.basket_ago[recent]
        week[at] = np.minimum(np.maximum(flat.basket_date[recent] // WEEK - self.first, 0), len(self.demand) - 1)
        steps = np.minimum(flat.n_baskets, STEPS).tolist()
        demand = np.zeros((STEPS, len(item_index)), np.float32)
        numbers, width = self.demand.ravel(), self.demand.shape[1]
        ends = customer.searchsorted(np.arange(customers + 1)).tolist()
        for number, (start, end) in enumerate(pairwise(ends)):
            first = STEPS - steps[number]
            position = (week[number, first:] * width)[:, None] + item_index[start:end]
            demand[first:, start:end] = numbers.take(position)
        return demand


class WeeklyDemandBuilder:
    """Reads the log and stores the demand of each complete week; items are numbered in order of first sale."""

    def __init__(self) -> None:
        """Start before the first basket."""
        self._week: int | None = None
        self._demand = np.zeros(64)  # as of the end of the current week
        self._complete: list[NDArray[np.float32]] = []

    def add_baskets(self, items: NDArray[np.integer], dates: NDArray[np.int64]) -> None:
        """Count sales, an item of a basket each; ``dates`` of the sales must not fall."""
        while len(self._demand) <= items.max(initial=-1):
            self._demand = np.concatenate([self._demand, np.zeros_like(self._demand)])
        for sales in np.split(np.arange(len(items)), np.diff(dates // WEEK).nonzero()[0] + 1):
            if len(sales):
                self._complete_weeks(int(dates[sales[0]]) // WEEK)
                np.add.at(self._demand, items[sales], np.exp2(dates[sales] % WEEK / WEEK - 1.0))

    def as_of(self, date: int, chosen: Sequence[int] | NDArray[np.integer]) -> WeeklyDemand:
        """The weeks that were complete at a date, of the chosen items only."""
        self._complete_weeks(date // WEEK)
        demand = np.zeros((max(len(self._complete), 1), len(chosen) + 1), np.float32)
        for row, week in zip(demand, self._complete, strict=False):
            known = np.asarray(chosen) < len(week)
            row[:-1][known] = week[np.asarray(chosen)[known]]
        logs = log_demand(demand)
        return WeeklyDemand(date // WEEK - len(demand), logs - logs.max(axis=1, keepdims=True))

    def _complete_weeks(self, week: int) -> None:
        """Store the weeks before ``week``."""
        if self._week is None:
            self._week = week
        for _ in range(min(week - self._week, MAX_WEEKS)):  # older weeks would be dropped again
            self._complete = [*self._complete[1 - MAX_WEEKS :], self._demand.astype(np.float32)]
            self._demand = self._demand * 0.5
        self._week = max(week, self._week)
