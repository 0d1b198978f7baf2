"""EASE as it answers in the stream: which items of a customer speak for which others. Numpy only."""

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
    """EASE's weights over a vocabulary, read for the rows of any item table.

    All weights are kept, for and against: the figures of the protocol are those of the whole matrix.
    """

    def __init__(self, codes: Sequence[str], weights: NDArray[np.float32]) -> None:
        """Take weights over, float32 ``[codes, codes]``: how much each row's item speaks for each column's.

        Raises:
            ValueError: They are of another size, or no finite numbers.
        """
        if weights.shape != (len(codes), len(codes)) or not np.isfinite(weights).all():
            raise ValueError(f"{len(codes)} stock codes do not go with weights of shape {weights.shape}.")
        self._vocabulary = StockCodeVocabulary(codes)
        self.weights = weights

    @property
    def codes(self) -> list[str]:
        """The stock codes that it knows."""
        return self._vocabulary.codes

    def scores(self, bought: CustomerPurchases, items: ItemTable) -> Floats:
        """Get z of every row, 0 outside the vocabulary, ``[rows]``."""
        places = self._vocabulary.places(items)
        scores = np.zeros(len(bought.times))
        mine = self._speaking(bought, items)
        if len(mine):
            faded = bought.faded[mine].astype(np.float32)
            z = faded @ self.weights[places[mine]] / np.linalg.norm(faded)
            inside = np.flatnonzero(places >= 0)
            scores[inside] = z[places[inside]]
        return scores

    def because(self, rows: Ints, bought: CustomerPurchases, items: ItemTable) -> Ints:
        """The row of the customer's item that speaks most for each of some rows, -1 where none does, ``[n]``."""
        places = self._vocabulary.places(items)
        best = np.full(len(rows), -1, np.int64)
        mine = self._speaking(bought, items)
        inside = np.flatnonzero(rows < len(items))
        inside = inside[places[rows[inside]] >= 0]
        if len(mine) and len(inside):
            speaks = self.weights[np.ix_(places[mine], places[rows[inside]])] * bought.faded[mine, None]
            strongest = speaks.argmax(axis=0)
            best[inside] = np.where(speaks.max(axis=0) > 0.0, mine[strongest], -1)
        return best

    def _speaking(self, bought: CustomerPurchases, items: ItemTable) -> Ints:
        """The rows of the customer's items that the vocabulary has."""
        mine = np.flatnonzero(bought.faded[: len(items)])
        return mine[self._vocabulary.places(items)[mine] >= 0]

    def save(self, folder: Path) -> None:
        """Write the weights; the codes are in the bundle's vocabulary."""
        np.savez(folder / ARRAYS, weights=self.weights)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what ``save`` wrote.

        Raises:
            OSError, KeyError, ValueError, zipfile.BadZipFile, BundleRefused: It is missing or damaged.
        """
        weights = read_arrays(folder / ARRAYS)["weights"]
        return cls(read_vocabulary(folder), weights.astype(np.float32, copy=False))
