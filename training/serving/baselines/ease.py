"""EASE as a fitted model of the baselines: item-to-item scores and explanations. NumPy only."""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from training.features.item_table import ItemTable
from training.registry import read_vocabulary
from training.serving.baselines.formulas import CustomerPurchases, Floats
from training.serving.baselines.vocabulary import Ints, StockCodeVocabulary
from training.serving.bundle_files import read_arrays

ARRAYS = "ease.npz"


class EaseWeights:
    """EASE's weights over a vocabulary, applied to the rows of any item table.

    The whole matrix, weights below 0 included: the published figures are those of the whole matrix.
    """

    def __init__(self, codes: Sequence[str], weights: NDArray[np.float32]) -> None:
        """``weights`` float32 ``[codes, codes]``: weight of each row's item for each column's.

        Raises:
            ValueError: They are of another size, or not finite.
        """
        if weights.shape != (len(codes), len(codes)) or not np.isfinite(weights).all():
            raise ValueError(f"{len(codes)} stock codes do not go with weights of shape {weights.shape}.")
        self._vocabulary = StockCodeVocabulary(codes)
        self.weights = weights

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
            z = counts @ self.weights[indexes[sources]] / np.linalg.norm(counts)
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
            weights = self.weights[np.ix_(indexes[sources], indexes[rows[inside]])]
            weighted = weights * purchases.decayed_count[sources, None]
            strongest = weighted.argmax(axis=0)
            best[inside] = np.where(weighted.max(axis=0) > 0.0, sources[strongest], -1)
        return best

    def bought_together(self, stock_codes: Sequence[str]) -> dict[str, float]:
        """The sum of the weights of some items for each other item, by stock code; 0 is left out."""
        codes, basket = self.codes, set(stock_codes)
        rows = [index for index, code in enumerate(codes) if code in basket]
        scores = self.weights[rows].sum(axis=0)
        found = {codes[index]: float(scores[index]) for index in np.flatnonzero(scores).tolist()}
        return {code: score for code, score in found.items() if code not in basket}

    def _sources(self, purchases: CustomerPurchases, items: ItemTable) -> Ints:
        """Rows of the customer's items that are in the vocabulary."""
        rows = np.flatnonzero(purchases.decayed_count[: len(items)])
        return rows[self._vocabulary.indexes(items)[rows] >= 0]

    def save(self, folder: Path) -> None:
        """Write the weights; the stock codes are in the bundle's vocabulary."""
        np.savez(folder / ARRAYS, weights=self.weights)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the file that ``save`` wrote.

        Raises:
            OSError, KeyError, ValueError, zipfile.BadZipFile, BundleRefused: It is missing or damaged.
        """
        weights = read_arrays(folder / ARRAYS)["weights"]
        return cls(read_vocabulary(folder), weights.astype(np.float32, copy=False))
