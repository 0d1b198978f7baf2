"""The rows of an item table that lead it by demand, newness or sales, found without a walk over the table.

Demand at a common reference date has an order that time does not change: every item decays by the same factor. So only
items that were sold since may have risen, and only they are looked at.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_GROWTH = 3
"""The rows watched are chosen anew once there are so many times as many as when they were chosen."""


class Leaders:
    """The rows with the greatest values of each column.

    A few more rows than these are watched: all that reach the threshold of a column. A row that does not, and has not
    changed, cannot be among the greatest while enough rows reach the threshold.
    """

    def __init__(self, numbers: Sequence[int]) -> None:
        """``numbers``: how many leaders each column has."""
        self._numbers = np.asarray(numbers)
        self._watched: Ints = np.zeros(0, np.int64)
        self._thresholds: Floats = np.full(len(numbers), np.inf)
        self._chosen = 0
        self.rows: Ints = np.zeros(0, np.int64)
        self.greatest: Floats = np.full(len(numbers), -np.inf)

    def update(self, size: int, changed: Ints, values: Callable[[Ints], Floats]) -> None:
        """Bring ``rows`` (sorted) and ``greatest`` (the greatest value of each column) up to date.

        Args:
            size: Number of rows.
            changed: Rows whose values have changed since the last call, and new ones.
            values: The values of some rows ``[rows, columns]``.
        """
        risen = changed[(values(changed) >= self._thresholds).any(axis=1)]
        self._watched = np.union1d(self._watched, risen)
        of_watched = values(self._watched)
        enough = (of_watched >= self._thresholds).sum(axis=0) >= np.minimum(self._numbers, size)
        if not enough.all() or len(self._watched) > _GROWTH * self._chosen:
            everything = values(np.arange(size))
            self._thresholds = _greatest_but(everything, 2 * self._numbers)
            self._watched = np.flatnonzero((everything >= self._thresholds).any(axis=1))
            self._chosen = len(self._watched)
            of_watched = everything[self._watched]
        self.rows = self._watched[(of_watched >= _greatest_but(of_watched, self._numbers)).any(axis=1)]
        self.greatest = of_watched.max(axis=0, initial=-np.inf)

    def forget(self) -> None:
        """Choose anew at the next update: all values have changed."""
        self._thresholds[:] = np.inf


def _greatest_but(values: Floats, numbers: NDArray[np.int64]) -> Floats:
    """For each column the value that ``number`` values reach, those equal to it counted; −inf where there are fewer."""
    found = np.full(values.shape[1], -np.inf)
    for column, number in enumerate(numbers.tolist()):
        if number <= len(values):
            found[column] = np.partition(values[:, column], len(values) - number)[len(values) - number]
    return found
