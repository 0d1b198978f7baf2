"""The dialect of a store: recorded once, by whoever is first, and compared at every start."""

import logging
from concurrent.futures import ThreadPoolExecutor

import pytest

from state import Invoice, Line, Store, StoreRefused
from state.errors import DialectDiffers
from state.events.shop_dialect import ShopDialect
from state.store.claim import claim_store, require_store_dialect
from tests.contract.conftest import RedisStores

PLAIN = ShopDialect(name="plain")
UCI = ShopDialect(name="uci", timezone="Europe/London")
WITH_CODES = ShopDialect(name="plain", unsellable_codes=("FEE,{x}", "POST*", "ä"))
BATCH = [Invoice("1", "c", 100, (Line("A", 1_000, 2.0),))]


@pytest.mark.parametrize("dialect", [PLAIN, UCI, WITH_CODES], ids=["plain", "uci", "with codes"])
def test_a_dialect_is_recorded_once(store: Store, dialect: ShopDialect) -> None:
    assert store.dialect() is None
    assert store.record_dialect(dialect) == dialect
    assert store.record_dialect(ShopDialect(name="other")) == dialect
    assert store.dialect() == dialect
    assert store.now() is None


def test_an_empty_store_takes_the_dialect_without_a_word(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    claim_store(store, UCI)
    claim_store(store, UCI)
    assert store.dialect() == UCI
    assert caplog.records == []


def test_histories_of_another_dialect_are_refused_and_stay_theirs(store: Store) -> None:
    claim_store(store, UCI)
    with pytest.raises(DialectDiffers) as raised:
        claim_store(store, PLAIN)
    assert str(raised.value) == (
        "The histories in Redis were written in the dialect uci, and this process reads invoices in the dialect plain. "
        "Set NEXTBASKET_DIALECT=uci, or give this shop another NEXTBASKET_NAMESPACE, or stop the workers, delete the "
        "keys of this namespace and send the events again (docs/how-to/back-up-and-rebuild.md)."
    )
    assert store.dialect() == UCI
    with pytest.raises(DialectDiffers, match="Set NEXTBASKET_DIALECT=uci and leave out NEXTBASKET_UNSELLABLE_CODES"):
        claim_store(store, WITH_CODES)


def test_histories_without_a_dialect_are_adopted_with_a_sentence(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    store.apply(BATCH, clock_ms=1)
    claim_store(store, PLAIN)
    assert store.dialect() == PLAIN
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "no record of the dialect in which its histories were written" in record.getMessage()
    assert "From now on they count as written in the dialect plain" in record.getMessage()
    claim_store(store, PLAIN)
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    ("dialect", "named"),
    [
        (UCI, "hold 2 of 3 stock codes that are none in the dialect uci: 85123a, POST. Set"),
        (
            ShopDialect(name="plain", unsellable_codes=("post",)),
            "hold 1 of 3 stock codes that are none in the dialect plain with the unsellable codes post: POST. Set",
        ),
    ],
    ids=["another dialect", "other codes"],
)
def test_histories_without_a_dialect_that_hold_what_the_dialect_leaves_out_are_refused(
    store: Store, dialect: ShopDialect, named: str
) -> None:
    lines = tuple(Line(code, 1_000, 2.0) for code in ("22613", "85123a", "POST"))
    store.apply([Invoice("1", "c", 100, lines)], clock_ms=1)
    with pytest.raises(DialectDiffers) as raised:
        claim_store(store, dialect)
    assert named in str(raised.value)
    assert store.dialect() is None
    claim_store(store, PLAIN)
    assert store.dialect() == PLAIN


def test_another_zone_is_a_warning(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    claim_store(store, UCI)
    claim_store(store, ShopDialect(name="uci"))
    (record,) = caplog.records
    assert "NEXTBASKET_TIMEZONE=Europe/London" in record.getMessage()


def test_nothing_is_known_of_histories_without_a_dialect() -> None:
    require_store_dialect(None, PLAIN)


def test_of_workers_that_start_together_one_decides(redis_stores: RedisStores) -> None:
    stores = [redis_stores()]
    stores += [redis_stores(namespace=redis_stores.namespace) for _ in range(7)]
    dialect = [PLAIN if number % 2 else UCI for number in range(8)]
    with ThreadPoolExecutor(8) as threads:
        recorded = list(threads.map(lambda pair: pair[0].record_dialect(pair[1]), zip(stores, dialect, strict=True)))
    assert len(set(recorded)) == 1


def test_each_namespace_has_its_dialect(redis_stores: RedisStores) -> None:
    redis_stores().record_dialect(UCI)
    assert redis_stores().dialect() is None


@pytest.mark.parametrize("foreign", [b"uci", b"\xff", b'{"unsellable_codes": []}'])
def test_a_foreign_value_is_refused(redis_stores: RedisStores, foreign: bytes) -> None:
    store = redis_stores()
    store._client.set(store._keys.dialect, foreign)
    with pytest.raises(StoreRefused, match="that this program did not write"):
        store.dialect()


def test_a_key_of_another_type_is_refused(redis_stores: RedisStores) -> None:
    store = redis_stores()
    store._client.hset(store._keys.dialect, "a", "b")
    with pytest.raises(StoreRefused):
        claim_store(store, PLAIN)
