"""The binding of a vocabulary to an item table: index and text vector of each row."""

import numpy as np
from numpy.typing import NDArray

from training.features.item_table import ItemTable
from training.features.text import TextEncoder


class VocabularyBinding:
    """The vocabulary index and the text vector of each row of one item table, extended as the table grows.

    ``row_of_index`` int64 ``[vocabulary_size]``: row of each item of the vocabulary, −1 where the table has none.
    """

    def __init__(self, vocabulary_size: int, text: TextEncoder) -> None:
        self._indexes: NDArray[np.int64] = np.full(64, vocabulary_size, np.int64)
        self._vectors = np.zeros((64, text.width), np.float32)
        self._encoded: NDArray[np.int64] = np.zeros(64, np.int64)
        self._size = 0
        self._description_changes = 0
        self._outside = vocabulary_size
        self.row_of_index: NDArray[np.int64] = np.full(vocabulary_size, -1, np.int64)
        self._text = text

    @property
    def index_of_row(self) -> NDArray[np.int64]:
        """Vocabulary index of each row of the table, int64 ``[rows]``; ``vocabulary_size`` for an item outside it."""
        return self._indexes[: self._size]

    @property
    def vectors(self) -> NDArray[np.float32]:
        """Text vector of each row's description, float32 ``[rows, width]``, of length 1 or 0."""
        return self._vectors[: self._size]

    def indexes_of(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Vocabulary index of each of some rows; ``vocabulary_size`` for one that is not in the table."""
        if rows.max(initial=-1) < self._size:
            return self._indexes.take(rows)
        indexes = np.full(len(rows), self._outside, np.int64)
        known = rows < self._size
        indexes[known] = self._indexes[rows[known]]
        return indexes

    def extend(self, items: ItemTable, indexes: dict[str, int]) -> None:
        """Adds the rows that the table has grown by, and encodes descriptions that have changed."""
        while len(self._indexes) < len(items):
            self._indexes = np.concatenate([self._indexes, np.full(len(self._indexes), self._outside, np.int64)])
            self._vectors = np.concatenate([self._vectors, np.zeros_like(self._vectors)])
            self._encoded = np.concatenate([self._encoded, np.zeros_like(self._encoded)])
        for row in range(self._size, len(items)):
            index = self._indexes[row] = indexes.get(items.codes[row], self._outside)
            if index < self._outside:
                self.row_of_index[index] = row
        self._size = len(items)
        if items.all_description_changes == self._description_changes:
            return
        self._description_changes = items.all_description_changes
        changed = np.flatnonzero(self._encoded[: self._size] != items.description_changes)
        if len(changed):
            self._vectors[changed] = self._text.encode([items.description(items.codes[row]) for row in changed])
            self._encoded[changed] = items.description_changes[changed]
