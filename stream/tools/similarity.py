"""Likeness: the items or customers whose vectors, by the towers of a hybrid model, point where a given one does."""

import heapq
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from state.domain.history import CustomerHistory
from state.store.protocol import Store
from training.features.item_table import ItemTable

Floats = NDArray[np.float32]

AT_ONCE = 256
"""Histories read at a time: bounds the memory whatever the number of customers."""


class Similar(msgspec.Struct, frozen=True):
    """A stock code or a customer id, the cosine of its vector with the one asked for, and an item's description."""

    name: str
    cosine: float
    description: str | None = None


class Towers(Protocol):
    """What is needed of a model: vectors of items and of customers, as ``HybridScorer`` gives them."""

    def item_vectors(self, items: ItemTable, now: int) -> Floats:
        """Vectors of the items of a table, float32 ``[rows, width]``."""
        ...

    def customer_vectors(self, histories: Sequence[CustomerHistory], items: ItemTable, now: int) -> Floats:
        """Vectors of customers, float32 ``[customers, width]``."""
        ...


def similar_items(stock_code: str, store: Store, towers: Towers, most: int) -> list[Similar] | None:
    """Items like one, most alike first; None for an item that was never sold.

    Raises:
        StoreUnavailable: The store does not answer.
    """
    items = ItemTable(store.items().states.values())
    # As typed, or in upper case, which the dialect of UCI makes of every stock code.
    row = items.rows.get(stock_code, items.rows.get(stock_code.strip().upper()))
    if row is None:
        return None
    near = cosines(towers.item_vectors(items, store.now() or 0), row)
    near[row] = -np.inf
    best = np.argsort(-near, kind="stable")[: min(most, len(items) - 1)]
    return [Similar(items.codes[other], float(near[other]), items.description(items.codes[other])) for other in best]


def similar_customers(customer_id: str, store: Store, towers: Towers, most: int) -> list[Similar] | None:
    """Customers like one, most alike first; None for a stranger.

    Raises:
        StoreUnavailable: The store does not answer.
    """
    asked = store.history(customer_id)
    if asked is None:
        return None
    items, now = ItemTable(store.items().states.values()), store.now() or 0
    wanted = towers.customer_vectors([asked], items, now)
    best: list[tuple[float, str]] = []
    for several in _chunks(store.histories()):
        vectors = np.concatenate([wanted, towers.customer_vectors(several, items, now)])
        near = cosines(vectors, 0)[1:]
        found = [
            (float(cosine), history.customer_id)
            for cosine, history in zip(near, several, strict=True)
            if history.customer_id != customer_id
        ]
        best = heapq.nsmallest(most, {*best, *found}, key=lambda each: (-each[0], each[1]))
    return [Similar(name, cosine) for cosine, name in best]


def cosines(vectors: Floats, row: int) -> Floats:
    """Cosine of every vector with that of a row, float32 ``[rows]``; 0 where one of the two is 0.

    A plain product: for one question at a time it beats building an index (docs/models/two_tower.md has the times).
    """
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors)) * np.linalg.norm(vectors[row])
    near: Floats = np.divide(vectors @ vectors[row], lengths, out=np.zeros_like(lengths), where=lengths > 0.0)
    return near


def _chunks(histories: Iterator[CustomerHistory]) -> Iterator[list[CustomerHistory]]:
    while several := list(islice(histories, AT_ONCE)):
        yield several
