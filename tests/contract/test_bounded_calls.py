"""Whatever valid events came before, a script call changes few items and writes few bytes."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
import redis

from state import DAY, Invoice, Line, Settings, StoreUnavailable
from state.store.memory import MemoryStore
from state.store.redis.commit import MAX_CHANGES
from state.store.redis.histories import MAX_BYTES_PER_CALL, MAX_CUSTOMERS_PER_CALL, Histories
from state.store.redis.outbox import Outboxes
from state.store.redis.store import RedisStore
from state.store.redis.writers import SingleWriter
from tests.contract.conftest import RedisStores
from tests.contract.events import recommendation
from tests.contract.test_order import same_items, same_shares
from tests.contract.test_store import CLOCK, invoice, line
from tests.services.choice import Service

CODES = 6_000
"""Distinct codes of an invoice: six times what one call may change."""


@pytest.fixture
def stores(redis: Service) -> Iterator[RedisStores]:
    made = RedisStores(redis.address)
    yield made
    made.close()


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The bytes of each call of a script."""
    sizes: list[int] = []
    evalsha = redis.Redis.evalsha

    def recorded(self: Any, *arguments: Any) -> Any:
        sizes.append(sum(len(each) for each in arguments if isinstance(each, (str, bytes))))
        return evalsha(self, *arguments)

    monkeypatch.setattr(redis.Redis, "evalsha", recorded)
    return sizes


def changed_items(store: RedisStore) -> list[int]:
    """The number of items that each of the last versions changed."""
    log = store._client.xrange(store._keys.items.changed)
    return [len(msgspec.msgpack.decode(fields[b"codes"])) for _, fields in log]


def part(customer: str, date: int, *codes: int) -> Invoice:
    return Invoice("1", customer, date, tuple(Line(f"{code:06}", 1_000, 1.0, "TEA") for code in codes))


def test_large_invoices_take_several_short_calls(stores: RedisStores, calls: list[int]) -> None:
    store, memory = stores(), MemoryStore(Settings())
    customers = ["a", "b", "c"]
    events = [
        *([part(customer, 5 * DAY, *range(CODES))] for customer in customers),
        [part(customer, 5 * DAY, CODES) for customer in customers],  # a line more for each
        [part("a", 2 * DAY, 7)],  # which moves all items of the invoice
        [part(customer, 5 * DAY, CODES + 1, 3) for customer in customers],
        [Invoice("2", "a", 6 * DAY, (Line("x", 1_000, 1.0, None, "id"),)), Invoice("2", "a", 6 * DAY, (line("y"),))],
    ]
    small: list[int] = []
    for batch in events:
        calls.clear()
        applied = store.apply(batch, clock_ms=CLOCK)
        assert applied == memory.apply(batch, clock_ms=CLOCK)
        small.append(max(calls))
    assert max(changed_items(store)) <= MAX_CHANGES
    assert max(small) < 200_000 < MAX_BYTES_PER_CALL
    assert max(small[3], small[5], small[6]) < 30_000  # a line more does not cost what the invoice does
    assert same_items(store.items().states, memory.items().states)
    states = store.items().states
    assert states["000007"].sold == 3
    assert all(store._client.exists(store._keys.outbox(each)) == 0 for each in customers)


def test_many_customers_with_changed_shares_take_several_calls(stores: RedisStores) -> None:
    store = stores()
    size = MAX_CHANGES - 10
    invoices = [Invoice(str(number), str(number), 100, part("", 100, *range(size)).lines) for number in range(5)]
    store.apply(invoices, clock_ms=CLOCK)
    more = [msgspec.structs.replace(each, lines=(line("new"),)) for each in invoices]
    store.apply(more, clock_ms=CLOCK)
    assert max(changed_items(store)) <= MAX_CHANGES
    states = store.items().states
    assert states["new"].sold == 5
    assert same_shares(states, store.histories())


def test_items_with_large_attributes_take_several_calls(stores: RedisStores) -> None:
    store, memory = stores(), MemoryStore(Settings())
    attributes = {f"{number:02}": "😀" * 200 for number in range(32)}
    codes = [f"{code:03}" for code in range(300)]
    for start in range(0, 300, 10):
        lines = tuple(Line(code, 1_000, 1.0, None, None, attributes) for code in codes[start : start + 10])
        for each in (store, memory):
            each.apply([Invoice(str(start), "a", 100, lines)], clock_ms=CLOCK)
    version = store.items().version
    batch = [Invoice(f"x{each}", str(each), 200, tuple(line(code) for code in codes)) for each in range(2)]
    assert store.apply(batch, clock_ms=CLOCK) == memory.apply(batch, clock_ms=CLOCK)
    assert store.items().version > version + 7
    assert max(changed_items(store)[-7:]) <= 100
    assert same_items(store.items().states, memory.items().states)


@pytest.mark.parametrize("step", ["_apply", "_trim"])
def test_a_large_event_that_is_interrupted_counts_once(
    stores: RedisStores, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    store, memory = stores(), MemoryStore(Settings())
    event = part("a", 100, *range(CODES))
    memory.apply([event], clock_ms=CLOCK)
    real = getattr(Outboxes, step)
    for worker in (store, stores(namespace=stores.namespace), stores(namespace=stores.namespace)):
        calls = 0

        def interrupted(self: Outboxes, *arguments: Any) -> None:
            nonlocal calls
            calls += 1
            if calls == 2:
                raise StoreUnavailable("the worker was killed here")
            real(self, *arguments)

        with monkeypatch.context() as killed:
            killed.setattr(Outboxes, step, interrupted)
            with pytest.raises(StoreUnavailable):
                worker.apply([event], clock_ms=CLOCK)
    last = stores(namespace=stores.namespace)
    update = last.apply([event], clock_ms=CLOCK).updates[0]
    assert (update.changed, update.revision) == (False, CLOCK)
    assert same_items(last.items().states, memory.items().states)


def test_workers_that_share_customers_lose_nothing(stores: RedisStores) -> None:
    """Invoices that are not keyed by customer, and workers that missed a rebalance."""
    workers = [stores()] + [stores(namespace=stores.namespace) for _ in range(3)]
    failed: list[Exception] = []

    def work(worker: RedisStore, number: int) -> None:
        try:
            for turn in range(40):
                batch = [
                    Invoice(str(turn), f"c{each}", 100, (Line(f"{number}-{turn}", 1_000, 1.0),)) for each in range(5)
                ]
                revisions = worker.apply(batch, clock_ms=CLOCK).updates
                worker.confirm([], [(one.history.customer_id, one.revision) for one in revisions])
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(worker, number)) for number, worker in enumerate(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    histories = list(workers[0].histories())
    assert [[len(one.lines) for one in history.invoices] for history in histories] == [[4] * 40] * 5
    states = workers[0].items().states
    assert {state.sold for state in states.values()} == {5}
    assert len(states) == 160
    assert same_shares(states, histories)


def test_a_reply_that_is_lost_counts_once(stores: RedisStores, monkeypatch: pytest.MonkeyPatch) -> None:
    store = stores()
    store.apply([invoice("1", 100, line("A"))], clock_ms=CLOCK)
    commit = SingleWriter.commit

    def lost(self: SingleWriter, commits: Any) -> set[str]:
        commit(self, commits)
        raise StoreUnavailable("the reply is lost")

    with monkeypatch.context() as broken:
        broken.setattr(SingleWriter, "commit", lost)
        with pytest.raises(StoreUnavailable):
            store.apply([invoice("1", 100, line("B"))], clock_ms=CLOCK + 1)
    applied = store.apply([invoice("1", 100, line("B"))], clock_ms=CLOCK + 2)
    assert applied.counts == {"lines_new": 0, "lines_known": 1, "lines_behind": 0}
    assert (applied.updates[0].changed, applied.updates[0].revision) == (False, CLOCK + 1)
    assert store.items().states["B"].sold == 1


def test_a_flushed_redis_is_noticed_in_spite_of_the_cache(stores: RedisStores) -> None:
    store = stores()
    event = invoice("1", 100)
    store.apply([event], clock_ms=CLOCK)
    store._client.delete(store._keys.history("c"), store._keys.items.state)
    update = store.apply([event], clock_ms=CLOCK + 1).updates[0]
    assert (update.changed, store.history("c")) == (True, update.history)
    assert store.items().states["A"].sold == 1


def test_a_call_that_timed_out_is_halved(stores: RedisStores, monkeypatch: pytest.MonkeyPatch) -> None:
    store = stores()
    batch = [invoice("1", 100, customer=str(customer)) for customer in range(40)]
    sizes: list[int] = []
    commit = SingleWriter.commit

    def slow(self: SingleWriter, commits: Any) -> set[str]:
        sizes.append(len(commits))
        if len(commits) > 6:
            raise StoreUnavailable("Redis does not answer") from redis.exceptions.TimeoutError("15 s")
        return commit(self, commits)

    monkeypatch.setattr(SingleWriter, "commit", slow)
    attempts = until_it_succeeds(lambda: store.apply(batch, clock_ms=CLOCK))
    assert (attempts, sizes[:4]) == (4, [40, 20, 10, 5])
    assert store.items().states["A"].sold == 40
    assert isinstance(store._histories, Histories)
    assert store._histories._customers_per_call < MAX_CUSTOMERS_PER_CALL


def until_it_succeeds(call: Callable[[], object]) -> int:
    """How often something was called until it succeeded."""
    for attempt in range(1, 10):
        try:
            call()
        except StoreUnavailable:
            continue
        return attempt
    raise AssertionError("it never succeeds")


def test_a_customer_that_stays_in_memory_takes_one_call(stores: RedisStores, monkeypatch: pytest.MonkeyPatch) -> None:
    store = stores()
    store.apply([invoice("1", 100), invoice("1", 100, customer="d")], clock_ms=CLOCK)
    store.confirm([], [("c", CLOCK), ("d", CLOCK)])
    version = store.items().version
    sent: list[Any] = []
    connection: Any = redis.connection.AbstractConnection
    send = connection.send_packed_command

    def counted(self: Any, command: Any, *arguments: Any, **options: Any) -> Any:
        sent.append(command)
        return send(self, command, *arguments, **options)

    monkeypatch.setattr(connection, "send_packed_command", counted)
    store.apply([invoice("2", 200), invoice("3", 300, customer="d")], clock_ms=CLOCK + 1)
    assert len(sent) == 1
    changes = store.items(version)  # came with the reply
    assert len(sent) == 1
    assert changes == stores(namespace=stores.namespace).items(version)


def test_items_that_another_worker_changed_in_between_are_read(stores: RedisStores) -> None:
    ours, theirs, reader = stores(), stores(namespace=stores.namespace), stores(namespace=stores.namespace)
    ours.apply([invoice("1", 100, line("A"), line("B"))], clock_ms=CLOCK)
    version = ours.items().version
    theirs.apply([invoice("1", 100, line("A"), customer="d")], clock_ms=CLOCK)
    ours.apply([invoice("2", 200, line("B"))], clock_ms=CLOCK + 1)
    changes = ours.items(version)
    assert changes == reader.items(version)
    assert {code: state.sold for code, state in changes.states.items()} == {"A": 2, "B": 2}
    ours.apply([invoice("3", 300, line("B"))], clock_ms=CLOCK + 2)
    theirs.apply([invoice("4", 400, line("B"), customer="d")], clock_ms=CLOCK)
    changes = ours.items(changes.version)  # as of the last commit: theirs are read after the next one
    assert changes.states["B"].sold == 3
    ours.apply([invoice("5", 500, line("C"))], clock_ms=CLOCK + 3)
    later = ours.items(changes.version)
    assert {code: state.sold for code, state in later.states.items()} == {"B": 4, "C": 1}
    assert later.now == 500


def test_lines_with_attributes_take_calls_of_few_lines(stores: RedisStores) -> None:
    """New keys may replace others, which have to be compared; here they differ at their ends only."""
    store, memory = stores(), MemoryStore(Settings())
    codes = [f"{code:03}" for code in range(120)]
    for number, start in enumerate(["", "é", "a\x7f", "a", "ab"]):
        attributes = {f"{'😀' * 50}{start}{key:02}": "w" * 250 + str(number) for key in range(32)}
        batch = [Invoice("1", "a", number % 2, tuple(Line(code, 1_000, 1.0, None, None, attributes) for code in codes))]
        assert store.apply(batch, clock_ms=CLOCK + number) == memory.apply(batch, clock_ms=CLOCK + number)
    assert same_items(store.items().states, memory.items().states)
    assert max(changed_items(store)) <= 100


def test_what_is_set_right_or_confirmed_takes_several_calls(stores: RedisStores, calls: list[int]) -> None:
    store, memory = stores(), MemoryStore(Settings())
    memory.apply([part("a", 100, *range(200))], clock_ms=CLOCK)
    attributes = {f"{number:02}": (100, "😀" * 200) for number in range(32)}
    states = [msgspec.structs.replace(state, dated_attributes=attributes) for state in memory.items().states.values()]
    store.set_now(100, states)
    assert (store.now(), len(store.items().states), len(calls)) == (100, 200, 7)
    assert max(calls) < 1_100_000
    customers = [str(number) for number in range(80)]
    store.apply([invoice("1", 100, customer=each) for each in customers], clock_ms=CLOCK)
    calls.clear()
    store.confirm([recommendation(each, CLOCK, "😀" * 10_000) for each in customers])
    assert max(calls) < 1_100_000
    assert all(store.recommendation(each) for each in customers)


def test_long_codes_count_as_several_lines(stores: RedisStores, calls: list[int]) -> None:
    """A date that moves writes all codes of the invoice twice, in one call."""
    cap = 20_000
    store, memory = stores(max_history_lines=cap), MemoryStore(Settings(max_history_lines=cap))
    long = [Line(f"{'😀' * 95}{code:05}", 1_000, 1.0) for code in range(1_000)]
    batches = [[Invoice("1", "a", 100, tuple(long[start : start + 200]))] for start in range(0, 1_000, 200)]
    batches.append([Invoice("1", "a", 50, (long[0],))])
    refused = []
    for batch in batches:
        applied = store.apply(batch, clock_ms=CLOCK)
        assert applied == memory.apply(batch, clock_ms=CLOCK)
        refused.append(len(applied.refused))
    assert refused == [0, 0, 0, 0, 1, 0]
    assert max(calls) < 3 * 16 * cap
    assert same_items(store.items().states, memory.items().states)
