"""Stored summaries: the same list as from the histories, read only where a history changed."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from state.domain.history import CustomerHistory
from state.events.dates import DAY
from state.store.memory import MemoryStore
from state.store.protocol import CustomerState
from stream.pipeline.due import DueList, DueQuery, due_customers
from stream.pipeline.due_summaries import SHARDS, pack, read_summaries, shard_of, unpack
from tests.unit.serving.test_return_curve import arrays
from tests.unit.stream.harness import CountingScorer
from tests.unit.stream.test_due import NOW, ids, purchase, regular, store_of
from training.serving.return_time.network import NumpyReturnNetwork


class Stored:
    """Summaries in memory."""

    def __init__(self) -> None:
        self.shards: dict[int, bytes] = {}
        self.saved: list[int] = []

    def load(self, shards: int) -> list[bytes | None]:
        return [self.shards.get(shard) for shard in range(shards)]

    def save(self, shards: Mapping[int, bytes]) -> None:
        self.shards.update(shards)
        self.saved.extend(shards)


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

    def customers(self, customer_ids: Sequence[str]) -> list[CustomerState | None]:
        self.read += customer_ids
        return super().customers(customer_ids)

    def revisions(self, customer_ids: Sequence[str]) -> list[int]:
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


def due(store: MemoryStore, query: DueQuery, stored: Stored | None, scorer: NetworkScorer | None = None) -> DueList:
    return due_customers(store, scorer or NetworkScorer(), query, top_k=3, summaries=stored)


QUERIES = {
    "all": DueQuery(NOW, 7),
    "later": DueQuery(NOW + 40 * DAY, 30),
    "segment": DueQuery(NOW, 7, segment={"country": frozenset({"France"})}),
    "limit": DueQuery(NOW, 3, limit=2),
}


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_the_list_is_that_of_the_histories_the_first_time_and_the_second(store: ReadingStore, query: DueQuery) -> None:
    stored = Stored()
    found = [due(store, query, each) for each in (None, stored, stored)]
    lists = [list(each.customers) for each in found]
    assert lists[0]
    assert lists[0] == lists[1] == lists[2]
    assert len({(each.read, each.eligible) for each in found}) == 1


def test_only_customers_who_changed_are_read_again(store: ReadingStore) -> None:
    stored, scorer = Stored(), NetworkScorer()
    first = read_summaries(store, scorer, "1", stored)
    assert sorted(scorer.asked) == ["newest", "once", "ten", "weekly"]
    store.apply([purchase(300, "once", 0), purchase(301, "new", 1)], clock_ms=2)
    scorer.asked, store.read, stored.saved = [], [], []
    second = read_summaries(store, scorer, "1", stored)
    assert sorted(scorer.asked) == sorted(store.read) == ["new", "once"]
    assert set(stored.saved) == {shard_of("new"), shard_of("once")}
    assert second.last[second.customer_ids.index("once")] == NOW > first.last[first.customer_ids.index("once")]
    stored.saved = []
    read_summaries(store, scorer, "1", stored)
    assert (stored.saved, sorted(scorer.asked)) == ([], ["new", "once"])


def test_another_model_reads_all_again(store: ReadingStore) -> None:
    stored, scorer = Stored(), NetworkScorer()
    read_summaries(store, scorer, "1", stored)
    scorer.asked = []
    read_summaries(store, scorer, "2", stored)
    assert len(scorer.asked) == 4


def test_a_customer_who_is_gone_is_not_listed(store: ReadingStore) -> None:
    stored = Stored()
    read_summaries(store, NetworkScorer(), "1", stored)
    del store._customers["ten"]
    assert sorted(ids(due(store, QUERIES["all"], stored))) == ["newest", "once", "weekly"]


def test_a_shard_that_cannot_be_read_is_computed_again(store: ReadingStore) -> None:
    stored, scorer = Stored(), NetworkScorer()
    read_summaries(store, scorer, "1", stored)
    good = dict(stored.shards)
    shard = shard_of("ten")
    packed = good[shard]
    for damaged in (b"", b"\xc1", packed[:-3], packed.replace(b"\xa1" + b"1", b"\xa1" + b"2", 1)):
        stored.shards[shard], scorer.asked = damaged, []
        read_summaries(store, scorer, "1", stored)
        assert "ten" in scorer.asked, damaged
        repaired = unpack(stored.shards[shard], "1")
        assert repaired is not None
        assert repaired.customer_ids == ["ten"]


def test_a_shard_is_read_as_it_was_packed(store: ReadingStore) -> None:
    made = read_summaries(store, NetworkScorer(), "1", Stored())
    read = unpack(pack(made, "1"), "1")
    assert read is not None
    assert read.customer_ids == made.customer_ids
    assert read.attributes == made.attributes
    for column in ("revision", "last", "purchases", "spending", "survival"):
        np.testing.assert_array_equal(getattr(read, column), getattr(made, column))


def test_customers_are_spread_over_the_shards() -> None:
    sizes = np.bincount([shard_of(str(number)) for number in range(100_000)], minlength=SHARDS)
    assert sizes.min() > 300
    assert sizes.max() < 500
