"""The vocabulary of a fitted baseline: stock codes by index, and the index of each row of an item table."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from training.features.item_table import ItemTable

Ints = NDArray[np.int64]


class StockCodeVocabulary:
    """Stock codes in the order of the fitted arrays."""

    def __init__(self, codes: Sequence[str]) -> None:
        self.codes = list(codes)
        self._index = {code: index for index, code in enumerate(self.codes)}
        self._table: ItemTable | None = None
        self._index_of_row: Ints = np.zeros(0, np.int64)

    def __len__(self) -> int:
        return len(self.codes)

    def indexes(self, items: ItemTable) -> Ints:
        """Index of each row, −1 outside, ``[rows]``; cached for the last table, whose rows never move."""
        if self._table is not items:
            self._table, self._index_of_row = items, np.zeros(0, np.int64)
        known = len(self._index_of_row)
        if known < len(items):
            more = np.asarray([self._index.get(code, -1) for code in items.codes[known:]], np.int64)
            self._index_of_row = np.concatenate([self._index_of_row, more])
        return self._index_of_row
