"""The index of who is due: the same list as from the histories, and no history read."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from state.domain.history import CustomerHistory
from state.events.dates import DAY
from state.store.memory import MemoryStore
from state.store.protocol import CustomerState
from stream.pipeline.due import DueList, DueQuery, due_customers
from stream.pipeline.due_index import HEAD, due_entries, read_columns, read_rest
from tests.unit.serving.test_return_curve import arrays
from tests.unit.stream.due_index import MemoryDueIndex
from tests.unit.stream.harness import CountingScorer, ProcessorHarness, invoice
from tests.unit.stream.test_due import NOW, purchase, regular, store_of
from training.serving.return_time.network import NumpyReturnNetwork


class NetworkScorer(CountingScorer):
    """Ranks by counts; predicts the return with the network, and counts the customers it was asked for."""

    def __init__(self, version: str = "1") -> None:
        super().__init__(version)
        self.network = NumpyReturnNetwork(arrays())
        self.asked: list[str] = []

    def return_curves(self, histories: Sequence[CustomerHistory], now: int) -> NDArray[np.float64]:
        return self.network.curve(histories, now)

    def return_survival(self, histories: Sequence[CustomerHistory]) -> NDArray[np.float64]:
        self.asked += [history.customer_id for history in histories]
        return self.network.log_survival(histories)


class ReadingStore(MemoryStore):
    """Counts the histories that are read."""

    def __init__(self, store: MemoryStore) -> None:
        self.__dict__.update(store.__dict__)
        self.read: list[str] = []
        self.compared = 0

    def customers(self, customer_ids: Sequence[str]) -> list[CustomerState | None]:
        self.read += customer_ids
        return super().customers(customer_ids)

    def revisions(self, customer_ids: Sequence[str]) -> list[int]:
        self.compared += len(customer_ids)
        return [one.revision if one else 0 for one in super().customers(customer_ids)]


@pytest.fixture
def store() -> ReadingStore:
    return ReadingStore(
        store_of(
            *regular(0, "ten", 10, 9, price=2.0),
            *regular(100, "weekly", 7, 5, country="France"),
            purchase(200, "once", 40),
            purchase(201, "newest", 0),
        )
    )


def due(
    store: MemoryStore, query: DueQuery, index: MemoryDueIndex | None, scorer: NetworkScorer | None = None
) -> DueList:
    return due_customers(store, scorer or NetworkScorer(), query, top_k=3, index=index)


QUERIES = {
    "all": DueQuery(NOW, 7),
    "later": DueQuery(NOW + 40 * DAY, 30),
    "between horizons": DueQuery(NOW, 45, min_chance=0.2),
    "segment": DueQuery(NOW, 7, segment={"country": frozenset({"France"})}),
    "limit": DueQuery(NOW, 3, limit=2),
}


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_the_list_is_that_of_the_histories_the_first_time_and_the_second(store: ReadingStore, query: DueQuery) -> None:
    index = MemoryDueIndex()
    found = [due(store, query, each) for each in (None, index, index)]
    lists = [list(each.customers) for each in found]
    assert lists[0]
    assert lists[0] == lists[1] == lists[2]
    assert len({(each.read, each.eligible) for each in found}) == 1


def test_of_a_complete_index_no_history_is_read_but_those_that_are_listed(store: ReadingStore) -> None:
    index, scorer = MemoryDueIndex(), NetworkScorer()
    due(store, QUERIES["all"], index, scorer)
    assert sorted(scorer.asked) == ["newest", "once", "ten", "weekly"]
    scorer.asked, store.read, store.compared = [], [], 0
    found = due(store, QUERIES["limit"], index, scorer)
    assert (scorer.asked, store.read, store.compared) == ([], [], 0)
    assert len(list(found.customers)) == len(store.read) == 2


def test_an_incomplete_index_is_compared_with_all_histories_and_only_what_differs_is_predicted(
    store: ReadingStore,
) -> None:
    index, scorer = MemoryDueIndex(), NetworkScorer()
    due(store, QUERIES["all"], index, scorer)
    store.apply([purchase(300, "once", 0), purchase(301, "new", 1)], clock_ms=2)
    del store._customers["ten"]
    index.set_complete(False)
    scorer.asked, index.written = [], []
    listed = list(due(store, QUERIES["all"], index, scorer).customers)
    assert sorted(scorer.asked) == ["new", "once"]
    assert sorted(index.written) == ["new", "once", "ten"]
    assert sorted(index.entries) == sorted(each.customer_id for each in listed) == ["new", "newest", "once", "weekly"]
    assert index.complete


def test_entries_of_another_model_or_none_are_predicted_again(store: ReadingStore) -> None:
    index, scorer = MemoryDueIndex(), NetworkScorer()
    due(store, QUERIES["all"], index, scorer)
    (state,) = store.customers(["ten"])
    assert state is not None
    index.record(due_entries([state.history], [state.revision], [[]], None, "1"))
    scorer.asked = []
    first = list(due(store, QUERIES["all"], index, scorer).customers)
    assert scorer.asked == ["ten"]
    assert first == list(due(store, QUERIES["all"], None, scorer).customers)
    other = NetworkScorer("2")
    due(store, QUERIES["all"], index, other)
    assert sorted(other.asked) == ["newest", "once", "ten", "weekly"]


def test_a_worker_records_each_customer_so_that_a_list_reads_no_history() -> None:
    index, scorer = MemoryDueIndex(), NetworkScorer()
    harness = ProcessorHarness(scorer=scorer, due_index=index)
    index.set_complete(True)
    harness.process(invoice("1", "anna", "2011-12-01T10:00:00Z", "TEA", country="France"))
    harness.process(
        invoice("2", "anna", "2011-12-05T10:00:00Z", "CUP", country="France"),
        invoice("3", "ben", "2011-12-08T10:00:00Z", "TEA"),
    )
    scorer.asked = []
    at = DueQuery(NOW + DAY, 7)
    found = due(harness.store, at, index, scorer)  # type: ignore[arg-type]  # a MemoryStore
    listed = list(found.customers)
    assert scorer.asked == []
    assert listed == list(due(harness.store, at, None, scorer).customers)  # type: ignore[arg-type]  # as above
    rest = read_rest(index.entries["anna"].value[HEAD.itemsize :])
    assert (rest.attributes, set(rest.items)) == ({"country": "France"}, {"TEA", "CUP"})


def test_a_model_that_fails_leaves_an_entry_that_a_list_predicts() -> None:
    index, scorer = MemoryDueIndex(), NetworkScorer()
    index.set_complete(True)
    harness = ProcessorHarness(scorer=CountingScorer(), due_index=index)
    harness.process(invoice("1", "anna", "2011-12-01T10:00:00Z", "TEA"))
    listed = list(due(harness.store, QUERIES["all"], index, scorer).customers)  # type: ignore[arg-type]  # as above
    assert ([each.customer_id for each in listed], scorer.asked) == (["anna"], ["anna"])


def test_an_entry_is_read_as_it_was_made(store: ReadingStore) -> None:
    index, scorer = MemoryDueIndex(), NetworkScorer()
    due(store, QUERIES["all"], index, scorer)
    columns = read_columns(index, with_rest=True)
    assert columns.rests is not None
    for customer_id, row, rest in zip(columns.customer_ids, columns.rows, columns.rests, strict=True):
        (state,) = store.customers([customer_id])
        assert state is not None
        expected = scorer.return_survival([state.history])[0].astype(np.float32)
        np.testing.assert_allclose(
            row["survival"], expected[1:], rtol=1e-6
        )  # the sums of a batch differ in the last bit
        assert (row["revision"], row["purchases"]) == (state.revision, len(state.history.purchase_dates))
        assert read_rest(rest).attributes == state.history.attributes
