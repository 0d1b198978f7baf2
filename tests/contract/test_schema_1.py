"""A history of schema 1, as an older version wrote it, is read everywhere and written anew when its customer comes."""

from typing import Any

import msgspec
import pytest

from state import CustomerHistory, HeldInvoice, HeldLine, PriorRecommendation, canonical_json
from state.store.redis.store import RedisStore
from tests.contract.conftest import RedisStores
from tests.contract.events import AWKWARD, recommendation
from tests.contract.test_store import CLOCK, invoice, line

FIELDS = {
    "v": b"1",
    "x": b"\x83\xa14\xcd\x01\x90\xa13\xcd\x01,\xa12\xcc\xc8",
    "i2": b'["B",2500,0.85],\n["A",1000,2.0],\n["D",1000,3.0]',
    "i3": b'["A",-1000,2.0],\n["q\\",5,1.0,\\"\\\\{b}%\\u0000\\n",1000,10000000.0,"x"]',
    "i4": b'["C",1000,1.0]',
    "n": b"6",
    "w": b"\x92d\xa11",
    "rev": b"1700000000009",
    "pub": b"1700000000005",
    "a": b"\x82\xa3age\x92\xcc\xc8\xa240\xa7country\x92\xcc\xc8\xa6France",
    "c": b"\x93\xafc-1700000000005\xd9 basket_lstm/2011-12-09T13-00-00Z\x91\xa1C",
    "s": b"\x93\xd98\x93\xafc-1700000000000\xd9 basket_lstm/2011-12-09T13-00-00Z\x92\xa1A\xa1B\x92\xcc\xc8\xa12\x82"
    b"\xa13\xc3\xa14\xc3",
}
"""What a worker with a window of 3 wrote: a watermark, a return, a line id, attributes, and an invoice to score."""
EXPECTED = CustomerHistory(
    "c",
    (
        HeldInvoice("2", 200, (HeldLine("A", 1_000, 2.0), HeldLine("B", 2_500, 0.85), HeldLine("D", 1_000, 3.0))),
        HeldInvoice("3", 300, (HeldLine("A", -1_000, 2.0), HeldLine(AWKWARD, 1_000, 1e7, "x"))),
        HeldInvoice("4", 400, (HeldLine("C", 1_000, 1.0),)),
    ),
    (100, "1"),
    {"age": (200, "40"), "country": (200, "France")},
)
CANONICAL = (
    b'{"customer_id":"c","baskets":[{"invoice_no":"2","invoice_date":"1970-01-01T00:03:20Z","items":{"B":2.5,"D":1}},'
    b'{"invoice_no":"3","invoice_date":"1970-01-01T00:05:00Z","items":{"q\\",5,1.0,\\"\\\\{b}%\\u0000\\n":1}},'
    b'{"invoice_no":"4","invoice_date":"1970-01-01T00:06:40Z","items":{"C":1}}]}'
)
REVISION = 1_700_000_000_009


@pytest.fixture
def store(redis_stores: RedisStores) -> RedisStore:
    """A store with the old history and its last recommendation."""
    store = redis_stores(window=3)
    client: Any = store._client
    client.hset(store._keys.history("c"), mapping=FIELDS)
    client.set(store._keys.recommendation("c"), msgspec.json.encode(recommendation("c", CLOCK + 5, "C")))
    return store


def stored(store: RedisStore) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = store._client.hgetall(store._keys.history("c"))
    return found


def test_it_is_read_everywhere(store: RedisStore) -> None:
    assert store.history("c") == EXPECTED
    assert list(store.histories()) == [EXPECTED]
    assert store.revisions(["c"]) == [REVISION]
    (state,) = store.customers(["c"])
    assert state is not None
    assert (state.history, state.revision) == (EXPECTED, REVISION)
    assert canonical_json(EXPECTED) == CANONICAL
    assert stored(store) == {name.encode(): value for name, value in FIELDS.items()}


def test_a_repeated_event_writes_it_anew_and_changes_nothing(store: RedisStore) -> None:
    prior = PriorRecommendation("4", f"c-{CLOCK}", "basket_lstm/2011-12-09T13-00-00Z", ["A", "B"])
    for _ in range(2):
        (update,) = store.apply([invoice("4", 400, line("C", price=1.0))], clock_ms=CLOCK + 99).updates
        assert (update.history, update.revision, update.published) == (EXPECTED, REVISION, CLOCK + 5)
        assert (update.changed, update.last) == (False, recommendation("c", CLOCK + 5, "C"))
        assert update.priors == [prior]
        fields = stored(store)
        assert set(fields) == {b"v", b"m", b"d"}
        assert fields[b"v"] == b"2"
        assert fields[b"m"].startswith(b"1700000000009 1700000000005 ")
    history = store.history("c")
    assert history == EXPECTED
    assert canonical_json(history) == CANONICAL


def test_a_change_writes_it_anew(store: RedisStore) -> None:
    (update,) = store.apply([invoice("5", 500, line("E"))], clock_ms=CLOCK).updates
    assert update.history.invoices[:2] == EXPECTED.invoices[1:]
    assert (update.revision, update.history.watermark) == (REVISION + 1, (200, "2"))
    assert [one.rec_id for one in update.priors] == [f"c-{CLOCK + 5}"]
    assert store.history("c") == update.history
    assert b"x" not in stored(store)


def test_an_older_worker_that_changes_it_in_between_is_noticed(store: RedisStore) -> None:
    histories = store._histories
    read = histories._load

    def read_and_change(customer_ids: Any) -> Any:
        loaded = read(customer_ids)
        if store._client.hget(store._keys.history("c"), "n") == b"6":
            store._client.hset(
                store._keys.history("c"),
                mapping={"i4": b'["C",1000,1.0],\n["Z",1000,1.0]', "n": 7, "rev": REVISION + 1},
            )
        return loaded

    histories._load = read_and_change  # type: ignore[method-assign]
    (update,) = store.apply([invoice("4", 400, line("Y", price=1.0))], clock_ms=CLOCK).updates
    assert [held.stock_code for held in update.history.invoices[-1].lines] == ["C", "Y", "Z"]
    assert update.revision == REVISION + 2


def test_invoices_are_removed_from_it(store: RedisStore) -> None:
    store.forget_invoices("c", ["2", "3"], clock_ms=CLOCK)
    history = store.history("c")
    assert history is not None
    assert history.invoices == EXPECTED.invoices[2:]
    assert b"x" not in stored(store)
    store.forget_invoices("c", ["4"], clock_ms=CLOCK)
    assert (store.history("c"), store.recommendation("c")) == (None, None)
