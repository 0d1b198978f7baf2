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
        self._values: Floats = np.zeros((len(numbers), 0))
        """Of the rows watched, a row a column: a value changes only where its row does, or at ``forget``."""
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
        self._take(changed, values(changed).T)
        enough = (self._values >= self._thresholds[:, None]).sum(axis=1) >= np.minimum(self._numbers, size)
        if not enough.all() or len(self._watched) > _GROWTH * self._chosen:
            everything = np.ascontiguousarray(values(np.arange(size)).T)
            self._thresholds = _greatest_but(everything, 2 * self._numbers)
            self._watched = np.flatnonzero((everything >= self._thresholds[:, None]).any(axis=0))
            self._chosen = len(self._watched)
            self._values = everything[:, self._watched]
        leads = self._values >= _greatest_but(self._values, self._numbers)[:, None]
        self.rows = self._watched[leads.any(axis=0)]
        self.greatest = self._values.max(axis=1, initial=-np.inf)

    def _take(self, changed: Ints, values: Floats) -> None:
        """Replace the values ``[columns, changed]`` of watched rows, and watch those that reach a threshold."""
        position = self._watched.searchsorted(changed)
        watched = np.zeros(len(changed), np.bool_)
        inside = position < len(self._watched)
        watched[inside] = self._watched[position[inside]] == changed[inside]
        self._values[:, position[watched]] = values[:, watched]
        risen = ~watched & (values >= self._thresholds[:, None]).any(axis=0)
        if risen.any():
            self._watched = np.concatenate([self._watched, changed[risen]])
            order = self._watched.argsort()
            self._watched = self._watched[order]
            self._values = np.concatenate([self._values, values[:, risen]], axis=1)[:, order]

    def forget(self) -> None:
        """Choose anew at the next update: all values have changed."""
        self._thresholds[:] = np.inf


def _greatest_but(values: Floats, numbers: NDArray[np.int64]) -> Floats:
    """For each row of values the one that ``number`` of them reach, those equal to it counted.

    −inf where there are fewer values.
    """
    size = values.shape[1]
    found = np.full(len(values), -np.inf)
    for row, number in enumerate(numbers.tolist()):
        if number == 1 and size:
            found[row] = values[row].max()
        elif number <= size:
            found[row] = np.partition(values[row], size - number)[size - number]
    return found
