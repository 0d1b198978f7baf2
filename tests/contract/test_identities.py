"""Lists of merged and erased customers, and the removal of customers, on every kind of store."""

from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from state import Invoice, Line, Settings, Store
from state.domain.identities import Erasure, Identities, Pseudonyms
from state.domain.merge import held_events
from state.errors import StoreRefused
from state.store.identities import IdentityStore, MemoryIdentities
from state.store.redis.identities import RedisIdentities
from tests.contract.conftest import REDIS, MakeStore, RedisStores
from tests.contract.events import AWKWARD, recommendation
from tests.services.choice import Service

KEY = "k" * 32
PSEUDONYMS = Pseudonyms(KEY)


def invoice(number: str, customer: str, date: int, *codes: str) -> Invoice:
    return Invoice(number, customer, date, tuple(Line(code, 1000, 1.0) for code in codes))


def redis_identities(stores: RedisStores, key: str = KEY) -> RedisIdentities:
    stores()
    return RedisIdentities(Settings(redis_url=stores.url, namespace=stores.namespace, erasure_key=SecretStr(key)))


@pytest.fixture(params=["memory", *REDIS])
def identities(request: pytest.FixtureRequest) -> Iterator[IdentityStore]:
    if request.param == "memory":
        yield MemoryIdentities(PSEUDONYMS)
        return
    service = request.getfixturevalue(request.param)
    stores = RedisStores(service.address if isinstance(service, Service) else service)
    found = redis_identities(stores)
    assert found.lookup(["a"]) is None
    assert found.all() is None
    found.restore(Identities())
    yield found
    found.close()
    stores.close()


def test_aliases_are_followed_and_a_cycle_is_not_recorded(identities: IdentityStore) -> None:
    assert identities.alias("a", AWKWARD)
    assert identities.alias(AWKWARD, "c")
    assert not identities.alias("a", "d")
    assert not identities.alias("c", "a")
    known = identities.lookup(["a", "x"])
    assert known is not None
    assert known.current("a") == "c"
    assert known.current("x") == "x"
    every = identities.all()
    assert every is not None
    assert every.aliases == {"a": AWKWARD, AWKWARD: "c"}


def test_an_erasure_is_found_by_those_who_have_the_key(identities: IdentityStore) -> None:
    assert identities.alias("old", "new")
    identities.erase({PSEUDONYMS.of(each): Erasure(5) for each in ("old", "new")}, ["old"])
    known = identities.lookup(["old", "new", "other"])
    assert known is not None
    assert known.aliases == {}
    assert known.erasure("old") == Erasure(5)
    assert known.erasure("other") is None
    identities.erase({PSEUDONYMS.of("new"): Erasure(5, 9)}, [])
    every = identities.all()
    assert every is not None
    assert every.erasures == {PSEUDONYMS.of("old"): Erasure(5), PSEUDONYMS.of("new"): Erasure(5, 9)}


def test_what_a_store_has_stays_when_older_lists_are_restored(identities: IdentityStore) -> None:
    identities.erase({PSEUDONYMS.of("a"): Erasure(5, 9)}, [])
    identities.restore(Identities({"b": "c"}, {PSEUDONYMS.of("a"): Erasure(5), PSEUDONYMS.of("d"): Erasure(6)}))
    known = identities.lookup(["a", "b", "d"])
    assert known is not None
    assert known.erasures == {PSEUDONYMS.of("a"): Erasure(5, 9), PSEUDONYMS.of("d"): Erasure(6)}
    assert known.aliases == {"b": "c"}


@pytest.mark.parametrize("key", ["", "another key of 32 characters ....."])
def test_a_list_is_refused_to_those_without_its_key(redis_stores: RedisStores, key: str) -> None:
    first = redis_identities(redis_stores)
    first.restore(Identities())
    settings = Settings(redis_url=redis_stores.url, namespace=redis_stores.namespace, erasure_key=SecretStr(key))
    other = RedisIdentities(settings)
    with pytest.raises(StoreRefused, match="NEXTBASKET_ERASURE_KEY_FILE"):
        other.lookup(["a"])
    with pytest.raises(StoreRefused):
        other.restore(Identities())
    for each in (first, other):
        each.close()


def test_a_removed_customer_leaves_no_key(redis_stores: RedisStores) -> None:
    store = redis_stores()
    store.apply([invoice("1", AWKWARD, 100, "A"), invoice("2", "b", 100, "A")], clock_ms=1)
    store.confirm([recommendation(AWKWARD, 1)])
    assert store.remove(AWKWARD)
    assert not store.remove(AWKWARD)
    assert store.history("b") is not None
    assert store.items().states["A"].sold == 2
    escaped = AWKWARD.replace("%", "%25").replace("{", "%7B").replace("}", "%7D").encode()
    keys = list(store._client.scan_iter(f"{redis_stores.namespace}:*"))
    assert keys
    assert not [key for key in keys if escaped in key or AWKWARD.encode() in key]


def merge(store: Store, clock_ms: int) -> None:
    old = store.customers(["old"])[0]
    assert old is not None
    store.apply(held_events(old.history, "new"), clock_ms=clock_ms)
    assert store.remove_merged("old", old.revision, clock_ms=clock_ms)


def test_items_count_the_invoices_of_merged_customers_once(make_store: MakeStore) -> None:
    parts = [
        invoice("1", "old", 1_000_000, "A", "B"),
        invoice("2", "old", 2_000_000, "A"),
        invoice("1", "new", 1_000_000, "B", "C"),
        invoice("3", "new", 3_000_000, "A"),
    ]
    store, whole = make_store(), make_store()
    store.apply(parts, clock_ms=1)
    merge(store, 2)
    whole.apply([Invoice(one.invoice_no, "new", one.date, one.lines) for one in parts], clock_ms=1)
    assert store.history("old") is None
    assert store.history("new") == whole.history("new")
    for code, state in whole.items().states.items():
        merged = store.items().states[code]
        assert merged.sold == state.sold
        assert merged.demand == pytest.approx(state.demand)
        assert merged.shares == pytest.approx(state.shares)


def test_a_history_that_changed_is_not_removed(store: Store) -> None:
    store.apply([invoice("1", "old", 100, "A")], clock_ms=1)
    revision = store.revisions(["old"])[0]
    store.apply([invoice("2", "old", 100, "A")], clock_ms=2)
    assert not store.remove_merged("old", revision, clock_ms=3)
    assert store.history("old") is not None
    assert store.items().states["A"].sold == 2
    assert not store.remove_merged("unknown", 1, clock_ms=3)


def test_a_watermark_rises_and_never_falls_and_the_recommendation_is_not_pending_again(store: Store) -> None:
    store.apply([invoice("1", "new", 100, "A"), invoice("2", "new", 200, "A")], clock_ms=1)
    revision = store.revisions(["new"])[0]
    for watermark, expected in (((150, "x"), (150, "x")), ((120, "y"), (150, "x")), ((150, "z"), (150, "z"))):
        store.raise_watermark("new", watermark, clock_ms=2)
        history = store.history("new")
        assert history is not None
        assert history.watermark == expected
        assert [one.invoice_no for one in history.invoices] == ["1", "2"]
    assert store.revisions(["new"]) == [revision]
    late = store.apply([invoice("0", "new", 140, "A"), invoice("1", "new", 100, "B")], clock_ms=3)
    assert late.counts == {"lines_new": 1, "lines_known": 0, "lines_behind": 1}
    assert store.items().states["A"].sold == 2
    store.raise_watermark("unknown", (5, "x"), clock_ms=4)
    assert store.history("unknown") is None
