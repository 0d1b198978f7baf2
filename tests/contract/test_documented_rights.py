"""The documented rights of commands that change histories suffice where changes of items go by way of the outbox.

On a Cluster all do; on a single Redis those of large events. The other rights are tested on secured servers.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from urllib.parse import urlsplit

import pytest
from redis.cluster import RedisCluster

from state import Settings, StoreUnavailable
from state.store.redis.layout import ITEM_BUCKETS
from state.store.redis.outbox import Outboxes
from state.store.redis.store import RedisStore
from tests.contract.conftest import RedisStores
from tests.contract.test_store import CLOCK, invoice
from tests.integration.documented_rights import redis_rights
from tests.services.choice import Service

BATCH = [invoice("1", 100, customer=name) for name in ("first", "c", "last")]


@pytest.mark.parametrize("server", ["redis", "redis_cluster"])
@pytest.mark.parametrize("command", ["rebuild", "rebuild --from-scratch", "erase"])
def test_a_command_may_drain_outboxes(
    command: str, server: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("state.store.redis.commit.MAX_CHANGES", 0)
    service = request.getfixturevalue(server)
    stores = RedisStores(service.address if isinstance(service, Service) else service)
    trusted = stores()
    with monkeypatch.context() as crash:  # a worker ended before it had drained the outboxes
        crash.setattr(Outboxes, "_apply", _crash)
        with pytest.raises(StoreUnavailable):
            trusted.apply(BATCH, clock_ms=CLOCK)
    with limited(trusted, stores, command) as store:
        if command == "erase":
            assert store.remove("c")
        else:
            if command == "rebuild --from-scratch":
                store.empty()
            store.apply(BATCH, clock_ms=CLOCK)
            assert next(iter(trusted.items().states.values())).sold == 3
    stores.close()


@pytest.mark.parametrize("command", ["worker", "rebuild", "erase"])
def test_a_command_may_move_the_items_of_a_cluster_into_buckets(
    command: str, redis_cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stores = RedisStores(redis_cluster)
    with monkeypatch.context() as older:
        older.setattr("state.store.redis.item_layout.RedisCluster", int)
        trusted = stores()
    trusted.apply(BATCH[:1], clock_ms=CLOCK)
    with monkeypatch.context() as crash:
        crash.setattr(Outboxes, "_trim", _crash)
        with pytest.raises(StoreUnavailable):
            trusted.apply(BATCH, clock_ms=CLOCK)
    with limited(trusted, stores, command) as store:
        assert store.remove("first") if command == "erase" else store.apply(BATCH, clock_ms=CLOCK)
    assert stores(namespace=stores.namespace).items().states["A"].sold == 3
    assert int(trusted._client.get(trusted._keys.items.state)) == ITEM_BUCKETS
    stores.close()


@contextmanager
def limited(trusted: RedisStore, stores: RedisStores, command: str) -> Iterator[RedisStore]:
    """A store of a user that has no right but those of a command."""
    is_cluster = isinstance(trusted._client, RedisCluster)
    everywhere = {"target_nodes": "primaries"} if is_cluster else {}
    user = "test-of-rights"
    rules = ["reset", "on", "nopass", f"~{stores.namespace}:*", *redis_rights()[command]]
    if is_cluster:
        rules += ["+cluster|slots", "+command"]
    trusted._client.execute_command("ACL", "SETUSER", user, *rules, **everywhere)
    parts = urlsplit(stores.url)
    url = parts._replace(netloc=f"{user}:any@{parts.netloc}").geturl()
    try:
        with closing(RedisStore(Settings(redis_url=url, namespace=stores.namespace))) as store:
            yield store
    finally:
        trusted._client.execute_command("ACL", "DELUSER", user, **everywhere)


def _crash(*_: object) -> None:
    raise StoreUnavailable("the worker ended")
