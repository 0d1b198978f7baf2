"""The vocabulary of a fitted baseline: stock codes by index, and the index of each row of an item table."""

from collections.abc import Sequence
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from training.features.item_table import ItemTable

Ints = NDArray[np.int64]


class StockCodeVocabulary:
    """Stock codes in the order of the fitted arrays."""

    def __init__(self, codes: Sequence[str]) -> None:
        self.codes = list(codes)
        self._index = {code: index for index, code in enumerate(self.codes)}
        self._index_of_row: WeakKeyDictionary[ItemTable, Ints] = WeakKeyDictionary()

    def __len__(self) -> int:
        return len(self.codes)

    def indexes(self, items: ItemTable) -> Ints:
        """Index of each row, −1 outside, ``[rows]``; cached for each table, whose rows never move."""
        found = self._index_of_row.get(items)
        known = 0 if found is None else len(found)
        if found is None or known < len(items):
            more = np.asarray([self._index.get(code, -1) for code in items.codes[known:]], np.int64)
            found = self._index_of_row[items] = more if found is None else np.concatenate([found, more])
        return found
