"""The record of published due customers, on every kind of Redis."""

from state.events.dates import DAY
from state.settings import Settings
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
