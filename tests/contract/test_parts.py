"""A node of a Redis Cluster that comes back empty, while others have their data, is known by the marks of its parts."""

import struct
from collections.abc import Iterator
from contextlib import closing

import pytest
from redis import Redis
from redis.crc import key_slot

from state.settings import Settings
from state.store.protocol import DueEntry, StoreMark
from state.store.redis.due_index import RedisDueIndex
from state.store.redis.layout import ITEM_BUCKETS
from state.store.redis.parts import PARTS, part_tags
from stream.checked_redis import CheckedRedis
from stream.loss_watch import loss
from tests.contract import cluster
from tests.contract.cluster import SLOTS
from tests.contract.conftest import RedisStores
from tests.contract.events import recommendation
from tests.contract.test_store import CLOCK, invoice
from tests.services.redis import RedisServer

THIRD = range(PARTS // 3, PARTS // 3 + 2)
"""Each node has a third of the slots."""


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cluster.RedisCluster]:
    if reason := cluster.missing():
        pytest.skip(reason)
    found = cluster.RedisCluster(tmp_path_factory.mktemp("cluster"))
    try:
        found.start()
        yield found
    finally:
        found.stop()


def mark(run: str | None, version: int, lost: int = 0, *, complete: bool = True) -> StoreMark:
    """The mark of a Cluster whose items were never anywhere but in buckets, of which one has a version."""
    return StoreMark(run, version, PARTS, lost, complete, (0, version, *[0] * (ITEM_BUCKETS - 1)))


def empty(node: RedisServer) -> None:
    with Redis(port=node.port) as client:
        client.flushall()


@pytest.mark.parametrize("number", [0, 1, 2])
def test_an_emptied_node_is_a_loss_until_all_is_written_anew(nodes: cluster.RedisCluster, number: int) -> None:
    stores = RedisStores(nodes.url)
    store = stores()
    assert store.mark() == mark(None, 0, complete=False)
    assert store.record_run("first") == "first"
    before = store.mark()
    assert before == mark("first", 0)
    empty(nodes.nodes[number])
    after = store.mark()
    assert after.lost_parts in THIRD
    sentence = loss(before, after)
    assert sentence is not None
    assert sentence.startswith(f"Redis lost a part of its data: {after.lost_parts} of the {PARTS} parts of its Cluster")
    assert sentence.endswith("nextbasket rebuild --from-scratch")
    assert loss(StoreMark(None, 0), after) == sentence, "a worker that starts notices it too"
    run = store.record_run("second")
    assert run == ("first" if after.run else "second")
    marked = store.mark()
    assert marked.lost_parts == after.lost_parts, "what shows the loss stays"
    assert loss(after, marked) is None, "it is said once"
    store.restore_parts()
    assert store.mark() == mark(run, 0)
    stores.close()


def test_a_cluster_that_lost_everything_or_has_no_marks_yet_has_lost_no_part(nodes: cluster.RedisCluster) -> None:
    stores = RedisStores(nodes.url)
    store = stores()
    store.record_run("first")
    before = store.mark()
    for node in nodes.nodes:
        empty(node)
    assert "is empty" in (loss(before, store.mark()) or "")
    store.record_run("second")
    assert store.mark() == mark("second", 0)
    keys = store._keys
    for key in (keys.parts, *map(keys.part, part_tags()[:40])):  # a worker was killed while it wrote them
        store._client.delete(key)
    assert store.mark() == mark("second", 0, complete=False)
    assert store.record_run("third") == "second"
    assert store.mark() == mark("second", 0)
    stores.close()


def test_a_loss_on_a_cluster_is_cured_from_scratch_because_its_nodes_differ() -> None:
    went_back = loss(StoreMark("a", 9, PARTS), StoreMark("a", 7, PARTS)) or ""
    assert went_back.startswith("Redis lost its last 2 changes of items")
    assert went_back.endswith("--from-scratch")
    one_bucket = loss(StoreMark("a", 9, PARTS, buckets=(4, 5)), StoreMark("a", 20, PARTS, buckets=(2, 18))) or ""
    assert one_bucket.startswith("Redis lost its last 2 changes of items: they were at version 4 and are at 2;")
    assert one_bucket.endswith("--from-scratch")
    alone = loss(StoreMark("a", 9), StoreMark("a", 7)) or ""
    assert "--from-scratch" not in alone
    assert "nextbasket rebuild" in alone


def test_a_batch_asks_no_node_where_its_customers_are(nodes: cluster.RedisCluster) -> None:
    stores = RedisStores(nodes.url)
    store = stores()
    settings = Settings(redis_url=stores.url, namespace=stores.namespace)
    index = RedisDueIndex(settings, client=store._client)
    customers = [f"customer {number}" for number in range(20)]
    batch = [invoice("1", 100, customer=each) for each in customers]
    due = [DueEntry(each, 1, struct.pack("<d", 1)) for each in customers]

    def process() -> None:
        updates = store.apply(batch, clock_ms=CLOCK).updates
        index.record(due)
        store.confirm([recommendation(one.history.customer_id, one.revision) for one in updates])
        store.reserve([(one.history.customer_id, one.revision) for one in updates], clock_ms=CLOCK + 1)
        assert len(store.snapshots(customers)) == len(customers)
        assert store.items().states["A"].sold == 20

    process()  # sends the scripts
    before = calls_of(nodes, "command|getkeys")
    process()
    assert calls_of(nodes, "command|getkeys") == before
    stores.close()


def test_repeated_checks_connect_anew_and_ask_for_no_commands(nodes: cluster.RedisCluster) -> None:
    with closing(CheckedRedis(Settings(redis_url=nodes.url))) as checked:
        assert checked().now() is None
        asked, addresses = calls_of(nodes, "command"), set[str]()
        for _ in range(3):
            store = checked()
            assert store.now() is None
            addresses.add(store._client.client_info(target_nodes=store._client.get_primaries()[0])["addr"])
        assert len(addresses) == 3, "an open connection may lead to an old server"
        assert calls_of(nodes, "command") == asked


def calls_of(nodes: cluster.RedisCluster, command: str) -> int:
    """How often the nodes have taken a command."""
    found = 0
    for node in nodes.nodes:
        with Redis(port=node.port) as client:
            found += client.info("commandstats").get(f"cmdstat_{command}", {"calls": 0})["calls"]
    return found


def test_a_slot_moves_to_another_node_while_a_store_is_open(nodes: cluster.RedisCluster) -> None:
    stores = RedisStores(nodes.url)
    store = stores()
    store.apply([invoice("1", 100, customer="a")], clock_ms=CLOCK)
    moved = next(name for name in map(str, range(1_000)) if key_slot(name.encode()) < SLOTS // len(nodes.nodes))
    clients = [node.client() for node in nodes.nodes]
    target = clients[1].cluster("MYID").decode()
    for client in clients:
        client.cluster("SETSLOT", key_slot(moved.encode()), "NODE", target)
    try:
        store.apply([invoice("1", 100, customer=moved), invoice("1", 100, customer="b")], clock_ms=CLOCK)
        assert clients[1].exists(store._keys.history(moved))
        assert store.items().states["A"].sold == 3
    finally:
        stores.close()
        for client in clients:
            client.cluster("SETSLOT", key_slot(moved.encode()), "NODE", clients[0].cluster("MYID").decode())
            client.close()
