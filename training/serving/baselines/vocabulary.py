"""The stock codes that a simple model learnt about, and where they stand in an item table. Numpy only."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from training.features.item_table import ItemTable

Ints = NDArray[np.int64]


class StockCodeVocabulary:
    """Stock codes in the order of what was learnt; the position of one is its *place*."""

    def __init__(self, codes: Sequence[str]) -> None:
        self.codes = list(codes)
        self._place = {code: place for place, code in enumerate(self.codes)}
        self._table: ItemTable | None = None
        self._place_of_row: Ints = np.zeros(0, np.int64)

    def __len__(self) -> int:
        return len(self.codes)

    def places(self, items: ItemTable) -> Ints:
        """Place of each row, -1 outside, ``[rows]``; a table only grows, so what is known of it stays."""
        if self._table is not items:
            self._table, self._place_of_row = items, np.zeros(0, np.int64)
        known = len(self._place_of_row)
        if known < len(items):
            more = np.asarray([self._place.get(code, -1) for code in items.codes[known:]], np.int64)
            self._place_of_row = np.concatenate([self._place_of_row, more])
        return self._place_of_row
