"""Words: how much a candidate's description is like those of what the customer bought."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.features.basket_lstm.customer_items import CustomerItems
from training.features.basket_lstm.flat_histories import STEPS, FlatHistories, Floats, Ints

TEXT_INPUTS = ("text_like_history", "text_like_last", "text_like_nearest")
"""Cosine of a candidate's description with the mean of the history, with that of the last basket, and with the nearest
other item of the history."""

MAX_NEAR = 1_000
"""Among so many of a customer's items, those bought last, the nearest is looked for."""


class TextSimilarity(NamedTuple):
    """What the descriptions say; 0 where there is none.

    ``candidate`` float32 ``[candidates, TEXT_INPUTS]`` · ``steps`` float32 ``[candidates, STEPS]``: cosine with the
    mean of each of the newest baskets, the newest in the last column.
    """

    candidate: Floats
    steps: Floats


def text_similarity(
    flat: FlatHistories, own: CustomerItems, customer: Ints, row: Ints, vectors: Floats
) -> TextSimilarity:
    """Compares descriptions, one customer after the other: the vectors in question then stay in the cache.

    Args:
        flat: The customers' baskets.
        own: Their items.
        customer: Each candidate's customer, in order.
        row: Each candidate's row of the item table.
        vectors: Text vectors of the table's rows, of length 1 or 0.
    """
    inputs = np.zeros((len(row), len(TEXT_INPUTS)), np.float32)
    steps = np.zeros((len(row), STEPS), np.float32)
    every = np.arange(len(flat.n_baskets) + 1)
    ends = np.searchsorted(customer, every)
    own_ends = np.searchsorted(own.customer, every)
    entry_ends = np.searchsorted(flat.basket_customer[flat.entry_basket], every)
    for (start, end), (first, last), (entry, stop) in zip(
        pairwise(ends.tolist()), pairwise(own_ends.tolist()), pairwise(entry_ends.tolist()), strict=True
    ):
        if start == end or first == last:
            continue
        mine = slice(first, last)
        seen, held = _vectors(row[start:end], vectors), _vectors(own.row[mine], vectors)
        inputs[start:end, 0] = seen @ direction(own.faded[mine] @ held)
        inputs[start:end, 1] = seen @ direction((own.last_ago[mine] == 0).astype(np.float32) @ held)
        inputs[start:end, 2] = _nearest(seen, row[start:end], held, own.row[mine], own.last_ago[mine])
        ago = flat.basket_ago[flat.entry_basket[entry:stop]]
        recent = ago < STEPS
        baskets = np.zeros((STEPS, last - first), np.float32)
        baskets[STEPS - 1 - ago[recent], own.of_entry[entry:stop][recent] - first] = 1.0
        steps[start:end] = seen @ direction(baskets @ held).T
    return TextSimilarity(inputs, steps)


def _vectors(row: Ints, vectors: Floats) -> Floats:
    """Those of some rows; 0 for a row that is in no table."""
    found = np.zeros((len(row), vectors.shape[1]), np.float32)
    described = row < len(vectors)
    found[described] = vectors[row[described]]
    return found


def _nearest(seen: Floats, row: Ints, held: Floats, own_row: Ints, last_ago: Ints) -> Floats:
    """The greatest cosine of each candidate with another of the customer's items."""
    if len(own_row) > MAX_NEAR:
        newest = np.sort(np.argsort(last_ago, kind="stable")[:MAX_NEAR])
        held, own_row = held[newest], own_row[newest]
    like = seen @ held.T
    place = np.searchsorted(own_row, row)
    place[place == len(own_row)] = 0
    itself = np.flatnonzero(own_row[place] == row)
    like[itself, place[itself]] = 0.0
    nearest: Floats = like.max(axis=1)
    return nearest


def direction(vectors: Floats) -> NDArray[np.float32]:
    """Vectors ``[..., width]`` at length 1, those of length 0 as they are."""
    unit: NDArray[np.float32] = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-6)
    return unit
