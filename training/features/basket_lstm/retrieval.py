"""Retrieval: a linear score of every item for a customer; the best of the items new to the customer are candidates.

Its inputs are cheap for a whole catalogue: item-to-item scores, how the item sells, and the similarity of its
description to those of the history. So an item without a single basket can be retrieved too.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.features.basket_lstm.flat_histories import Floats, Ints
from training.features.item_inputs import ITEM_STATE_INPUTS, ItemSnapshot

I2I_INPUTS = (
    "i2i_score_baskets",
    "i2i_score_recent",
    "i2i_score_customers",
    "last_basket_i2i_score_baskets",
    "last_basket_i2i_score_recent",
    "no_i2i_score",
)
"""Signed roots of the item-to-item scores of the history and the last basket, and whether all of them are 0."""
ITEM_INPUTS = ITEM_STATE_INPUTS[:-1]
"""Inputs that are the same for every customer."""
RETRIEVAL_INPUTS = (*I2I_INPUTS, "text_similarity_history", *ITEM_INPUTS)
"""The inputs that the weights belong to, in order."""

DEFAULT_WEIGHTS = {
    "i2i_score_recent": 4.0,
    "i2i_score_customers": 4.0,
    "text_similarity_history": 1.0,
    "demand_3": 0.5,
    "demand_30": 0.5,
}
"""Weights before any are fitted: demand, adjusted to the history."""
MAX_SCORED = 10_000
"""So many items are scored for every customer; of a larger catalogue ``large_catalogue`` looks at a part."""

_N_I2I = len(I2I_INPUTS)
_DEFAULT = tuple(DEFAULT_WEIGHTS.get(name, 0.0) for name in RETRIEVAL_INPUTS)


class Retrieval(NamedTuple):
    """How candidates are retrieved.

    ``weights`` of ``RETRIEVAL_INPUTS`` · the greatest numbers of candidates that the customer bought and did not return
    entirely (``max_repeat_candidates``) and of all others (``max_new_candidates``).
    """

    weights: tuple[float, ...] = _DEFAULT
    max_repeat_candidates: int = 600
    max_new_candidates: int = 120


class RetrievalIndex(NamedTuple):
    """The items that are scored for every customer of a batch: all of the item table.

    ``row`` int64 ``[items]`` · ``score`` float32 ``[items]``: the part that is the same for every customer ·
    ``item_index`` int64 ``[items]``: index in the vocabulary · ``vectors`` float32 ``[items, width]``: text vectors.
    """

    row: Ints
    score: Floats
    item_index: Ints
    vectors: Floats

    @classmethod
    def of(
        cls, snapshot: ItemSnapshot, index_of_row: Ints, vectors: Floats, weights: NDArray[np.float32]
    ) -> "RetrievalIndex":
        """Scores the items by the inputs that are the same for every customer.

        Args:
            snapshot: The items now.
            index_of_row: Vocabulary index of each row of the snapshot.
            vectors: Text vectors of the rows that are in the item table.
            weights: Of ``RETRIEVAL_INPUTS``.
        """
        known = len(vectors)
        score = snapshot.inputs[:known] @ weights[_N_I2I + 1 :]
        row = np.arange(known)
        return cls(row, score, index_of_row[row], vectors)

    def positions(self, row: Ints) -> Ints:
        """Positions of those of some rows, sorted, that are among its items."""
        return row[row < len(self.row)]

    def scores(self, i2i_scores: Floats, similarity: Floats, weights: NDArray[np.float32]) -> Floats:
        """Scores of all its items for one customer, float32 ``[items]``.

        Args:
            i2i_scores: ``I2I_CANDIDATE_INPUTS`` of the vocabulary, ``[inputs, vocabulary + 1]``.
            similarity: Cosine of each item's text vector with that of the history ``[items]``.
            weights: Of ``RETRIEVAL_INPUTS``.
        """
        scores: Floats = (weights[:_N_I2I] @ i2i_inputs(i2i_scores)).take(self.item_index)
        scores += self.score
        scores += weights[_N_I2I] * similarity
        return scores

    def inputs(self, snapshot: ItemSnapshot, i2i_scores: Floats, similarity: Floats) -> Floats:
        """``RETRIEVAL_INPUTS`` of all its items for one customer, float32 ``[items, inputs]``."""
        columns = [i2i_inputs(i2i_scores)[:, self.item_index].T, similarity[:, None], snapshot.inputs[self.row]]
        return np.concatenate(columns, axis=1, dtype=np.float32)


def i2i_inputs(scores: Floats) -> Floats:
    """``I2I_INPUTS`` of every item of the vocabulary, float32 ``[inputs, vocabulary + 1]``.

    The signed root of the scores: a few are large, most are small, and the small ones carry information too.
    """
    inputs = np.empty((_N_I2I, scores.shape[1]), np.float32)
    roots = inputs[:-1]
    np.abs(scores, out=roots)
    np.sqrt(roots, out=roots)
    inputs[-1] = roots.sum(axis=0) == 0.0
    np.copysign(roots, scores, out=roots)
    return inputs


def largest(scores: NDArray[np.floating], n: int) -> Ints:
    """Positions of the ``n`` largest scores, in no order; of scores equal to the smallest of them, the first."""
    if n >= len(scores):
        return np.arange(len(scores))
    if n <= 0:
        return np.zeros(0, np.int64)
    # The n-th value by ``partition``, then a comparison: several times as fast as ``argpartition``.
    threshold = np.partition(scores, len(scores) - n)[len(scores) - n]
    above = (scores > threshold).nonzero()[0]
    return np.concatenate([above, (scores == threshold).nonzero()[0][: n - len(above)]])
