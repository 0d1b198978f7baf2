"""EASE as a fitted model of the baselines: item-to-item scores and explanations. NumPy only."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from training.features.item_table import ItemTable
from training.features.item_to_item import Neighbours
from training.registry import read_vocabulary
from training.serving.baselines.formulas import CustomerPurchases, Floats
from training.serving.baselines.vocabulary import Ints, StockCodeVocabulary
from training.serving.bundle_files import read_arrays

ARRAYS = "ease.npz"


class _ItemWeights(Protocol):
    """Weights of items for each other, by their indexes."""

    @property
    def arrays(self) -> Mapping[str, NDArray[np.generic]]:
        """What the bundle holds."""
        ...

    def summed(self, sources: Ints, amount: NDArray[np.float32]) -> NDArray[np.float32]:
        """Sum of the weights of some items, each times an amount, for every item ``[items]``."""
        ...

    def between(self, sources: Ints, targets: Ints) -> NDArray[np.float32]:
        """Weight of each source for each target, distinct both ``[sources, targets]``."""
        ...


class _AllWeights:
    """The whole matrix, weights below 0 included: the published figures are those of the whole matrix."""

    def __init__(self, weights: NDArray[np.float32], size: int) -> None:
        if weights.shape != (size, size) or not np.isfinite(weights).all():
            raise ValueError(f"{size} stock codes do not go with weights of shape {weights.shape}.")
        self._weights = weights

    @property
    def arrays(self) -> Mapping[str, NDArray[np.generic]]:
        return {"weights": self._weights}

    def summed(self, sources: Ints, amount: NDArray[np.float32]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = amount @ self._weights[sources]
        return found

    def between(self, sources: Ints, targets: Ints) -> NDArray[np.float32]:
        return self._weights[np.ix_(sources, targets)]


class _StrongestWeights:
    """The weights of each item that are farthest from 0: of a large catalogue the matrix does not fit into memory.

    ``starts`` int64 ``[size + 1]``: where the weights of each item begin · ``neighbour`` int32 and ``weight`` float32:
    the other items and the weights for them, item by item.
    """

    def __init__(self, starts: Ints, neighbour: NDArray[np.int32], weight: NDArray[np.float32], size: int) -> None:
        number = len(weight)
        fits = starts.shape == (size + 1,) and neighbour.shape == weight.shape == (number,)
        fits = fits and starts[0] == 0 and starts[-1] == number and bool((np.diff(starts) >= 0).all())
        if not fits or not np.isfinite(weight).all() or not ((neighbour >= 0) & (neighbour < max(size, 1))).all():
            raise ValueError(f"{size} stock codes do not go with {number} weights of {len(starts) - 1} items.")
        self._starts, self._neighbour, self._weight = starts, neighbour, weight

    @classmethod
    def of(cls, neighbours: Neighbours, size: int) -> Self:
        """The weights of neighbour lists that are not 0.

        Raises:
            ValueError: The lists are of another size, or not finite.
        """
        neighbour, weight = neighbours
        if neighbour.ndim != 2 or neighbour.shape != weight.shape or len(neighbour) != size:
            raise ValueError(f"{size} stock codes do not go with neighbours of shape {neighbour.shape}.")
        there = weight != 0.0
        starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(there.sum(axis=1, dtype=np.int64))])
        return cls(starts, neighbour[there], weight[there], size)

    @property
    def arrays(self) -> Mapping[str, NDArray[np.generic]]:
        return {"starts": self._starts, "neighbour": self._neighbour, "weight": self._weight}

    def summed(self, sources: Ints, amount: NDArray[np.float32]) -> NDArray[np.float32]:
        found = np.zeros(len(self._starts) - 1, np.float32)
        row, position = self._positions(sources)
        np.add.at(found, self._neighbour[position], self._weight[position] * amount[row])
        return found

    def between(self, sources: Ints, targets: Ints) -> NDArray[np.float32]:
        column = np.full(len(self._starts) - 1, -1, np.int64)
        column[targets] = np.arange(len(targets))
        found = np.zeros((len(sources), len(targets)), np.float32)
        row, position = self._positions(sources)
        target = column[self._neighbour[position]]
        found[row[target >= 0], target[target >= 0]] = self._weight[position[target >= 0]]
        return found

    def _positions(self, sources: Ints) -> tuple[Ints, Ints]:
        """Of each weight of some items the position among the items, and that among the weights."""
        number = self._starts[sources + 1] - self._starts[sources]
        row = np.repeat(np.arange(len(sources)), number)
        return row, np.arange(len(row)) + np.repeat(self._starts[sources] - np.cumsum(number) + number, number)


class EaseWeights:
    """EASE's weights over a vocabulary, applied to the rows of any item table."""

    def __init__(self, codes: Sequence[str], weights: NDArray[np.float32] | Neighbours | _StrongestWeights) -> None:
        """``weights``: each row's item for each column's, float32 ``[codes, codes]``, or the strongest of them.

        Raises:
            ValueError: They are of another size, or not finite.
        """
        size = len(codes)
        self._vocabulary = StockCodeVocabulary(codes)
        self._weights: _ItemWeights
        if isinstance(weights, _StrongestWeights):
            self._weights = weights
        elif isinstance(weights, Neighbours):
            self._weights = _StrongestWeights.of(weights, size)
        else:
            self._weights = _AllWeights(weights, size)

    @property
    def codes(self) -> list[str]:
        """The stock codes of the vocabulary."""
        return self._vocabulary.codes

    def scores(self, purchases: CustomerPurchases, items: ItemTable) -> Floats:
        """Score z of every row, 0 outside the vocabulary, ``[rows]``; see ``training.serving.baselines.formulas``."""
        indexes = self._vocabulary.indexes(items)
        scores = np.zeros(len(purchases.times))
        sources = self._sources(purchases, items)
        if len(sources):
            counts = purchases.decayed_count[sources].astype(np.float32)
            z = self._weights.summed(indexes[sources], counts) / np.linalg.norm(counts)
            inside = np.flatnonzero(indexes >= 0)
            scores[inside] = z[indexes[inside]]
        return scores

    def source_rows(self, rows: Ints, purchases: CustomerPurchases, items: ItemTable) -> Ints:
        """For each of some rows the row of the customer's item with the greatest weight, −1 where none is above 0."""
        indexes = self._vocabulary.indexes(items)
        best = np.full(len(rows), -1, np.int64)
        sources = self._sources(purchases, items)
        inside = np.flatnonzero(rows < len(items))
        inside = inside[indexes[rows[inside]] >= 0]
        if len(sources) and len(inside):
            weights = self._weights.between(indexes[sources], indexes[rows[inside]])
            weighted = weights * purchases.decayed_count[sources, None]
            strongest = weighted.argmax(axis=0)
            best[inside] = np.where(weighted.max(axis=0) > 0.0, sources[strongest], -1)
        return best

    def bought_together(self, stock_codes: Sequence[str]) -> dict[str, float]:
        """The sum of the weights of some items for each other item, by stock code; 0 is left out."""
        codes, basket = self.codes, set(stock_codes)
        rows = np.asarray([index for index, code in enumerate(codes) if code in basket], np.int64)
        scores = self._weights.summed(rows, np.ones(len(rows), np.float32))
        found = {codes[index]: float(scores[index]) for index in np.flatnonzero(scores).tolist()}
        return {code: score for code, score in found.items() if code not in basket}

    def _sources(self, purchases: CustomerPurchases, items: ItemTable) -> Ints:
        """Rows of the customer's items that are in the vocabulary."""
        rows = np.flatnonzero(purchases.decayed_count[: len(items)])
        return rows[self._vocabulary.indexes(items)[rows] >= 0]

    def save(self, folder: Path) -> None:
        """Write the weights; the stock codes are in the bundle's vocabulary."""
        np.savez(folder / ARRAYS, **self._weights.arrays)  # type: ignore[arg-type]  # numpy's stub takes allow_pickle for an array

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the file that ``save`` wrote.

        Raises:
            OSError, KeyError, ValueError, zipfile.BadZipFile, BundleRefused: It is missing or damaged.
        """
        arrays = read_arrays(folder / ARRAYS)
        codes = read_vocabulary(folder)
        if "starts" in arrays:
            starts, neighbour, weight = (arrays[name] for name in ("starts", "neighbour", "weight"))
            found = _StrongestWeights(
                starts.astype(np.int64), neighbour.astype(np.int32), weight.astype(np.float32), len(codes)
            )
            return cls(codes, found)
        if "neighbour" in arrays:  # with the lists of all items as long as each other
            neighbour, weight = (arrays[name] for name in Neighbours._fields)
            return cls(codes, Neighbours(neighbour.astype(np.int32), weight.astype(np.float32)))
        return cls(codes, arrays["weights"].astype(np.float32, copy=False))
