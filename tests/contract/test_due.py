"""What nextbasket due stores, on every kind of Redis."""

from state.events.dates import DAY
from state.settings import Settings
from state.store.redis.due_summaries import RedisDueSummaries
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


def test_summaries_are_stored_by_shard_and_expire(redis_stores: RedisStores) -> None:
    store = redis_stores()
    settings = Settings(redis_url=redis_stores.url, namespace=redis_stores.namespace)
    summaries = RedisDueSummaries(settings, client=store._client)
    summaries.save({0: b"\x00first", 19: b"other"})
    summaries.save({19: b"last"})
    found = summaries.load(20)
    assert (len(found), found[0], found[19]) == (20, b"\x00first", b"last")
    assert found[1:19] == [None] * 18
    assert 0 < store._client.ttl(summaries._keys.due_summaries(19)) <= 8 * DAY
