"""Failures specific to Redis: foreign keys, newer schemas, lost scripts, outages, crashes between two calls."""

import logging
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from redis import Redis

from state import DAY, CustomerRefused, Invoice, Settings, StoreRefused, StoreUnavailable, add_invoice
from state.store.redis.durability import Durability
from state.store.redis.store import RedisStore
from tests.contract.conftest import MakeStore, RedisStores, item_keys
from tests.contract.events import recommendation
from tests.contract.test_store import CLOCK, invoice, line
from tests.integration.documented_rights import redis_rights
from tests.services.process import free_port
from tests.services.redis import RedisServer, missing_tools, set_user
from training.features.invoice_columns import InvoiceColumns, invoice_columns

BATCH = [invoice("1", 100, customer="first"), invoice("1", 100, customer="c"), invoice("1", 100, customer="last")]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis for one test only, which may stop, fill or reconfigure it."""
    if missing_tools():
        pytest.skip("needs redis-server on the PATH")
    with RedisServer(tmp_path / "redis", fsync="no") as running:
        yield running


@pytest.fixture
def admin(server: RedisServer) -> Iterator[Redis]:
    with Redis(port=server.port, socket_timeout=5) as client:
        yield client


@pytest.fixture
def store(server: RedisServer) -> Iterator[RedisStore]:
    opened = RedisStore(Settings(redis_url=server.url))
    yield opened
    opened.close()


def assert_unchanged(store: RedisStore) -> None:
    """Nothing of ``BATCH`` was written."""
    assert store.items().states == {}
    assert store.now() is None


def test_a_history_of_a_newer_schema_is_refused_before_anything_is_written(redis_stores: RedisStores) -> None:
    store = redis_stores()
    store._client.hset(store._keys.history("c"), "v", 3)
    for call in (lambda: store.apply(BATCH, clock_ms=CLOCK), lambda: store.history("c")):
        with pytest.raises(CustomerRefused, match=r"customer c has schema 3 and this version reads up to 2: a newer"):
            call()
    assert_unchanged(store)
    assert store.history("first") is None


@pytest.mark.parametrize("kind", ["history", "recommendation"])
def test_a_foreign_key_is_refused_by_name(redis_stores: RedisStores, kind: str) -> None:
    store = redis_stores()
    store._client.lpush(getattr(store._keys, kind)("c"), "something else")
    with pytest.raises(StoreRefused, match=r"The keys of customer c hold something else .*WRONGTYPE"):
        store.apply(BATCH, clock_ms=CLOCK)
    assert_unchanged(store)
    if kind == "history":
        with pytest.raises(StoreRefused, match=r"The keys of customer c hold something else .*WRONGTYPE"):
            store.confirm([recommendation("first", CLOCK), recommendation("c", CLOCK)])


@pytest.mark.parametrize("kind", ["state", "changed", "version", "now"])
def test_a_foreign_key_of_the_items_is_refused_before_anything_is_written(store: RedisStore, kind: str) -> None:
    store._client.lpush(getattr(item_keys(store, "A"), kind), "something else")
    with pytest.raises(StoreRefused, match="A key of the items holds something else"):
        store.apply(BATCH, clock_ms=CLOCK)
    assert list(store.histories()) == []


def test_lost_scripts_are_sent_again(redis_stores: RedisStores) -> None:
    store = redis_stores()
    store.apply(BATCH[:1], clock_ms=CLOCK)
    store._client.script_flush()
    store.apply(BATCH, clock_ms=CLOCK)
    store._client.script_flush()
    store.confirm([recommendation("c", CLOCK)])
    assert store.recommendation("c") is not None
    assert store.items().states["A"].sold == 3


def test_columns_of_an_invoice_are_computed_once_in_a_worker(redis_stores: RedisStores) -> None:
    """What a prediction computes of an invoice stays with it from one event of the customer to the next."""
    store = redis_stores()
    columns: dict[str, InvoiceColumns] = {}
    for day in range(4):
        parts = [invoice(str(day), day * DAY), invoice(str(day), day * DAY, line("B"))]
        (update,) = store.apply(parts, clock_ms=CLOCK + day).updates
        assert [each.invoice_no for each in update.history.invoices] == [str(each) for each in range(day + 1)]
        for each in update.history.invoices[:-1]:
            assert invoice_columns(each) is columns[each.invoice_no]
        columns = {each.invoice_no: invoice_columns(each) for each in update.history.invoices}
        store.confirm([recommendation("c", CLOCK + day)])
    (restarted,) = redis_stores(namespace=redis_stores.namespace).customers(["c"])
    assert restarted is not None
    assert invoice_columns(restarted.history.invoices[0]) is not columns["0"]


def test_keys_expire_after_the_configured_time(redis_stores: RedisStores) -> None:
    for days, expected in ((2, 2 * 86_400), (0, -1)):
        store = redis_stores(history_ttl_days=days)
        store.apply(BATCH, clock_ms=CLOCK)
        store.confirm([recommendation("c", CLOCK)])
        keys = [store._keys.history("c"), store._keys.recommendation("c")]
        assert all(store._client.ttl(key) in (expected, expected - 1) for key in keys)
        assert store._client.ttl(item_keys(store, "A").state) == -1


def test_keys_stop_expiring_with_the_next_change_when_expiry_is_switched_off(redis_stores: RedisStores) -> None:
    store = redis_stores(history_ttl_days=2)
    store.apply(BATCH, clock_ms=CLOCK)
    store.confirm([recommendation("c", CLOCK)])
    store = redis_stores(history_ttl_days=0, namespace=redis_stores.namespace)
    store.apply([invoice("2", 200)], clock_ms=CLOCK + 1)
    store.confirm([], [("c", CLOCK + 1)])
    assert store._client.ttl(store._keys.history("c")) == -1
    assert store._client.ttl(store._keys.recommendation("c")) == -1


def test_data_of_another_program_is_refused(redis_stores: RedisStores) -> None:
    store = redis_stores()
    store.apply(BATCH, clock_ms=CLOCK)
    calls = (
        lambda: redis_stores(namespace=redis_stores.namespace).apply(BATCH, clock_ms=CLOCK),  # has read nothing yet
        lambda: store.recommendation("c"),
        lambda: list(store.recommendations()),
    )
    for garbage in (b'{"a": 1}', b"\xff\xfe"):
        store._client.set(store._keys.recommendation("c"), garbage)
        for call in calls:
            with pytest.raises(StoreRefused, match="this program did not write"):
                call()
    store._client.delete(store._keys.recommendation("c"))
    for field, garbage in (("d", b"\xc1"), ("m", b"1 2"), ("v", b"x")):
        store._client.hset(store._keys.history("c"), field, garbage)
        with pytest.raises(StoreRefused, match="this program did not write"):
            list(store.histories())
    store._client.hset(item_keys(store, "A").state, "A", b"\xff")
    with pytest.raises(StoreRefused, match="this program did not write"):
        store.items()


def test_an_item_without_shares_starts_at_zero(redis_stores: RedisStores) -> None:
    store = redis_stores()
    store.apply([invoice("1", 0, line("A"))], clock_ms=CLOCK)
    *before, _ = msgspec.msgpack.decode(store._client.hget(item_keys(store, "A").state, "A"))
    store._client.hset(item_keys(store, "A").state, "A", msgspec.msgpack.encode(before))
    assert store.items().states["A"].shares == (0.0, 0.0, 0.0)
    store.apply([invoice("2", 7 * DAY, line("A"))], clock_ms=CLOCK)
    state = store.items().states["A"]
    assert (state.shares, state.sold) == ((1.0, 1.0, 1.0), 2)
    store.apply([invoice("2", 7 * DAY, line("B"))], clock_ms=CLOCK)
    assert store.items().states["A"].shares == pytest.approx((2**-0.5,) * 3)


def test_a_history_without_attributes_is_read_and_gets_them(redis_stores: RedisStores) -> None:
    store = redis_stores()
    store.apply([invoice("1", 0, line("A"))], clock_ms=CLOCK)
    # Without attributes everything lies as it lay before there were any.
    assert len(msgspec.msgpack.decode(store._client.hget(item_keys(store, "A").state, "A"))) == 10
    assert not store._client.hexists(store._keys.history("c"), "a")
    version = store.items().version
    event = msgspec.structs.replace(
        invoice("1", 0, msgspec.structs.replace(line("A"), attributes={"category": "Books"})), attributes={"age": "40"}
    )
    for changed in (True, False):  # the second call has nothing new and writes nothing
        (update,) = store.apply([event], clock_ms=CLOCK).updates
        changes = store.items(version)
        assert (update.history.attributes, changes.states["A"].attributes) == ({"age": "40"}, {"category": "Books"})
        assert (update.changed, changes.version) == (changed, version + 1)
    assert store.history("c") == update.history


def test_namespaces_are_separate(redis_stores: RedisStores) -> None:
    one, other = redis_stores(), redis_stores()
    one.apply(BATCH, clock_ms=CLOCK)
    assert (list(other.histories()), other.items().states, other.now()) == ([], {}, None)


def test_a_reader_behind_the_log_of_changes_reads_all_items(store: RedisStore) -> None:
    for number in range(3):
        store.apply([invoice(str(number), number, line(str(number)))], clock_ms=CLOCK)
    store._client.xtrim(store._keys.items.changed, maxlen=1, approximate=False)
    assert set(store.items(2).states) == {"2"}
    assert set(store.items(1).states) == {"0", "1", "2"}


def test_a_window_reduced_from_10_000_invoices_to_100_costs_one_event_less_than_a_second(
    server: RedisServer, store: RedisStore, admin: Redis
) -> None:
    large = RedisStore(Settings(redis_url=server.url, window=10_000))
    lines = (line("A"), line("B"), line("C"))
    for start in range(0, 10_000, 1_000):
        numbers = range(start, start + 1_000)
        large.apply([Invoice(str(number), "c", number % 977, lines) for number in numbers], clock_ms=start + 1)
    large.close()
    before = store.history("c")
    assert before is not None
    newest = Invoice("new", "c", 2_000, lines)
    admin.config_resetstat()
    store.apply([newest], clock_ms=CLOCK)
    history = store.history("c")
    assert history is not None
    assert len(history.invoices) == 100
    assert history == add_invoice(before, newest, 100).history
    assert admin.info("commandstats")["cmdstat_evalsha"]["usec"] < 1_000_000


def test_a_stopped_redis_is_unavailable_until_it_is_started(server: RedisServer, store: RedisStore) -> None:
    store.apply(BATCH, clock_ms=CLOCK)
    server.kill()
    for call in (lambda: store.apply(BATCH, clock_ms=CLOCK), store.now, lambda: list(store.histories()), store.items):
        with pytest.raises(StoreUnavailable, match="Redis does not answer"):
            call()
    server.start()
    store.apply(BATCH, clock_ms=CLOCK)


def test_a_full_redis_is_unavailable_and_writes_all_or_nothing(store: RedisStore, admin: Redis) -> None:
    admin.config_set("maxmemory", 1)
    with pytest.raises(StoreUnavailable, match="Redis cannot do this now"):
        store.apply(BATCH, clock_ms=CLOCK)
    assert_unchanged(store)
    admin.config_set("maxmemory", 0)
    store.apply(BATCH, clock_ms=CLOCK)
    admin.config_set("maxmemory", 1)
    with pytest.raises(StoreUnavailable, match="Redis cannot do this now"):
        store.confirm([recommendation("c", CLOCK)])


def test_a_replica_is_unavailable_for_writing(store: RedisStore, admin: Redis) -> None:
    admin.replicaof("127.0.0.1", str(free_port()))
    with pytest.raises(StoreUnavailable, match="Redis cannot do this now"):
        store.apply(BATCH, clock_ms=CLOCK)
    admin.config_set("replica-serve-stale-data", "no")
    with pytest.raises(StoreUnavailable):
        store.now()
    admin.replicaof("NO", "ONE")
    store.apply(BATCH, clock_ms=CLOCK)


def test_a_wrong_password_is_refused_and_never_shown(
    server: RedisServer, store: RedisStore, admin: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    admin.config_set("requirepass", "s3cret")
    wrong = RedisStore(Settings(redis_url=server.url, redis_password="wr0ng"))
    right = RedisStore(Settings(redis_url=server.url, redis_password="s3cret"))
    in_url = RedisStore(Settings(redis_url=server.url.replace("//", "//:s3cret@")))
    none = RedisStore(Settings(redis_url=server.url))
    try:
        for refused in (wrong, none):
            with pytest.raises(StoreRefused, match="Redis refuses the user or password") as caught:
                refused.apply(BATCH, clock_ms=CLOCK)
            assert "wr0ng" not in repr(caught.value)
        assert right.apply(BATCH, clock_ms=CLOCK).counts["lines_new"] == 3
        assert in_url.apply(BATCH, clock_ms=CLOCK).counts["lines_known"] == 3
    finally:
        for opened in (wrong, right, in_url, none):
            opened.close()
    assert "s3cret" not in caplog.text
    assert "wr0ng" not in caplog.text


WORKER_RIGHTS = ("~*", *(right for right in redis_rights()["worker"] if right not in ("+info", "+config|get")))
"""As docs/how-to/secure-kafka-and-redis.md has them, without those that only the check of the eviction policy needs."""


@pytest.fixture
def worker_store(server: RedisServer, admin: Redis) -> Iterator[RedisStore]:
    """A store of a user who has the documented rights and no others."""
    set_user(admin, "reset", "on", ">s3cret", *WORKER_RIGHTS)
    opened = RedisStore(Settings(redis_url=server.url.replace("//", "//worker:s3cret@")))
    yield opened
    opened.close()


def test_the_documented_rights_are_enough_and_the_probe_has_no_effect(worker_store: RedisStore, admin: Redis) -> None:
    worker_store.probe()
    assert admin.dbsize() == 0
    worker_store.apply(BATCH, clock_ms=CLOCK)
    worker_store.confirm([recommendation("c", CLOCK)])
    assert set(worker_store.items().states) == {"A"}
    assert worker_store.history("c") is not None


@pytest.mark.parametrize("right", ["evalsha", "eval", "hset", "xadd", "set", "incr", "expire", "xrange", "hscan"])
def test_a_missing_right_is_found_at_the_start(worker_store: RedisStore, admin: Redis, right: str) -> None:
    set_user(admin, f"-{right}")
    with pytest.raises(StoreRefused, match="The user of Redis lacks a permission"):
        worker_store.probe()
    assert admin.dbsize() == 0


def test_keys_out_of_reach_are_found_at_the_start(worker_store: RedisStore, admin: Redis) -> None:
    set_user(admin, "resetkeys", "~h:*", "~r:*")
    with pytest.raises(StoreRefused, match="The user of Redis lacks a permission"):
        worker_store.probe()


@pytest.mark.parametrize("right", ["evalsha", "hset", "hmget", "xadd"])
def test_a_right_that_is_lost_later_is_waited_for(worker_store: RedisStore, admin: Redis, right: str) -> None:
    worker_store.apply(BATCH[:1], clock_ms=CLOCK)
    set_user(admin, f"-{right}")
    with pytest.raises(StoreUnavailable, match="Redis does not allow this to the user"):
        worker_store.apply(BATCH, clock_ms=CLOCK)


def test_eviction_policy_and_persistence_are_read(store: RedisStore, admin: Redis) -> None:
    assert store.durability() == [Durability("noeviction", True, 0)]
    admin.config_set("maxmemory-policy", "allkeys-lru")
    admin.config_set("appendonly", "no")
    assert store.durability() == [Durability("allkeys-lru", False, 0)]
    admin.config_set("save", "60 1")
    assert store.durability() == [Durability("allkeys-lru", True, 0)]


def test_without_the_right_to_config_the_policy_comes_from_info(worker_store: RedisStore, admin: Redis) -> None:
    admin.config_set("appendonly", "no")
    assert worker_store.durability() == [Durability(None, None)]
    set_user(admin, "+info")
    assert worker_store.durability() == [Durability("noeviction", None, 0)]


def test_every_kind_of_redis_has_a_durability(redis_stores: RedisStores) -> None:
    policies = {server.policy for server in redis_stores().durability()}
    assert policies == {"noeviction"}


def test_the_probe_of_every_kind_of_redis_leaves_nothing(redis_stores: RedisStores) -> None:
    store = redis_stores()
    store.probe()
    assert list(store._client.scan_iter(f"{redis_stores.namespace}:*")) == []


@pytest.mark.parametrize("field", ["m", "d", "v"])
def test_foreign_bytes_in_a_history_are_refused_by_name(redis_stores: RedisStores, field: str) -> None:
    redis_stores().apply(BATCH, clock_ms=CLOCK)
    store = redis_stores(namespace=redis_stores.namespace)  # which has read nothing yet
    before = store.items()
    store._client.hset(store._keys.history("c"), field, b"\xc1")
    with pytest.raises(CustomerRefused, match="The keys of customer c hold something"):
        store.apply([invoice("1", 100, line("B"), customer="c")], clock_ms=CLOCK)
    assert store.items() == before
    store.apply([invoice("2", 100, customer="last")], clock_ms=CLOCK)


def test_foreign_bytes_of_the_items_are_no_customers_fault(redis_stores: RedisStores) -> None:
    store = redis_stores()
    store.apply(BATCH, clock_ms=CLOCK)
    store._client.hset(item_keys(store, "A").state, "A", b"\xc1")
    with pytest.raises(StoreRefused, match="A key of the items holds something else") as caught:
        store.apply([invoice("2", 100)], clock_ms=CLOCK)
    assert not isinstance(caught.value, CustomerRefused)


def test_text_is_compared_by_bytes_whatever_the_locale(make_store: MakeStore) -> None:
    # A dictionary's order would be a, B, ä, z; that of bytes is B, a, z, ä.
    store = make_store(window=3)
    store.apply([invoice(number, 100) for number in ("a", "B", "ä", "z")], clock_ms=CLOCK)
    history = store.history("c")
    assert history is not None
    assert [one.invoice_no for one in history.invoices] == ["a", "z", "ä"]
    assert history.watermark == (100, "B")


def test_a_foreign_key_of_a_customer_is_named_when_it_is_read(redis_stores: RedisStores) -> None:
    store = redis_stores()
    history, recommendation = store._keys.history("c"), store._keys.recommendation("c")
    store._client.set(history, "something else")
    store._client.lpush(recommendation, "something else")
    for key, read in ((history, store.history), (recommendation, store.recommendation)):
        with pytest.raises(CustomerRefused, match=r"The key .* holds something else than this program's data") as error:
            read("c")
        assert key in str(error.value)
    for read_many in (lambda: store.customers(["c"]), lambda: store.revisions(["c"]), lambda: list(store.histories())):
        with pytest.raises(CustomerRefused, match="A key of a customer holds something else"):
            read_many()
