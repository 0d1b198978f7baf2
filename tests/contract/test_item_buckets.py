"""The items of a Cluster move into buckets, whatever is killed meanwhile, and end as if they had always been there.

Each test begins with what workers of a version without buckets left, of which some were killed: an outbox that was not
applied, one that was applied and not trimmed, and one of both.
"""

import random
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest
from redis.cluster import RedisCluster

from state import DAY, HALF_LIVES, SHARE_HALF_LIVES, ItemState, Settings, StoreRefused
from state.store.memory import MemoryStore
from state.store.redis.layout import ITEM_BUCKETS
from state.store.redis.outbox import MARKER_SECONDS, Outboxes
from state.store.redis.script import Script
from state.store.redis.store import RedisStore
from tests.contract.bucket_shop import (
    AGAIN,
    CODES,
    CUSTOMERS,
    FIRST,
    LATER,
    NOT_APPLIED,
    NOT_TRIMMED,
    Dump,
    Killed,
    Shop,
    contents,
    go_on,
    interrupted,
    kill,
    move,
    sales,
)
from tests.contract.test_order import same_items
from tests.contract.test_store import CLOCK


@pytest.fixture(scope="module")
def clients(redis_cluster: str) -> Iterator[tuple[RedisCluster, RedisCluster]]:
    url = redis_cluster.split(",")[0].replace("redis+cluster", "redis")
    one, other = RedisCluster.from_url(url), RedisCluster.from_url(url)
    yield one, other
    one.close()
    other.close()


@pytest.fixture(scope="module")
def rebuilt(clients: tuple[RedisCluster, RedisCluster]) -> Iterator[Any]:
    """The contents of a store of this version to which all events came once."""
    shop = Shop(clients)
    for batch in (*FIRST, *AGAIN):
        shop.store().apply(batch, clock_ms=CLOCK)
    found = contents(shop)
    assert all(found[0]), "each bucket has items"
    memory = MemoryStore(Settings())
    for batch in (*FIRST, *AGAIN):
        memory.apply(batch, clock_ms=CLOCK)
    assert same_items(shop.store().items().states, memory.items().states)
    yield found
    shop.remove()


@pytest.fixture(scope="module")
def left(clients: tuple[RedisCluster, RedisCluster]) -> Iterator[Dump]:
    """What the older workers left."""
    shop = Shop(clients)
    for batch in FIRST:
        shop.older().apply(batch, clock_ms=CLOCK)
    for step, batch in (("_apply", NOT_APPLIED), ("_trim", NOT_TRIMMED)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Outboxes, step, kill)
            with pytest.raises(Killed):
                shop.older().apply(batch, clock_ms=CLOCK)
    found = shop.dump()
    assert [key for key in found if key.startswith("o:")], "some outboxes were not trimmed"
    yield found
    shop.remove()


@pytest.fixture
def shop(clients: tuple[RedisCluster, RedisCluster], left: Dump) -> Iterator[Shop]:
    shop = Shop(clients)
    shop.restore(left)
    yield shop
    shop.remove()


@pytest.fixture
def trials(clients: tuple[RedisCluster, RedisCluster], left: Dump) -> Callable[[], Iterator[tuple[Shop, int]]]:
    """Shops with what was left, and the number of the call at which to do something; without end."""

    def found() -> Iterator[tuple[Shop, int]]:
        for number in count(1):
            shop = Shop(clients)
            shop.restore(left)
            yield shop, number
            shop.remove()

    return found


def test_what_was_left_is_moved(shop: Shop, rebuilt: Any) -> None:
    before = shop.store().mark()
    assert go_on(shop) == rebuilt
    keys, client = shop.store()._keys, shop.store()._client
    assert int(client.get(keys.items.state)) == ITEM_BUCKETS
    assert shop.store().mark().version > before.version
    assert client.ttl(keys.items.done("both")) > 0, "the marker of the older version does not stay"


@pytest.mark.timeout(120)
@pytest.mark.parametrize("sent", [False, True])
def test_a_move_that_is_killed_at_any_call_is_ended_by_the_next_worker(
    trials: Callable[[], Iterator[tuple[Shop, int]]], rebuilt: Any, sent: bool
) -> None:
    for shop, number in trials():
        if not move(shop.store(), number, kill, sent=sent):
            break
        assert go_on(shop) == rebuilt, f"killed at call {number}"
    assert number > 20


@pytest.mark.timeout(120)
def test_another_worker_moves_all_and_goes_on_at_any_call(
    trials: Callable[[], Iterator[tuple[Shop, int]]], rebuilt: Any
) -> None:
    for shop, number in trials():
        other = shop.store(client=1)
        if not move(shop.store(), number, lambda: [other.apply(batch, clock_ms=CLOCK) for batch in AGAIN]):  # noqa: B023
            break
        assert go_on(shop) == rebuilt, f"at call {number}"
    assert number > 20


@pytest.mark.timeout(120)
def test_two_killed_movers_leave_it_to_a_third(trials: Callable[[], Iterator[tuple[Shop, int]]], rebuilt: Any) -> None:
    rng = random.Random(5)
    for shop, number in trials():
        first, second = rng.randint(1, 25), rng.randint(1, 25)

        def both(shop: Shop = shop, second: int = second) -> None:
            move(shop.store(client=1), second, kill)
            raise Killed

        move(shop.store(), first, both)
        assert go_on(shop) == rebuilt, f"killed at calls {first} and {second}"
        if number == 15:
            break


@pytest.mark.timeout(120)
def test_an_older_worker_that_writes_at_any_call_counts_nothing_twice_and_nothing_is_lost(
    trials: Callable[[], Iterator[tuple[Shop, int]]], rebuilt: Any
) -> None:
    refusals = []
    for shop, number in trials():
        older = shop.older()

        def write(older: RedisStore = older) -> None:
            for batch in AGAIN:
                try:
                    older.apply(batch, clock_ms=CLOCK)
                except StoreRefused as error:
                    refusals.append(str(error))

        if not move(shop.store(), number, write):
            break
        assert go_on(shop) == rebuilt, f"at call {number}"
    assert len(refusals) == 3 * (number - 4), (
        "all but those before the log was replaced, by the third call, were refused"
    )
    assert all("A key of the items holds something else" in refusal for refusal in refusals)


@pytest.mark.timeout(120)
def test_a_reader_has_the_same_items_at_any_call(trials: Callable[[], Iterator[tuple[Shop, int]]], left: Dump) -> None:
    for shop, number in trials():
        reader = shop.store(client=1)
        before, now = reader.items(), reader.now()
        read: list[Any] = []

        def look(reader: RedisStore = reader, read: list[Any] = read, shop: Shop = shop) -> None:
            read.extend([shop.store(client=1).items(), reader.items(0), shop.store(client=1).now()])

        if not move(shop.store(), number, look):
            break
        assert (read[0].states, read[1].states, read[2]) == (before.states, before.states, now)
        assert reader.items(before.version).states == before.states
        assert (reader.items(0).states, reader.now()) == (before.states, now)


def test_a_reader_has_all_items_where_they_are_moved_at_any_call(
    trials: Callable[[], Iterator[tuple[Shop, int]]],
) -> None:
    for shop, number in trials():
        reader, other = shop.store(), shop.store(client=1)
        expected = other.items().states
        read: list[Any] = []

        def read_all(reader: RedisStore = reader, read: list[Any] = read) -> None:
            read.append(reader.items())

        reached = interrupted(reader, read_all, number, other._layout.prepare)
        assert read[0].states == expected
        if not reached:
            break
    assert number > 3


def test_the_script_of_an_older_version_is_refused_after_the_move_and_changes_nothing(shop: Shop) -> None:
    """The text of the script that a version without buckets sends."""
    entry = msgspec.msgpack.encode(
        (CLOCK + 9, 9 * DAY, [(9 * DAY, [CODES[1], 9.0, "NEW"])], [(9 * DAY, 1, 1.0, [CODES[1]])])
    )
    text = (
        Script("attributes", "items").text
        + "\n"
        + Path(__file__).with_name("older_scripts").joinpath("drain.lua").read_text()
    )
    half_lives = msgspec.msgpack.encode((HALF_LIVES, SHARE_HALF_LIVES))
    store = shop.store()
    keys = [*store._keys.items.in_order, store._keys.items.done("applied")]
    store._client.eval(text, len(keys), *keys, half_lives, entry)
    assert store.items().states[CODES[1]].price == 9.0, "before the move it is applied"
    store._layout.prepare()
    before = shop.values()
    later = msgspec.msgpack.encode((CLOCK + 10, 10 * DAY, [], [(10 * DAY, 1, 1.0, [CODES[1]])]))
    with pytest.raises(Exception, match="WRONGTYPE"):
        store._client.eval(text, len(keys), *keys, half_lives, later)
    assert shop.values() == before


def test_a_rebuild_from_scratch_needs_no_move(shop: Shop, rebuilt: Any) -> None:
    shop.store().empty()
    assert go_on(shop, *FIRST, *AGAIN) == rebuilt


def test_nothing_of_a_customer_stays_who_is_erased_before_or_after_the_move(shop: Shop) -> None:
    for name in ("both", "applied"):
        assert shop.store().remove(name)
        assert not [key for key in shop.scan() if name in key.decode()]


def test_an_older_version_that_began_anew_is_not_mixed_with_what_the_buckets_have(shop: Shop, rebuilt: Any) -> None:
    store = shop.store()
    store.apply(LATER, clock_ms=CLOCK)
    items = store._keys.items
    store._client.delete(items.state, items.changed, items.version, items.now)  # as its rebuild from scratch does
    shop.older().apply(NOT_TRIMMED, clock_ms=CLOCK)
    before = shop.values()
    with pytest.raises(StoreRefused, match="stop all workers and run: nextbasket rebuild --from-scratch"):
        shop.store().apply(LATER, clock_ms=CLOCK)
    assert shop.values() == before
    shop.store().empty()
    assert go_on(shop, *FIRST, *AGAIN) == rebuilt


def test_another_number_of_buckets_is_refused(shop: Shop) -> None:
    store = shop.store()
    store._layout.prepare()
    store._client.set(store._keys.items.state, 24)
    for call in (shop.store().items, shop.store().now, lambda: shop.store().apply(LATER, clock_ms=CLOCK)):
        with pytest.raises(
            StoreRefused, match="in b'24' buckets, and this version knows 12: another version wrote them"
        ):
            call()


@pytest.mark.parametrize("applied", range(ITEM_BUCKETS + 1))
def test_a_worker_that_is_killed_between_buckets_counts_each_sale_once(
    clients: tuple[RedisCluster, RedisCluster], rebuilt: Any, applied: int
) -> None:
    shop = Shop(clients)
    batches = [*FIRST, *AGAIN]
    for batch in batches[:-1]:
        shop.store().apply(batch, clock_ms=CLOCK)
    each = Script.each

    def some(script: Script, client: Any, calls: list[Any]) -> list[Any]:
        if script.text != Script("attributes", "items", "drain").text:
            return each(script, client, calls)
        each(script, client, calls[:applied])
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Script, "each", some)
        with pytest.raises(Killed):
            shop.store().apply(batches[-1], clock_ms=CLOCK)
    assert go_on(shop, batches[-1]) == rebuilt
    shop.remove()


@pytest.mark.parametrize("most", [3, 20_000])
def test_a_writer_that_reads_has_all_items_however_many_it_changed(
    clients: tuple[RedisCluster, RedisCluster], monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr("state.store.redis.bucket_changes.MAX_ITEMS", most)
    shop = Shop(clients)
    writer, other = shop.store(), shop.store(client=1)
    read: dict[str, ItemState] = {}
    version = 0
    for number in range(12):
        (other if number % 4 == 2 else writer).apply(sales(number, *CUSTOMERS[: 1 + number % 3]), clock_ms=CLOCK)
        if number % 2:
            changes = writer.items(version)
            assert version == 0 or len(changes.states) < len(CODES), "only what changed"
            read.update(changes.states)
            version = changes.version
            assert read == shop.store(client=1).items().states
    shop.remove()


def test_a_marker_expires_once_its_outbox_was_trimmed_unless_another_store_set_it_anew(
    clients: tuple[RedisCluster, RedisCluster],
) -> None:
    shop = Shop(clients)
    one, other = shop.store(), shop.store(client=1)
    one.apply(sales(1, *CUSTOMERS), clock_ms=CLOCK)
    other.apply(sales(1, CUSTOMERS[0]) + sales(2, CUSTOMERS[0]), clock_ms=CLOCK)
    last = {key: value for key in shop.scan() if b":done:" in key for value in [int(clients[0].get(key) or 0)]}
    newest = {key for key, value in last.items() if value == max(last.values())}
    one._writer.flush()
    assert {key for key in last if clients[0].ttl(key) == -1} == newest
    other._writer.flush()
    assert all(0 < clients[0].ttl(key) <= MARKER_SECONDS for key in last)
    shop.remove()
