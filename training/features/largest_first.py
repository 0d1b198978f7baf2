"""The order of a ranking, ties included: it must not depend on the order in which a process met the items."""

from collections.abc import Callable
from heapq import nsmallest
from typing import Any

import numpy as np
from numpy.typing import NDArray


def largest_first(scores: NDArray[np.floating], k: int, tie: Callable[[int], Any]) -> NDArray[np.int64]:
    """Positions of the ``k`` largest scores (all, if there are fewer), the largest first.

    Args:
        scores: ``[n]``, no NaN.
        k: Greatest number of positions.
        tie: The key of a position by which positions of equal score are ordered, ascending: a stock code. Called
            only for these.

    Returns:
        int64 ``[min(k, n)]``.
    """
    k = min(k, len(scores))
    if k <= 0:
        return np.zeros(0, np.int64)
    least = np.partition(scores, len(scores) - k)[len(scores) - k]
    above, equal = (scores > least).nonzero()[0], (scores == least).nonzero()[0]
    if len(equal) > k - len(above):
        equal = np.asarray(nsmallest(k - len(above), equal.tolist(), key=tie), np.int64)
    found = np.concatenate([above, equal])
    found = found[(-scores[found]).argsort(kind="stable")]
    ordered = scores[found]
    if (ordered[1:] == ordered[:-1]).any():
        found = np.asarray(sorted(found.tolist(), key=lambda position: (-scores[position], tie(position))), np.int64)
    return found
