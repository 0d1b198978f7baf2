"""Retrieval: a linear score of every item for a customer; the best of the items new to the customer are candidates.

It reads what is cheap for a whole catalogue: how the history speaks for an item, how the item sells, and how like its
description is to those of the history. So an item without a single basket can be found too.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.features.basket_lstm.flat_histories import Floats, Ints
from training.features.item_inputs import ITEM_STATE_INPUTS, ItemSnapshot

I2I_INPUTS = ("baskets", "recent", "customers", "baskets_of_last", "recent_of_last", "unspoken")
"""How much the history and the last basket speak for an item, and whether none of these do."""
ITEM_INPUTS = ITEM_STATE_INPUTS[:-1]
"""What is the same for every customer."""
RETRIEVAL_INPUTS = (*I2I_INPUTS, "text_like_history", *ITEM_INPUTS)
"""What a weight belongs to."""

DEFAULT_WEIGHTS = {"recent": 4.0, "customers": 4.0, "text_like_history": 1.0, "demand_3": 0.5, "demand_30": 0.5}
"""Weights before anything was learnt: what sells, a little bent to what was bought."""
MAX_SCORED = 10_000
"""Items scored for a customer: of a larger catalogue those that sell best, whatever the customer bought."""

_SPOKEN = len(I2I_INPUTS)
_USUAL = tuple(DEFAULT_WEIGHTS.get(name, 0.0) for name in RETRIEVAL_INPUTS)


class Retrieval(NamedTuple):
    """How candidates are found.

    ``weights`` of ``RETRIEVAL_INPUTS`` · at most how many there are of a customer's ``own`` items and of ``new`` ones.
    """

    weights: tuple[float, ...] = _USUAL
    own: int = 600
    new: int = 120


class RetrievalIndex(NamedTuple):
    """The items that are scored for every customer of a batch: ``row`` int64 ``[items]`` and their base ``score``.

    ``place`` int64 ``[items]``: in the vocabulary · ``vectors`` float32 ``[items, width]``: of their descriptions.
    """

    row: Ints
    score: Floats
    place: Ints
    vectors: Floats

    @classmethod
    def of(
        cls, shop: ItemSnapshot, place_of_row: Ints, vectors: Floats, weights: NDArray[np.float32]
    ) -> "RetrievalIndex":
        """Scores the items by what is the same for every customer.

        Args:
            shop: The items now.
            place_of_row: Place of each of the shop's rows in the vocabulary.
            vectors: Of the rows that are in the item table.
            weights: Of ``RETRIEVAL_INPUTS``.
        """
        known = len(vectors)
        score = shop.fixed[:known] @ weights[_SPOKEN + 1 :]
        row = np.arange(known)
        if known > MAX_SCORED:
            row = np.sort(largest(score, MAX_SCORED))
            score, vectors = score[row], vectors[row]
        return cls(row, score, place_of_row[row], vectors)

    def scores(self, said: Floats, alike: Floats, weights: NDArray[np.float32]) -> Floats:
        """Scores of all its items for one customer, float32 ``[items]``.

        Args:
            said: How the customer's history speaks, ``[ways of speaking, places + 1]``.
            alike: How like each description is to those of the history, the cosine ``[items]``.
            weights: Of ``RETRIEVAL_INPUTS``.
        """
        scores: Floats = self.score + (weights[:_SPOKEN] @ i2i_inputs(said))[self.place]
        scores += weights[_SPOKEN] * alike
        return scores

    def inputs(self, shop: ItemSnapshot, said: Floats, alike: Floats) -> Floats:
        """``RETRIEVAL_INPUTS`` of all its items for one customer, float32 ``[items, inputs]``."""
        columns = [i2i_inputs(said)[:, self.place].T, alike[:, None], shop.fixed[self.row]]
        return np.concatenate(columns, axis=1, dtype=np.float32)


def i2i_inputs(said: Floats) -> Floats:
    """``I2I_INPUTS`` of every place, float32 ``[inputs, places + 1]``.

    Of how much is said the root, with its sign: a few weights are large, most are small, and all tell something.
    """
    inputs = np.empty((_SPOKEN, said.shape[1]), np.float32)
    np.sqrt(np.abs(said), out=inputs[:-1])
    np.copysign(inputs[:-1], said, out=inputs[:-1])
    inputs[-1] = np.logical_not(said.any(axis=0))
    return inputs


def largest(scores: NDArray[np.floating], n: int) -> Ints:
    """Positions of the ``n`` largest scores, in no order; of equal ones at the edge the first."""
    if n >= len(scores):
        return np.arange(len(scores))
    if n <= 0:
        return np.zeros(0, np.int64)
    # The n-th value by ``partition``, then a comparison: several times as fast as ``argpartition``.
    edge = np.partition(scores, len(scores) - n)[len(scores) - n]
    above = np.flatnonzero(scores > edge)
    return np.concatenate([above, np.flatnonzero(scores == edge)[: n - len(above)]])
