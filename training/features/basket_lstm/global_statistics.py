"""Global statistics: item statistics over the baskets of all customers before a date; an input of every view."""

from collections.abc import Iterable, Mapping, Sequence
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from training.features.basket_lstm.weekly_demand import WeeklyDemand
from training.features.item_table import ItemTable
from training.features.item_to_item import Neighbours
from training.features.text import TextEncoder
from training.features.vocabulary_binding import VocabularyBinding

BASKETS = "baskets"
"""The variant that also scores single baskets, and explains a recommendation."""
RECENT = "recent"
CUSTOMERS = "customers"
I2I_VARIANTS = (BASKETS, RECENT, CUSTOMERS)
"""Variants of the item-to-item scores; ``training.models.global_statistics`` describes each."""

ITEM_STATISTICS = ("rebuy_rate", "recent_rebuy_rate", "basket_size", "quantity", "n_baskets")
"""How an item is bought. Rebuy rates: log of the share of its buyers' later baskets that hold it again, over all dates
and weighted to recent ones. The others are means over its recent buyers: logs of 1 + the size of the basket, the units,
and the number of baskets the customer had before."""


class GlobalStatistics:
    """Statistics of items over all customers' baskets before a date.

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
        """Checks that the parts fit together.

        Raises:
            ValueError: The parts do not fit together, or hold no finite numbers.
        """
        self.codes = list(codes)
        self.item_statistics = item_statistics
        self.weeks = weeks
        self.text = text
        self.neighbours = {name: neighbours[name] for name in I2I_VARIANTS if name in neighbours}
        self._index = {code: index for index, code in enumerate(self.codes)}
        self._bindings: WeakKeyDictionary[ItemTable, VocabularyBinding] = WeakKeyDictionary()
        self._check()

    def _check(self) -> None:
        size = len(self.codes)
        if self.neighbours.keys() != set(I2I_VARIANTS):
            raise ValueError(f"Of the neighbours {', '.join(I2I_VARIANTS)} some are missing.")
        if (
            self.item_statistics.shape != (size + 1, len(ITEM_STATISTICS))
            or not np.isfinite(self.item_statistics).all()
        ):
            raise ValueError(f"The item statistics do not go with {size} stock codes.")
        demand = self.weeks.demand
        if demand.ndim != 2 or not len(demand) or demand.shape[1] != size + 1 or not np.isfinite(demand).all():
            raise ValueError(f"The weekly demands do not go with {size} stock codes.")
        for neighbour, weight in self.neighbours.values():
            fits = neighbour.ndim == 2 and neighbour.shape == weight.shape and len(neighbour) == size
            if not fits or not np.isfinite(weight).all() or not ((neighbour >= 0) & (neighbour < max(size, 1))).all():
                raise ValueError(f"The neighbours do not go with {size} stock codes.")

    def indexes(self, stock_codes: Iterable[str]) -> list[int]:
        """The indexes of the stock codes that are in the vocabulary, each once."""
        return [self._index[code] for code in dict.fromkeys(stock_codes) if code in self._index]

    def bind(self, items: ItemTable) -> VocabularyBinding:
        """The binding to one item table, brought up to date with the rows and descriptions the table gained since."""
        binding = self._bindings.get(items)
        if binding is None:
            binding = self._bindings[items] = VocabularyBinding(len(self.codes), self.text)
        binding.extend(items, self._index)
        return binding
