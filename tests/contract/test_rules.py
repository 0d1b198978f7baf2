"""The invoice rules of a store: recorded once, by whoever is first, and compared at every start."""

import logging
from concurrent.futures import ThreadPoolExecutor

import pytest

from state import Invoice, Line, Store, StoreRefused
from state.errors import RulesDiffer
from state.events.invoice_rules import InvoiceRules
from state.store.claim import claim_store, require_store_rules
from tests.contract.conftest import RedisStores

PLAIN = InvoiceRules(dialect="plain")
UCI = InvoiceRules(dialect="uci", timezone="Europe/London")
WITH_CODES = InvoiceRules(dialect="plain", unsellable_codes=("FEE,{x}", "POST*", "ä"))
BATCH = [Invoice("1", "c", 100, (Line("A", 1_000, 2.0),))]


@pytest.mark.parametrize("rules", [PLAIN, UCI, WITH_CODES], ids=["plain", "uci", "with codes"])
def test_rules_are_recorded_once(store: Store, rules: InvoiceRules) -> None:
    assert store.rules() is None
    assert store.record_rules(rules) == rules
    assert store.record_rules(InvoiceRules(dialect="other")) == rules
    assert store.rules() == rules
    assert store.now() is None


def test_an_empty_store_takes_the_rules_without_a_word(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    claim_store(store, UCI)
    claim_store(store, UCI)
    assert store.rules() == UCI
    assert caplog.records == []


def test_histories_of_other_rules_are_refused_and_stay_theirs(store: Store) -> None:
    claim_store(store, UCI)
    with pytest.raises(RulesDiffer) as raised:
        claim_store(store, PLAIN)
    assert str(raised.value) == (
        "The histories in Redis were written in the dialect uci, and this process reads invoices in the dialect plain. "
        "Set NEXTBASKET_DIALECT=uci, or give this shop another NEXTBASKET_NAMESPACE, or stop the workers, delete the "
        "keys of this namespace and send the events again (docs/how-to/back-up-and-rebuild.md)."
    )
    assert store.rules() == UCI
    with pytest.raises(RulesDiffer, match="Set NEXTBASKET_DIALECT=uci and leave out NEXTBASKET_UNSELLABLE_CODES"):
        claim_store(store, WITH_CODES)


def test_histories_without_rules_are_adopted_with_a_sentence(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    store.apply(BATCH, clock_ms=1)
    claim_store(store, PLAIN)
    assert store.rules() == PLAIN
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "do not say in which dialect they were written" in record.getMessage()
    assert "From now on they count as written in the dialect plain" in record.getMessage()
    claim_store(store, PLAIN)
    assert len(caplog.records) == 1


def test_another_zone_is_a_warning(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    claim_store(store, UCI)
    claim_store(store, InvoiceRules(dialect="uci"))
    (record,) = caplog.records
    assert "NEXTBASKET_TIMEZONE=Europe/London" in record.getMessage()


def test_nothing_is_known_of_histories_without_rules() -> None:
    require_store_rules(None, PLAIN)


def test_of_workers_that_start_together_one_decides(redis_stores: RedisStores) -> None:
    stores = [redis_stores()]
    stores += [redis_stores(namespace=redis_stores.namespace) for _ in range(7)]
    rules = [PLAIN if number % 2 else UCI for number in range(8)]
    with ThreadPoolExecutor(8) as threads:
        recorded = list(threads.map(lambda pair: pair[0].record_rules(pair[1]), zip(stores, rules, strict=True)))
    assert len(set(recorded)) == 1


def test_each_namespace_has_its_rules(redis_stores: RedisStores) -> None:
    redis_stores().record_rules(UCI)
    assert redis_stores().rules() is None


@pytest.mark.parametrize("foreign", [b"uci", b"\xff", b'{"unsellable_codes": []}'])
def test_a_foreign_value_is_refused(redis_stores: RedisStores, foreign: bytes) -> None:
    store = redis_stores()
    store._client.set(store._keys.rules, foreign)
    with pytest.raises(StoreRefused, match="that this program did not write"):
        store.rules()


def test_a_key_of_another_type_is_refused(redis_stores: RedisStores) -> None:
    store = redis_stores()
    store._client.hset(store._keys.rules, "a", "b")
    with pytest.raises(StoreRefused):
        claim_store(store, PLAIN)
