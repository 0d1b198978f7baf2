"""The store after a failover: behind an address, or by a Sentinel."""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psutil
import pytest
from redis import Redis
from redis.exceptions import ResponseError

from state.errors import StoreUnavailable
from state.settings import Settings
from state.store.redis.sentinels import LOOK_INTERVAL_S, PrimaryPool
from state.store.redis.store import RedisStore
from stream.checked_redis import CheckedRedis
from stream.loss_watch import LossWatch
from tests.contract import cluster
from tests.contract.test_store import CLOCK, invoice
from tests.services.group import wait_until
from tests.services.process import free_port
from tests.services.redis import RedisServer, SentinelServer, missing_tools
from tests.services.relay import Relay

BATCH = [invoice("1", 100, customer="c")]


@contextmanager
def endpoint(folder: Path) -> Iterator[tuple[RedisServer, RedisServer, Relay]]:
    """A primary, its replica, and an address that leads to the primary."""
    with (
        RedisServer(folder / "primary", fsync="no") as primary,
        RedisServer(folder / "replica", fsync="no") as replica,
        Redis(port=replica.port) as client,
        Relay(free_port(), "127.0.0.1", primary.port) as relay,
    ):
        client.replicaof("127.0.0.1", str(primary.port))
        wait_until(lambda: client.info("replication")["master_link_status"] == "up", "the replica follows", 30)
        yield primary, replica, relay


def promote(replica: RedisServer, primary: RedisServer, relay: Relay) -> None:
    """A failover behind the address: the old primary becomes a replica, and its connections stay open."""
    with Redis(port=replica.port) as new, Redis(port=primary.port) as old:
        new.replicaof("NO", "ONE")
        old.replicaof("127.0.0.1", str(replica.port))
    relay.target = ("127.0.0.1", replica.port)


def test_a_failover_behind_an_address_is_followed(tmp_path: Path) -> None:
    if missing_tools():
        pytest.skip("needs redis-server on the PATH")
    with endpoint(tmp_path) as (primary, replica, relay):
        store = RedisStore(Settings(redis_url=relay.url("redis")))
        store.apply(BATCH, clock_ms=CLOCK)
        with Redis(port=primary.port) as client:
            client.wait(1, 5_000)
        promote(replica, primary, relay)
        with pytest.raises(StoreUnavailable):
            store.apply([invoice("2", 200)], clock_ms=CLOCK)
        store.apply([invoice("2", 200)], clock_ms=CLOCK)  # on the new primary
        promote(primary, replica, relay)
        with Redis(port=replica.port) as client:
            client.config_set("replica-serve-stale-data", "no")
            client.replicaof("127.0.0.1", str(free_port()))  # MASTERDOWN, for reads too
        with pytest.raises(StoreUnavailable):
            store.now()
        assert store.now() is not None
        store.close()


@pytest.fixture
def by_sentinel(tmp_path: Path) -> Iterator[tuple[RedisStore, SentinelServer, RedisServer]]:
    """A store with one batch, the Sentinel that it asks, and the replica."""
    if missing_tools():
        pytest.skip("needs redis-server on the PATH")
    with endpoint(tmp_path) as (primary, replica, _), SentinelServer(tmp_path / "sentinel", primary.port) as sentinel:
        url = f"redis+sentinel://127.0.0.1:{sentinel.port}/shop/0"
        with closing(RedisStore(Settings(redis_url=url))) as store:
            store.apply(BATCH, clock_ms=CLOCK)
            yield store, sentinel, replica


def test_after_a_failover_by_sentinels_nothing_is_written_to_the_old_primary(
    by_sentinel: tuple[RedisStore, SentinelServer, RedisServer],
) -> None:
    store, sentinel, replica = by_sentinel
    with Redis(port=sentinel.port) as client:
        wait_until(lambda: failover_begins(client), "the Sentinel knows the replica", 60)
        wait_until(lambda: client.sentinel_masters()["shop"]["port"] == replica.port, "it is promoted", 60)
    pool: Any = store._client.connection_pool
    time.sleep(max(0.0, pool._next_look - time.monotonic()))
    store.apply([invoice("2", 200)], clock_ms=CLOCK)  # the old primary would take it, until the Sentinel demotes it
    with closing(RedisStore(Settings(redis_url=replica.url))) as promoted:
        history = promoted.history("c")
        assert history is not None
        assert [one.invoice_no for one in history.invoices] == ["1", "2"]


def test_a_sentinel_that_hangs_is_asked_once_and_the_primary_used(
    by_sentinel: tuple[RedisStore, SentinelServer, RedisServer],
) -> None:
    store, sentinel, _ = by_sentinel
    pool: Any = store._client.connection_pool
    assert isinstance(pool, PrimaryPool)
    pool._next_look = 0.0
    process = psutil.Process(sentinel.pid)
    process.suspend()
    try:
        with patch.object(pool._quick, "discover_master", wraps=pool._quick.discover_master) as asked:
            for _ in range(3):
                time.sleep(LOOK_INTERVAL_S)
                store.apply(BATCH, clock_ms=CLOCK)
    finally:
        process.resume()
    assert asked.call_count == 1


@pytest.fixture
def cluster_with_replica(tmp_path: Path) -> Iterator[tuple[cluster.RedisCluster, cluster.PlainNode]]:
    """A Cluster of three, and a replica of its first node."""
    if reason := cluster.missing():
        pytest.skip(reason)
    nodes, replica = cluster.RedisCluster(tmp_path), cluster.PlainNode(tmp_path / "replica")
    try:
        nodes.start()
        replica.start()
        with nodes.nodes[0].client() as primary, replica.client() as client:
            meet = ("CLUSTER", "MEET", "127.0.0.1", replica.port, replica.bus_port)
            primary.execute_command(*meet)
            number = primary.cluster("MYID").decode()
            wait_until(lambda: replicates(client, number), "the replica knows the node", 60)
            wait_until(lambda: client.info("replication")["master_link_status"] == "up", "it follows", 60)
        yield nodes, replica
    finally:
        replica.stop()
        nodes.stop()


def replicates(client: Redis, number: str) -> bool:
    try:
        return bool(client.cluster("REPLICATE", number))
    except ResponseError:  # it does not know the node yet
        return False


def test_the_checks_of_a_worker_follow_a_replica_that_takes_over_on_a_cluster(
    cluster_with_replica: tuple[cluster.RedisCluster, cluster.PlainNode],
) -> None:
    nodes, replica = cluster_with_replica
    settings = Settings(redis_url=nodes.url)
    losses: list[int] = []
    with closing(RedisStore(settings)) as store, closing(CheckedRedis(settings)) as checked:
        watch = LossWatch(checked, lambda: losses.append(1), interval_s=0.05)
        store.apply(BATCH, clock_ms=CLOCK)
        watch.start()
        with nodes.nodes[0].client() as primary:
            assert primary.wait(1, 30_000) == 1
        nodes.nodes[0].kill()
        with replica.client() as client:
            client.execute_command("CLUSTER", "FAILOVER", "TAKEOVER")
            wait_until(lambda: answers(store), "the store follows", 60)
            assert not losses, "the replica had everything"
            client.flushall()
            wait_until(lambda: bool(losses), "the loss is noticed", 60)
        watch.stop()


def answers(store: RedisStore) -> bool:
    try:
        store.apply([invoice("2", 200, customer=f"customer {number}") for number in range(20)], clock_ms=CLOCK)
    except StoreUnavailable:
        return False
    return True


def failover_begins(sentinel: Redis) -> bool:
    try:
        return bool(sentinel.sentinel_failover("shop"))
    except ResponseError:  # no replica is known yet
        return False
