"""The log of changed items is bounded in bytes, and no reader of it, of whatever version, misses a change."""

import random
import threading
from typing import Any

import msgspec
import pytest
from redis.cluster import RedisCluster

from state import Invoice, Line
from state.store.redis.store import RedisStore
from tests.contract.conftest import RedisStores, item_keys

MANY = 400
"""Codes of 400 bytes each that are too large for the log together."""
MOST_BYTES = 4_500_000


def code(index: int) -> str:
    return f"{index:04}" + "😀" * 99


def sell(store: RedisStore, number: int, *indices: int) -> None:
    lines = tuple(Line(code(index), 1_000, 1.0) for index in indices)
    store.apply([Invoice(str(number), "c", number * 60, lines)], clock_ms=number)


def old_reader(store: RedisStore, since: int) -> set[str] | None:
    """The codes that a reader without a check of the first entry reads; None: all items."""
    client: Any = store._client
    version = int(client.get(store._keys.items.version) or 0)
    log = client.xrange(store._keys.items.changed, min=f"({since}-0")
    if 0 < since < version and len(log) >= version - since:
        unpack = msgspec.msgpack.decode
        return {each for _, fields in log for each in unpack(fields[b"codes"])}
    return None if since != version else set()


def test_a_change_too_large_for_the_log_empties_it_and_is_read_whole(redis_stores: RedisStores) -> None:
    store = redis_stores(window=1_000)
    sell(store, 0, 0)
    first = store.items().version
    sell(store, 1, *range(MANY))
    changes = store.items(first)
    assert set(changes.states) == {code(index) for index in range(MANY)}
    if not isinstance(store._client, RedisCluster):  # which applies a large change in parts
        assert store._client.xlen(store._keys.items.changed) == 0
    sell(store, 2, 5)
    assert set(store.items(changes.version).states) == {code(5)}
    assert len(store.items(first).states) == MANY


def test_no_reader_misses_a_change(redis_stores: RedisStores) -> None:
    store = redis_stores(window=1_000)
    rng = random.Random(11)
    versions: list[tuple[int, set[str]]] = []  # version, codes that changed with it
    for number in range(40):
        indices = range(MANY) if rng.random() < 0.15 else rng.sample(range(MANY), rng.randint(1, 5))
        sell(store, number, *indices)
        versions.append((store.items(2**40).version, {code(index) for index in indices}))
    everything = store.items()
    for position, (since, _) in enumerate(versions):
        changed: set[str] = set().union(*(codes for _, codes in versions[position + 1 :]))
        read = set(store.items(since).states)
        assert changed <= read
        assert read in (changed, set(everything.states))
        old = None if isinstance(store._client, RedisCluster) else old_reader(store, since)
        assert old is None or changed <= old


def test_the_log_is_bounded_in_bytes(redis_stores: RedisStores) -> None:
    store = redis_stores(window=1)
    size = 300  # nearly as large as an entry can be
    for number in range(45):
        sell(store, number, *range(size))
    client: Any = store._client
    before = store.items().version
    sell(store, 45, 1)
    for keys in store._layout.buckets:
        assert 0 < client.memory_usage(keys.changed, samples=0) < MOST_BYTES
    assert set(store.items(before).states) == {code(1)}


def test_a_log_that_is_trimmed_while_it_is_read_is_not_taken_for_whole(redis_stores: RedisStores) -> None:
    """A reader asks for the version and then for the log; another change may come in between."""
    store = redis_stores(window=1_000)
    keys = item_keys(store, code(0))
    indices = [index for index in range(MANY) if item_keys(store, code(index)) is keys][:4]
    versions = []
    for number, index in enumerate(indices):
        sell(store, number, index)
        versions.append(store.items(2**40).version)
    client: Any = store._client
    client.xtrim(keys.changed, maxlen=1, approximate=False)
    later = int(client.get(keys.version)) + 1
    client.xadd(keys.changed, {"codes": b"\x91\xa1A"}, id=f"{later}-0")  # without its version yet
    assert {code(index) for index in indices[2:]} <= set(store.items(versions[1]).states)


@pytest.mark.timeout(60)
def test_a_reader_beside_writers_misses_nothing(redis_stores: RedisStores) -> None:
    writer = redis_stores(window=1_000)
    reader = redis_stores(namespace=redis_stores.namespace, window=1_000)
    done = threading.Event()

    def write() -> None:
        rng = random.Random(2)
        for number in range(120):
            sell(writer, number, *(range(MANY) if number % 20 == 7 else rng.sample(range(MANY), 3)))
        done.set()

    thread = threading.Thread(target=write)
    thread.start()
    read: dict[str, Any] = {}
    version, ended = 0, False
    while not ended:
        ended = done.is_set()  # one more read after the last change
        changes = reader.items(version)
        read.update(changes.states)
        version = changes.version
    thread.join()
    assert read == writer.items().states
