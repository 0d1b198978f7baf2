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

    ``candidate_inputs`` float32 ``[TEXT_INPUTS, candidates]`` · ``by_step`` float32 ``[STEPS, candidates]``: cosine
    with the mean of each of the newest baskets, the newest last.
    """

    candidate_inputs: Floats
    by_step: Floats


def text_similarity(
    flat: FlatHistories, bought: CustomerItems, customer: Ints, row: Ints, position: Ints, vectors: Floats
) -> TextSimilarity:
    """Compares descriptions, one customer after the other: the vectors in question then stay in the cache.

    Args:
        flat: The customers' baskets.
        bought: Their items.
        customer: Each candidate's customer, in order.
        row: Each candidate's row of the item table.
        position: Each candidate's position among the items bought, −1 where it is new to the customer.
        vectors: Text vectors of the table's rows, of length 1 or 0.
    """
    inputs = np.zeros((len(TEXT_INPUTS), len(row)), np.float32)
    by_step = np.zeros((STEPS, len(row)), np.float32)
    customers = np.arange(len(flat.n_baskets) + 1)
    ends = customer.searchsorted(customers)
    bought_ends = bought.customer.searchsorted(customers)
    entry_ends = flat.entry_customer.searchsorted(customers)
    entry_ago = flat.entry_ago
    for (start, end), (first, last), (entry, stop) in zip(
        pairwise(ends.tolist()), pairwise(bought_ends.tolist()), pairwise(entry_ends.tolist()), strict=True
    ):
        if start == end or first == last:
            continue
        last_ago = bought.last_ago[first:last]
        candidates, history = vectors_of(row[start:end], vectors), vectors_of(bought.row[first:last], vectors)
        ago = entry_ago[entry:stop]
        recent = (ago < STEPS).nonzero()[0]
        weights = np.zeros((STEPS + 1, last - first), np.float32)
        weights[STEPS - 1 - ago[recent], bought.of_entry[entry:stop][recent] - first] = 1.0
        weights[STEPS] = bought.decayed_count[first:last]
        cosine = unit_vectors(weights @ history) @ candidates.T
        by_step[:, start:end] = cosine[:STEPS]
        inputs[0, start:end] = cosine[STEPS]
        inputs[1, start:end] = cosine[STEPS - 1]
        inputs[2, start:end] = _nearest(candidates, position[start:end] - first, history, last_ago)
    return TextSimilarity(inputs, by_step)


def vectors_of(row: Ints, vectors: Floats) -> Floats:
    """Vectors of some rows; 0 for a row that is not in the item table."""
    if row.max(initial=-1) < len(vectors):
        return vectors.take(row, axis=0)
    found = np.zeros((len(row), vectors.shape[1]), np.float32)
    described = row < len(vectors)
    found[described] = vectors[row[described]]
    return found


def _nearest(candidates: Floats, position: Ints, history: Floats, last_ago: Ints) -> Floats:
    """The greatest cosine of each candidate with another of the customer's items.

    ``position``: each candidate's position among these, below 0 where it is new.
    """
    itself = (position >= 0).nonzero()[0]
    position = position[itself]
    if len(history) > MAX_NEAR:
        newest = last_ago.argsort(kind="stable")[:MAX_NEAR]
        index = np.full(len(history), -1, np.int64)
        index[newest] = np.arange(MAX_NEAR)
        history, position = history[newest], index[position]
        itself, position = itself[position >= 0], position[position >= 0]
    cosine = history @ candidates.T
    cosine[position, itself] = 0.0
    nearest: Floats = cosine.max(axis=0)
    return nearest


def unit_vectors(vectors: Floats) -> NDArray[np.float32]:
    """Vectors ``[..., width]`` scaled to length 1; those of length 0 stay 0."""
    length = np.sqrt(np.square(vectors).sum(axis=-1, keepdims=True))
    unit: NDArray[np.float32] = vectors / np.maximum(length, np.float32(1e-6))
    return unit
