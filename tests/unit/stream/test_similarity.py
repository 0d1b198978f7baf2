"""Likeness on made-up towers: who is near whom, and that a question that cannot be answered is told so."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from state.domain.history import CustomerHistory
from state.events.invoice import THOUSAND, Invoice, Line
from state.settings import Settings
from state.store.memory import MemoryStore
from stream.tools.similarity import Similar, cosines, similar_customers, similar_items
from training.features.item_table import ItemTable

PLACES = {"a": (1.0, 0.0), "b": (2.0, 0.2), "c": (0.0, 3.0), "z": (0.0, 0.0)}


class Plane:
    """Items lie where ``PLACES`` has them, a customer lies where the items bought lie together."""

    def item_vectors(self, items: ItemTable, now: int) -> NDArray[np.float32]:
        return np.asarray([PLACES[code] for code in items.codes], np.float32)

    def customer_vectors(self, histories: Sequence[CustomerHistory], items: ItemTable, now: int) -> NDArray[np.float32]:
        bought = [[PLACES[line.stock_code] for held in each.invoices for line in held.lines] for each in histories]
        return np.asarray([np.sum(each, axis=0) for each in bought], np.float32)


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore(Settings())
    bought = {"ann": "ab", "bob": "a", "cy": "c", "dan": "b"}
    store.apply(
        [
            Invoice(name, name, 1_300_000_000, tuple(Line(code, THOUSAND, 1.0, f"ITEM {code}") for code in codes))
            for name, codes in {**bought, "eve": "z"}.items()
        ],
        clock_ms=1,
    )
    return store


def test_cosines_by_hand() -> None:
    vectors = np.asarray([[3.0, 4.0], [6.0, 8.0], [-4.0, 3.0], [0.0, 0.0]], np.float32)
    assert cosines(vectors, 0).tolist() == pytest.approx([1.0, 1.0, 0.0, 0.0])
    assert cosines(vectors, 3).tolist() == [0.0] * 4


def test_items_by_the_angle_and_never_the_item_itself(store: MemoryStore) -> None:
    found = similar_items("a", store, Plane(), 9)
    assert found is not None
    assert [like.name for like in found] == ["b", "c", "z"]
    assert found[0] == Similar("b", pytest.approx(2.0 / np.hypot(2.0, 0.2)), "ITEM b")  # type: ignore[arg-type]
    assert similar_items("a", store, Plane(), 1) == found[:1]


def test_customers_by_the_angle(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = similar_customers("bob", store, Plane(), 9)
    assert whole is not None
    assert [like.name for like in whole] == ["ann", "dan", "cy", "eve"]
    monkeypatch.setattr("stream.tools.similarity.BATCH_SIZE", 1)
    assert similar_customers("bob", store, Plane(), 2) == whole[:2]


def test_what_is_not_known_has_nothing_like_it(store: MemoryStore) -> None:
    assert similar_items("nothing", store, Plane(), 3) is None
    assert similar_customers("nobody", store, Plane(), 3) is None
