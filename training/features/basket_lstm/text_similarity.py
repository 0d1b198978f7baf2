"""Text similarity of a candidate's description to those of the items the customer bought."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.features.basket_lstm.customer_items import CustomerItems
from training.features.basket_lstm.flat_histories import STEPS, FlatHistories, Floats, Ints

TEXT_INPUTS = ("text_similarity_history", "text_similarity_last_basket", "text_similarity_nearest")
"""Cosine of a candidate's description with the mean of the history, with that of the last basket, and with the nearest
other item of the history."""

MAX_NEAR = 1_000
"""The nearest item is searched among so many of a customer's items, those bought last."""


class TextSimilarity(NamedTuple):
    """Cosines of text vectors; 0 where an item has no description.

    ``candidate_inputs`` float32 ``[candidates, TEXT_INPUTS]`` · ``by_step`` float32 ``[candidates, STEPS]``: cosine
    with the mean of each of the newest baskets, the newest in the last column.
    """

    candidate_inputs: Floats
    by_step: Floats


def text_similarity(
    flat: FlatHistories, bought: CustomerItems, customer: Ints, row: Ints, vectors: Floats
) -> TextSimilarity:
    """Compares descriptions, one customer after the other: the vectors in question then stay in the cache.

    Args:
        flat: The customers' baskets.
        bought: Their items.
        customer: Each candidate's customer, in order.
        row: Each candidate's row of the item table.
        vectors: Text vectors of the table's rows, of length 1 or 0.
    """
    inputs = np.zeros((len(row), len(TEXT_INPUTS)), np.float32)
    by_step = np.zeros((len(row), STEPS), np.float32)
    customers = np.arange(len(flat.n_baskets) + 1)
    ends = np.searchsorted(customer, customers)
    bought_ends = np.searchsorted(bought.customer, customers)
    entry_ends = np.searchsorted(flat.basket_customer[flat.entry_basket], customers)
    for (start, end), (first, last), (entry, stop) in zip(
        pairwise(ends.tolist()), pairwise(bought_ends.tolist()), pairwise(entry_ends.tolist()), strict=True
    ):
        if start == end or first == last:
            continue
        of_customer = slice(first, last)
        bought_row, last_ago = bought.row[of_customer], bought.last_ago[of_customer]
        candidates, history = _vectors(row[start:end], vectors), _vectors(bought_row, vectors)
        inputs[start:end, 0] = candidates @ unit_vectors(bought.decayed_count[of_customer] @ history)
        inputs[start:end, 1] = candidates @ unit_vectors((last_ago == 0).astype(np.float32) @ history)
        inputs[start:end, 2] = _nearest(candidates, row[start:end], history, bought_row, last_ago)
        ago = flat.basket_ago[flat.entry_basket[entry:stop]]
        recent = ago < STEPS
        baskets = np.zeros((STEPS, last - first), np.float32)
        baskets[STEPS - 1 - ago[recent], bought.of_entry[entry:stop][recent] - first] = 1.0
        by_step[start:end] = candidates @ unit_vectors(baskets @ history).T
    return TextSimilarity(inputs, by_step)


def _vectors(row: Ints, vectors: Floats) -> Floats:
    """Vectors of some rows; 0 for a row that is not in the item table."""
    found = np.zeros((len(row), vectors.shape[1]), np.float32)
    described = row < len(vectors)
    found[described] = vectors[row[described]]
    return found


def _nearest(candidates: Floats, row: Ints, history: Floats, bought_row: Ints, last_ago: Ints) -> Floats:
    """The greatest cosine of each candidate with another of the customer's items."""
    if len(bought_row) > MAX_NEAR:
        newest = np.sort(np.argsort(last_ago, kind="stable")[:MAX_NEAR])
        history, bought_row = history[newest], bought_row[newest]
    cosine = candidates @ history.T
    position = np.searchsorted(bought_row, row)
    position[position == len(bought_row)] = 0
    itself = np.flatnonzero(bought_row[position] == row)
    cosine[itself, position[itself]] = 0.0
    nearest: Floats = cosine.max(axis=1)
    return nearest


def unit_vectors(vectors: Floats) -> NDArray[np.float32]:
    """Vectors ``[..., width]`` scaled to length 1; those of length 0 stay 0."""
    unit: NDArray[np.float32] = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-6)
    return unit
