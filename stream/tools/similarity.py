"""Similar items and similar customers, by the cosine of their vectors in a two-tower model."""

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

BATCH_SIZE = 256
"""Histories in memory at a time, whatever the number of customers."""


class Similar(msgspec.Struct, frozen=True):
    """A stock code or customer id, the cosine with the item or customer asked for, and an item's description."""

    name: str
    cosine: float
    description: str | None = None


class VectorModel(Protocol):
    """A model with vectors of items and of customers, such as ``TwoTowerScorer``."""

    def item_vectors(self, items: ItemTable, now: int) -> Floats:
        """Vectors of the items of a table, float32 ``[rows, width]``."""
        ...

    def customer_vectors(self, histories: Sequence[CustomerHistory], items: ItemTable, now: int) -> Floats:
        """Vectors of customers, float32 ``[customers, width]``."""
        ...


def similar_items(stock_code: str, store: Store, model: VectorModel, most: int) -> list[Similar] | None:
    """Up to ``most`` items, most similar first; None for an item that was never sold.

    Raises:
        StoreUnavailable: The store does not answer.
    """
    items = ItemTable(store.items().states.values())
    # As typed, or in upper case, in which the dialect of UCI stores every stock code.
    row = items.rows.get(stock_code, items.rows.get(stock_code.strip().upper()))
    if row is None:
        return None
    similarity = cosines(model.item_vectors(items, store.now() or 0), row)
    similarity[row] = -np.inf
    best = np.argsort(-similarity, kind="stable")[: min(most, len(items) - 1)]
    return [
        Similar(items.codes[other], float(similarity[other]), items.description(items.codes[other])) for other in best
    ]


def similar_customers(customer_id: str, store: Store, model: VectorModel, most: int) -> list[Similar] | None:
    """Up to ``most`` customers, most similar first; None for an unknown customer.

    Raises:
        StoreUnavailable: The store does not answer.
    """
    history = store.history(customer_id)
    if history is None:
        (customer_id,) = store.current_ids([customer_id])
        history = store.history(customer_id)
    if history is None:
        return None
    items, now = ItemTable(store.items().states.values()), store.now() or 0
    vector = model.customer_vectors([history], items, now)
    best: list[tuple[float, str]] = []
    for batch in _batches(store.histories()):
        vectors = np.concatenate([vector, model.customer_vectors(batch, items, now)])
        found = [
            (float(cosine), other.customer_id)
            for cosine, other in zip(cosines(vectors, 0)[1:], batch, strict=True)
            if other.customer_id != customer_id
        ]
        best = heapq.nsmallest(most, {*best, *found}, key=lambda each: (-each[0], each[1]))
    return [Similar(name, cosine) for cosine, name in best]


def cosines(vectors: Floats, row: int) -> Floats:
    """Cosine of every vector with that of a row, float32 ``[rows]``; 0 where one of the two is 0.

    A plain product: for one question at a time it is faster than building an index (docs/models/two_tower.md has the
    times).
    """
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors)) * np.linalg.norm(vectors[row])
    similarity: Floats = np.divide(vectors @ vectors[row], lengths, out=np.zeros_like(lengths), where=lengths > 0.0)
    return similarity


def _batches(histories: Iterator[CustomerHistory]) -> Iterator[list[CustomerHistory]]:
    while batch := list(islice(histories, BATCH_SIZE)):
        yield batch
