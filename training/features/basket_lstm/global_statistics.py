"""Global statistics: what is known from the baskets of all customers up to a date; every view is computed with it."""

from collections.abc import Mapping, Sequence
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from training.features.basket_lstm.weekly_demand import WeeklyDemand
from training.features.item_table import ItemTable
from training.features.item_to_item import Neighbours
from training.features.text import TextEncoder

BASKETS = "baskets"
"""The item-to-item weights that also say what a single basket means, and why an item is recommended."""
RECENT = "recent"
CUSTOMERS = "customers"
I2I_VARIANTS = (BASKETS, RECENT, CUSTOMERS)
"""Variants of the item-to-item scores; ``training.models.global_statistics`` describes each."""

ITEM_STATISTICS = ("rebuy_ever", "rebuy_lately", "size", "quantity", "baskets")
"""How an item is bought. Log of the share of later baskets in which those who had it bought it again, ever and lately;
and of those who bought it lately the mean logs of the basket's size, of the units, and of the baskets the customer had
before (each log(1 + …))."""


class GlobalStatistics:
    """What all customers' baskets before a date say about items.

    ``codes`` is the vocabulary: the position of a stock code is the item's index, and ``len(codes)`` is the index of
    every item outside it, so dense scores have ``len(codes) + 1`` entries. ``neighbours``: item-to-item weights by
    variant. ``item_statistics`` float32 ``[len(codes) + 1, ITEM_STATISTICS]``: how each item is bought; the last row
    holds the defaults. ``weeks``: demand by week. ``text`` encodes descriptions as vectors.
    """

    def __init__(
        self,
        codes: Sequence[str],
        neighbours: Mapping[str, Neighbours],
        item_statistics: NDArray[np.float32],
        weeks: WeeklyDemand,
        text: TextEncoder,
    ) -> None:
        """Take what was learnt over.

        Raises:
            ValueError: The parts do not fit together, or hold no finite numbers.
        """
        self.codes = list(codes)
        self.item_statistics = item_statistics
        self.weeks = weeks
        self.text = text
        self.neighbours = {name: neighbours[name] for name in I2I_VARIANTS if name in neighbours}
        self._place = {code: place for place, code in enumerate(self.codes)}
        self._bindings: WeakKeyDictionary[ItemTable, Binding] = WeakKeyDictionary()
        self._check()

    def _check(self) -> None:
        size = len(self.codes)
        if self.neighbours.keys() != set(I2I_VARIANTS):
            raise ValueError(f"Of the neighbours {', '.join(I2I_VARIANTS)} some are missing.")
        if (
            self.item_statistics.shape != (size + 1, len(ITEM_STATISTICS))
            or not np.isfinite(self.item_statistics).all()
        ):
            raise ValueError(f"The habits do not go with {size} stock codes.")
        demand = self.weeks.demand
        if demand.ndim != 2 or not len(demand) or demand.shape[1] != size + 1 or not np.isfinite(demand).all():
            raise ValueError(f"The weeks do not go with {size} stock codes.")
        for neighbour, weight in self.neighbours.values():
            fits = neighbour.ndim == 2 and neighbour.shape == weight.shape and len(neighbour) == size
            if not fits or not np.isfinite(weight).all() or not ((neighbour >= 0) & (neighbour < max(size, 1))).all():
                raise ValueError(f"The neighbours do not go with {size} stock codes.")

    def bind(self, items: ItemTable) -> "Binding":
        """Places and rows of one item table, brought up to date with what the table has learnt since."""
        binding = self._bindings.get(items)
        if binding is None:
            binding = self._bindings[items] = Binding(len(self.codes), self.text)
        binding.extend(items, self._place)
        return binding


class Binding:
    """The way between a vocabulary and an item table: ``row_of_place`` int64 ``[places + 1]``, -1 for none."""

    def __init__(self, n_places: int, text: TextEncoder) -> None:
        self.row_of_place: NDArray[np.int64] = np.full(n_places + 1, -1, np.int64)
        self._places: NDArray[np.int64] = np.full(64, n_places, np.int64)
        self._vectors = np.zeros((64, text.width), np.float32)
        self._rewritten: NDArray[np.int64] = np.zeros(64, np.int64)
        self._size = 0
        self._outside = n_places
        self._text = text

    @property
    def place_of_row(self) -> NDArray[np.int64]:
        """Place of each row of the table, int64 ``[rows]``."""
        return self._places[: self._size]

    @property
    def vectors(self) -> NDArray[np.float32]:
        """Text vector of each row's description, float32 ``[rows, width]``, of length 1 or 0."""
        return self._vectors[: self._size]

    def extend(self, items: ItemTable, places: dict[str, int]) -> None:
        """Take in the rows that the table has grown by, and descriptions that have changed."""
        while len(self._places) < len(items):
            self._places = np.concatenate([self._places, np.full(len(self._places), self._outside, np.int64)])
            self._vectors = np.concatenate([self._vectors, np.zeros_like(self._vectors)])
            self._rewritten = np.concatenate([self._rewritten, np.zeros_like(self._rewritten)])
        for row in range(self._size, len(items)):
            place = places.get(items.codes[row], self._outside)
            self._places[row] = place
            if place != self._outside:
                self.row_of_place[place] = row
        self._size = len(items)
        changed = np.flatnonzero(self._rewritten[: self._size] != items.rewritten)
        if len(changed):
            self._vectors[changed] = self._text.encode([items.description(items.codes[row]) for row in changed])
            self._rewritten[changed] = items.rewritten[changed]
