"""A node of a Redis Cluster that comes back empty, while others have their data, is known by the marks of its parts."""

from collections.abc import Iterator

import pytest
from redis import Redis

from state.store.protocol import StoreMark
from state.store.redis.parts import PARTS, part_tags
from stream.loss_watch import loss
from tests.contract import cluster
from tests.contract.conftest import RedisStores
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


def empty(node: RedisServer) -> None:
    with Redis(port=node.port) as client:
        client.flushall()


@pytest.mark.parametrize("number", [0, 1, 2])
def test_an_emptied_node_is_a_loss_until_all_is_written_anew(nodes: cluster.RedisCluster, number: int) -> None:
    stores = RedisStores(nodes.url)
    store = stores()
    assert store.mark() == StoreMark(None, 0, PARTS, 0, complete=False)
    assert store.record_run("first") == "first"
    before = store.mark()
    assert before == StoreMark("first", 0, PARTS, 0)
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
    assert store.mark() == StoreMark(run, 0, PARTS, 0)
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
    assert store.mark() == StoreMark("second", 0, PARTS, 0)
    keys = store._keys
    for key in (keys.parts, *map(keys.part, part_tags()[:40])):  # a worker was killed while it wrote them
        store._client.delete(key)
    assert store.mark() == StoreMark("second", 0, PARTS, 0, complete=False)
    assert store.record_run("third") == "second"
    assert store.mark() == StoreMark("second", 0, PARTS, 0)
    stores.close()


def test_a_loss_on_a_cluster_is_cured_from_scratch_because_its_nodes_differ() -> None:
    went_back = loss(StoreMark("a", 9, PARTS), StoreMark("a", 7, PARTS)) or ""
    assert went_back.startswith("Redis lost its last 2 changes of items")
    assert went_back.endswith("--from-scratch")
    alone = loss(StoreMark("a", 9), StoreMark("a", 7)) or ""
    assert "--from-scratch" not in alone
    assert "nextbasket rebuild" in alone
