"""What nextbasket due stores, on every kind of Redis."""

import struct

from state.events.dates import DAY
from state.settings import Settings
from state.store.protocol import DueEntry
from state.store.redis.due_index import RedisDueIndex
from state.store.redis.sent_due import RedisSentDue
from tests.contract.conftest import RedisStores


def opened(stores: RedisStores) -> RedisSentDue:
    store = stores()
    return RedisSentDue(Settings(redis_url=stores.url, namespace=stores.namespace), client=store._client)


def test_customers_are_recorded_by_day(redis_stores: RedisStores) -> None:
    sent = opened(redis_stores)
    assert sent.unsent("2011-12-09:7", ["a", "b{c}%"]) == ["a", "b{c}%"]
    sent.record("2011-12-09:7", ["b{c}%"])
    assert sent.unsent("2011-12-09:7", ["a", "b{c}%", "d"]) == ["a", "d"]
    assert sent.unsent("2011-12-10:7", ["b{c}%"]) == ["b{c}%"]
    assert sent.unsent("2011-12-09:14", ["b{c}%"]) == ["b{c}%"]
    assert sent.unsent("2011-12-09:7", []) == []


def test_the_record_expires_after_two_days(redis_stores: RedisStores) -> None:
    sent = opened(redis_stores)
    sent.record("2011-12-09:7", ["a"])
    key = sent._keys.sent_due("2011-12-09:7")
    assert 0 < sent._client.ttl(key) <= 2 * DAY


def entry(customer_id: str, revision: int, rest: str = "") -> DueEntry:
    return DueEntry(customer_id, revision, struct.pack("<d", revision) + b"\x00\xff" + rest.encode())


def test_an_entry_of_the_index_is_replaced_by_the_same_or_a_later_revision_only(redis_stores: RedisStores) -> None:
    store = redis_stores()
    settings = Settings(redis_url=redis_stores.url, namespace=redis_stores.namespace)
    index = RedisDueIndex(settings, client=store._client)

    def rests() -> dict[str, str]:
        found: dict[str, str] = {}
        for shard in index.shards(10, with_rest=True):
            assert shard.rests is not None
            assert len(shard.heads) == 10 * len(shard.customer_ids)
            assert shard.heads[8:10] == b"\x00\xff"
            found |= dict(zip(shard.customer_ids, shard.rests, strict=True))
        return found

    newest = 1_764_500_000_123
    many = [f"c{number}" for number in range(600)]  # some in each shard
    index.record([entry(each, 1, each) for each in many])
    index.record([entry("b{c}%\u00e9", newest, "last \u00e9"), entry("c7", newest - 1, "older")])
    index.record([entry("b{c}%\u00e9", newest - 1, "older"), entry("c7", newest, "newer"), entry("c8", 1, "again")])
    expected = {each: each for each in many} | {"b{c}%\u00e9": "last \u00e9", "c7": "newer", "c8": "again"}
    assert rests() == expected
    index.record([DueEntry("c7", newest - 1, b""), DueEntry("c9", 1, b"")])
    del expected["c9"]
    assert rests() == expected
    index.forget(["b{c}%\u00e9", "c7", "unknown"])
    assert rests().keys() == expected.keys() - {"b{c}%\u00e9", "c7"}
    assert all(shard.rests is None for shard in index.shards(10, with_rest=False))


def test_the_index_counts_as_complete_for_some_days(redis_stores: RedisStores) -> None:
    store = redis_stores()
    settings = Settings(redis_url=redis_stores.url, namespace=redis_stores.namespace)
    index = RedisDueIndex(settings, client=store._client)
    assert not index.is_complete()
    index.set_complete(True)
    assert index.is_complete()
    assert 0 < store._client.ttl(index._keys.due_complete) <= 8 * DAY
    index.set_complete(False)
    assert not index.is_complete()
