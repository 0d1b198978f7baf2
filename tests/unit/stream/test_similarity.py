"""Similar items and customers by made-up vectors."""

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

VECTORS = {"a": (1.0, 0.0), "b": (2.0, 0.2), "c": (0.0, 3.0), "z": (0.0, 0.0)}


class PlaneModel:
    """The vector of a customer is the sum of those of the items bought."""

    def item_vectors(self, items: ItemTable, now: int) -> NDArray[np.float32]:
        return np.asarray([VECTORS[code] for code in items.codes], np.float32)

    def customer_vectors(self, histories: Sequence[CustomerHistory], items: ItemTable, now: int) -> NDArray[np.float32]:
        bought = [[VECTORS[line.stock_code] for held in each.invoices for line in held.lines] for each in histories]
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


def test_items_are_sorted_by_cosine_without_the_item_itself(store: MemoryStore) -> None:
    found = similar_items("a", store, PlaneModel(), 9)
    assert found is not None
    assert [each.name for each in found] == ["b", "c", "z"]
    assert found[0] == Similar("b", pytest.approx(2.0 / np.hypot(2.0, 0.2)), "ITEM b")  # type: ignore[arg-type]
    assert similar_items("a", store, PlaneModel(), 1) == found[:1]


def test_a_stock_code_may_be_typed_in_lower_case() -> None:
    store = MemoryStore(Settings())
    lines = tuple(Line(code, THOUSAND, 1.0) for code in ("A", "B", "b"))
    store.apply([Invoice("1", "ann", 1_300_000_000, lines)], clock_ms=1)

    class Alike(PlaneModel):
        def item_vectors(self, items: ItemTable, now: int) -> NDArray[np.float32]:
            return np.asarray([[1.0, 0.0] if code in "aA" else [0.0, 1.0] for code in items.codes], np.float32)

    assert similar_items(" a ", store, Alike(), 9) == similar_items("A", store, Alike(), 9)
    found = similar_items("b", store, Alike(), 1)
    assert found is not None
    assert found[0].name == "B", "the code as typed comes before the one in upper case"


def test_customers_are_sorted_by_cosine_whatever_the_batch_size(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = similar_customers("bob", store, PlaneModel(), 9)
    assert whole is not None
    assert [each.name for each in whole] == ["ann", "dan", "cy", "eve"]
    monkeypatch.setattr("stream.tools.similarity.BATCH_SIZE", 1)
    assert similar_customers("bob", store, PlaneModel(), 2) == whole[:2]


def test_unknown_items_and_customers_have_no_similar_ones(store: MemoryStore) -> None:
    assert similar_items("nothing", store, PlaneModel(), 3) is None
    assert similar_customers("nobody", store, PlaneModel(), 3) is None
