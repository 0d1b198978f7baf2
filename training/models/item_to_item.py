"""Fits item-to-item weights from the baskets that hold an item: exact among the most bought items, sparse beyond them.

EASE (see ``training.features.item_to_item``) inverts a matrix over all items, so its cost grows with the cube of the
catalogue. Here it is exact for the ``EXACT_ITEMS`` most bought items; a smaller catalogue is all of them. The weights
of every further item are those of the same ridge regression over the items it is bought with most, as in fsSLIM (Ning
and Karypis, "SLIM: Sparse Linear Methods for Top-N Recommender Systems", ICDM 2011), whose cost grows with the number
of items. SANSA (Spišák et al., "Scalable Approximate NonSymmetric Autoencoder for Collaborative Filtering", RecSys
2023) factorises the whole sparse matrix instead, which needs CHOLMOD and a compiler.
Needs SciPy, so only training imports it.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from training.features.item_to_item import Float, Neighbours, ease, invert, strongest, weights_of_inverse

EXACT_ITEMS = 6_000
"""A matrix over them takes 150 MB and seconds: the exact form is as cheap there, and published figures are of it."""
NEIGHBOURHOOD = 50
"""Items that the regression of a further item is restricted to."""
STORED_COOCCURRENCES = 200
"""Strongest co-occurrences of a further item that the regressions of others read."""

_ROWS = 2_048
"""Items whose co-occurrences are in memory at a time."""
_BATCH = 64
"""Regressions that are solved at a time."""

Ints = NDArray[np.int64]


class _Cooccurrences(NamedTuple):
    """The strongest co-occurrences of each further item: sums of the weights of the baskets that hold both.

    ``item`` int32, ``amount`` float32 ``[further items, STORED_COOCCURRENCES]``, strongest first; −1 and 0 behind the
    last.
    """

    item: NDArray[np.int32]
    amount: Float


class _Pairs(NamedTuple):
    """Pairs of items: the weight of ``source`` in a history for ``target``."""

    source: Ints
    target: Ints
    weight: Float


class Baskets(NamedTuple):
    """Items of baskets, int32, each once a basket: those of a basket one after the other; and the size of each."""

    item: NDArray[np.int32]
    size: Ints

    def first(self, most: int) -> "Baskets":
        """The baskets with at most so many of their first items."""
        if self.size.max(initial=0) <= most:
            return self
        return self._where(self._index() < most, most)

    def last(self, most: int) -> "Baskets":
        """The baskets with at most so many of their last items."""
        if self.size.max(initial=0) <= most:
            return self
        return self._where(np.repeat(self.size, self.size) - self._index() <= most, most)

    def _index(self) -> Ints:
        """The index of each item in its basket."""
        return np.arange(len(self.item)) - np.repeat(np.cumsum(self.size) - self.size, self.size)

    def _where(self, chosen: NDArray[np.bool_], most: int) -> "Baskets":
        return Baskets(self.item[chosen], np.minimum(self.size, most))


def basket_matrix(baskets: Baskets, index_of: Ints, size: int) -> sparse.csr_array:
    """Baskets × items, float32, 1 where a basket holds the item; items outside the vocabulary are left out.

    Built without a copy in 8 bytes: a million customers have some 25 million items.
    """
    column = index_of.astype(np.int32)[baskets.item]
    known = column >= 0
    ends = np.concatenate([[0], np.cumsum(baskets.size)])
    column = column[known]
    starts = np.concatenate([np.zeros(1, np.int32), np.cumsum(known, dtype=np.int32)])[ends]
    matrix = sparse.csr_array((np.ones(len(column), np.float32), column, starts), shape=(len(baskets.size), size))
    matrix.sort_indices()
    return matrix


def fit_ease(rows: sparse.csr_array, row_weights: NDArray[np.floating] | None, ridge: float) -> Float:
    """EASE's item-to-item weights among all items, float32 ``[items, items]``; see ``ease``."""
    return ease(_gram(rows, row_weights), ridge)


def fit_neighbours(
    rows: sparse.csr_array,
    row_weights: NDArray[np.floating] | None,
    ridge: float,
    n: int,
    *,
    exact_items: int = EXACT_ITEMS,
) -> Neighbours:
    """The ``n`` item-to-item weights of each item that are farthest from 0.

    Args:
        rows: Baskets × items, float32, 1 where a basket holds the item; items sorted by falling number of baskets.
        row_weights: Weight of each basket; 1 unless given.
        ridge: λ of the regressions.
        n: Greatest number of neighbours of an item.
        exact_items: Number of the most bought items whose weights for each other are exact.
    """
    items = rows.shape[1]
    if items <= exact_items:
        return strongest(fit_ease(rows, row_weights, ridge), n)
    gram = _gram(rows[:, :exact_items], row_weights)
    regularised = gram.copy()
    regularised[np.diag_indices(exact_items)] += np.float32(ridge)
    inverse = invert(regularised)
    del regularised
    # Diagonal of the inverse over all items: that of a further item follows from its regression.
    shared = np.empty(items, np.float32)
    shared[:exact_items] = np.diagonal(inverse)
    exact = strongest(weights_of_inverse(inverse), n)
    del inverse
    diagonal = (rows.T @ _ones(rows, row_weights)).astype(np.float32) + np.float32(ridge)
    stored = _strongest_cooccurrences(rows, row_weights, diagonal, exact_items)
    regressed = _regress(gram, stored, diagonal, ridge, shared)
    # P is symmetric: −P[i, j] = B[i, j] P[j, j] = B[j, i] P[i, i]. A pair that two regressions have comes from its own.
    mirrored = regressed.weight * shared[regressed.target] / shared[regressed.source]
    source = np.concatenate([regressed.source, regressed.target])
    target = np.concatenate([regressed.target, regressed.source])
    weight = np.concatenate([regressed.weight, mirrored])
    _, first = np.unique(source * items + target, return_index=True)
    further = _strongest_pairs(_Pairs(source[first], target[first], weight[first]), items, n)
    return _merged(exact, further, n)


def _ones(rows: sparse.csr_array, row_weights: NDArray[np.floating] | None) -> Float:
    return np.ones(rows.shape[0], np.float32) if row_weights is None else row_weights.astype(np.float32)


def _gram(rows: sparse.csr_array, row_weights: NDArray[np.floating] | None) -> Float:
    """Weighted number of rows that hold both items, float32 ``[items, items]``."""
    weighted = rows if row_weights is None else sparse.diags_array(row_weights.astype(np.float32)) @ rows
    gram: Float = (rows.T @ weighted).toarray().astype(np.float32, copy=False)
    return gram


def _strongest_cooccurrences(
    rows: sparse.csr_array, row_weights: NDArray[np.floating] | None, diagonal: Float, exact_items: int
) -> _Cooccurrences:
    """The co-occurrences of the items from ``exact_items`` on that are strongest by count / √(own count + ridge)."""
    items = rows.shape[1]
    item = np.full((items - exact_items, STORED_COOCCURRENCES), -1, np.int32)
    count = np.zeros(item.shape, np.float32)
    scale = 1.0 / np.sqrt(diagonal)
    weighted = (sparse.diags_array(_ones(rows, row_weights)) @ rows).tocsr()
    columns = rows.tocsc()
    for start in range(exact_items, items, _ROWS):
        block = (columns[:, start : start + _ROWS].T.tocsr() @ weighted).tocsr()
        for row, (first, last) in enumerate(pairwise(block.indptr.tolist())):
            others, counts = block.indices[first:last], block.data[first:last]
            apart = others != start + row
            others, counts = others[apart], counts[apart]
            strength = counts * scale[others]
            if len(others) > STORED_COOCCURRENCES:
                best = np.argpartition(-strength, STORED_COOCCURRENCES)[:STORED_COOCCURRENCES]
                others, counts, strength = others[best], counts[best], strength[best]
            order = np.lexsort((others, -strength))
            item[start + row - exact_items, : len(order)] = others[order]
            count[start + row - exact_items, : len(order)] = counts[order]
    return _Cooccurrences(item, count)


def _regress(gram: Float, stored: _Cooccurrences, diagonal: Float, ridge: float, shared: Float) -> _Pairs:
    """Regresses every further item on the ``NEIGHBOURHOOD`` items it is bought with most.

    Args:
        gram: Co-occurrences among the exact items.
        stored: Those of the further items.
        diagonal: Of the co-occurrences among all items, with the ridge.
        ridge: λ.
        shared: Diagonal of the inverse; the numbers of the further items are set here.
    """
    exact, items = len(gram), len(diagonal)
    found = []
    size = (stored.item[:, :NEIGHBOURHOOD] >= 0).sum(axis=1)
    by_size = np.argsort(size, kind="stable")  # so that the problems of a batch are about as large
    position = np.full((_BATCH, items), -1, np.int16)
    for start in range(0, len(by_size), _BATCH):
        batch = by_size[start : start + _BATCH]
        width = int(size[batch].max())
        item = stored.item[batch, :width].astype(np.int64)
        count = stored.amount[batch, :width]
        held = item >= 0
        problem, slot = np.nonzero(held)
        position[problem, item[held]] = slot
        matrix = _restricted(gram, stored, item, position)
        matrix[:, np.arange(width), np.arange(width)] = np.where(held, diagonal[item], 1.0)
        weight = np.linalg.solve(matrix, count[:, :, None])[:, :, 0]
        position[problem, item[held]] = -1
        # 1 / P[j, j] is the Schur complement of the neighbourhood, which is at least the ridge.
        shared[exact + batch] = 1.0 / np.maximum(diagonal[exact + batch] - (count * weight).sum(axis=1), ridge)
        found.append(_Pairs(item[held], exact + batch[problem], weight[held]))
    return _Pairs(*(np.concatenate(column) for column in zip(*found, strict=True)))


def _restricted(gram: Float, stored: _Cooccurrences, item: Ints, position: NDArray[np.int16]) -> Float:
    """Co-occurrences among the items of each neighbourhood, float32 ``[problems, width, width]``; diagonals unset.

    ``item`` ``[problems, width]``: −1 behind the last · ``position`` ``[problems, items]``: of each item in ``item``.
    """
    exact = len(gram)
    is_exact = (item >= 0) & (item < exact)
    inside = np.where(is_exact, item, 0)
    matrix: Float = gram[inside[:, :, None], inside[:, None, :]]
    matrix *= is_exact[:, :, None] & is_exact[:, None, :]
    problem, slot = np.nonzero(item >= exact)
    other = stored.item[item[problem, slot] - exact]
    other_slot = position[problem[:, None], other]
    entry, column = np.nonzero((other >= 0) & (other_slot >= 0))
    count = stored.amount[item[problem[entry], slot[entry]] - exact, column]
    matrix[problem[entry], slot[entry], other_slot[entry, column]] = count
    matrix[problem[entry], other_slot[entry, column], slot[entry]] = count
    return matrix


def _strongest_pairs(pairs: _Pairs, items: int, n: int) -> Neighbours:
    """The ``n`` pairs of each source that are farthest from 0, strongest first; weight 0 behind the last."""
    order = np.lexsort((-np.abs(pairs.weight), pairs.source))
    source = pairs.source[order]
    rank = np.arange(len(order)) - np.searchsorted(source, np.arange(items))[source]
    order, source, rank = order[rank < n], source[rank < n], rank[rank < n]
    neighbour, weight = np.zeros((items, n), np.int32), np.zeros((items, n), np.float32)
    neighbour[source, rank], weight[source, rank] = pairs.target[order], pairs.weight[order]
    return Neighbours(neighbour, weight)


def _merged(exact: Neighbours, further: Neighbours, n: int) -> Neighbours:
    """``further`` with the neighbours of the exact items among each other added; the ``n`` strongest of both remain."""
    size = len(exact.weight)
    neighbour = np.concatenate([exact.neighbour, further.neighbour[:size]], axis=1)
    weight = np.concatenate([exact.weight, further.weight[:size]], axis=1)
    best = np.argpartition(-np.abs(weight), n - 1, axis=1)[:, :n]
    further.neighbour[:size] = np.take_along_axis(neighbour, best, axis=1)
    further.weight[:size] = np.take_along_axis(weight, best, axis=1)
    return further
