"""Any order and repetition of the same events ends the same: in memory, in every Redis, and offline with ``add``."""

import math
import os
import threading
from collections.abc import Iterable

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from state import (
    DAY,
    SHARE_HALF_LIVES,
    CustomerHistory,
    Invoice,
    ItemState,
    Settings,
    Store,
    add_invoice,
    canonical_json,
    demand_at,
    shares_at,
)
from state.store.memory import MemoryStore
from tests.conftest import EXAMPLES_VARIABLE
from tests.contract.conftest import MakeStore, RedisStores
from tests.contract.events import arrivals, batches, invoice_parts, one_date_each, recommendation

EXAMPLES = os.environ.get(EXAMPLES_VARIABLE, "")

bounded = settings(
    derandomize=not EXAMPLES,
    max_examples=int(EXAMPLES or 40),
    deadline=None,
    # The fixture only makes stores; every example opens its own.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def offline(events: list[Invoice], window: int) -> dict[str, CustomerHistory]:
    histories: dict[str, CustomerHistory] = {}
    for event in events:
        assert event.customer_id is not None
        history = histories.get(event.customer_id) or CustomerHistory(event.customer_id)
        histories[event.customer_id] = add_invoice(history, event, window).history
    return histories


def same_items(one: dict[str, ItemState], other: dict[str, ItemState]) -> bool:
    """Equal up to the rounding of sums in another order."""
    return one.keys() == other.keys() and all(
        _facts(one[code]) == _facts(other[code]) and all(map(_close, _demand(one[code]), _demand(other[code])))
        for code in one
    )


def _facts(state: ItemState) -> tuple[object, ...]:
    return (
        state.sold,
        state.first,
        state.last,
        state.price,
        state.price_date,
        state.description,
        state.description_date,
        state.dated_attributes,
    )


def _demand(state: ItemState) -> tuple[float, ...]:
    later = state.last + 40 * 86_400
    return demand_at(state, later) + shares_at(state, later)


def same_shares(states: dict[str, ItemState], histories: Iterable[CustomerHistory]) -> bool:
    """Whether shares are what the invoices held say: 1 / √k for each of the k stock codes that one has purchased."""
    gains: dict[str, list[tuple[float, int]]] = {code: [] for code in states}
    for held in (invoice for history in histories for invoice in history.invoices):
        codes = held.purchased_codes
        for code in codes:
            gains[code].append((1.0 / math.sqrt(len(codes)), held.date))
    return all(
        _close(share, sum(gain * 0.5 ** ((state.as_of - date) / DAY / half_life) for gain, date in gains[code]))
        for code, state in states.items()
        for share, half_life in zip(state.shares, SHARE_HALF_LIVES, strict=True)
    )


def _close(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)


@bounded
@given(data=st.data())
def test_any_order_and_repetition_gives_the_same_state(make_store: MakeStore, data: st.DataObject) -> None:
    events = data.draw(invoice_parts())
    one, other = data.draw(arrivals(events)), data.draw(arrivals(events))
    store, memory = make_store(), MemoryStore(Settings())
    for batch in data.draw(batches(one)):
        store.apply(batch, clock_ms=0)
    for batch in data.draw(batches(other)):
        memory.apply(batch, clock_ms=0)
    histories = {history.customer_id: history for history in store.histories()}
    assert histories == {history.customer_id: history for history in memory.histories()} == offline(other, 100)
    assert same_items(store.items().states, memory.items().states)
    assert same_shares(store.items().states, histories.values())
    assert store.now() == memory.now()


@bounded
@given(data=st.data())
def test_the_same_holds_in_a_full_window_where_an_invoice_has_one_date(
    make_store: MakeStore, data: st.DataObject
) -> None:
    events = one_date_each(data.draw(invoice_parts()))
    one, other = data.draw(arrivals(events)), data.draw(arrivals(events))
    store = make_store(window=2)
    for batch in data.draw(batches(one)):
        store.apply(batch, clock_ms=0)
    histories = {history.customer_id: history for history in store.histories()}
    expected = offline(other, 2)
    assert histories == expected
    assert {name: canonical_json(history) for name, history in histories.items()} == {
        name: canonical_json(history) for name, history in expected.items()
    }


@bounded
@given(data=st.data())
def test_every_store_returns_the_same_for_the_same_batches(make_store: MakeStore, data: st.DataObject) -> None:
    bounds = {"window": data.draw(st.sampled_from([1, 2, 100])), "max_history_lines": data.draw(st.integers(1, 12))}
    store, memory = make_store(**bounds), MemoryStore(Settings(**bounds))
    for clock, batch in enumerate(data.draw(batches(data.draw(arrivals(data.draw(invoice_parts())))))):
        applied = store.apply(batch, clock_ms=clock)
        assert applied == memory.apply(batch, clock_ms=clock)
        if data.draw(st.booleans()):  # so that invoices have something to be scored against
            answers = [recommendation(one.history.customer_id, one.revision) for one in applied.updates]
            store.confirm(answers)
            memory.confirm(answers)
        assert same_items(store.items().states, memory.items().states)
    assert list(store.histories()) or not list(memory.histories())


@bounded
@given(data=st.data())
def test_workers_that_share_customers_end_the_same(redis_stores: RedisStores, data: st.DataObject) -> None:
    """Events of one customer under several keys are in several partitions, so that several workers take them."""
    events = data.draw(invoice_parts())
    first = redis_stores()
    workers = [first, redis_stores(namespace=redis_stores.namespace)]
    for clock, batch in enumerate(data.draw(batches(data.draw(arrivals(events))))):
        worker = data.draw(st.sampled_from(workers))
        applied = worker.apply(batch, clock_ms=clock)
        if data.draw(st.booleans()):
            worker.confirm([recommendation(one.history.customer_id, one.revision) for one in applied.updates])
    _require_state(first, events)


@bounded
@given(data=st.data())
def test_workers_that_write_at_once_end_the_same(redis_stores: RedisStores, data: st.DataObject) -> None:
    events = data.draw(invoice_parts())
    first = redis_stores()
    workers = [first, redis_stores(namespace=redis_stores.namespace)]
    taken = [data.draw(batches(data.draw(arrivals(events)))) for _ in workers]  # each takes all, in its own order
    errors: list[BaseException] = []

    def take(store: Store, some: list[list[Invoice]]) -> None:
        try:
            for batch in some:
                store.apply(batch, clock_ms=0)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=take, args=each) for each in zip(workers, taken, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    _require_state(first, events)


def _require_state(store: Store, events: list[Invoice]) -> None:
    """The histories are those of the events, and each purchase counts once in the items."""
    memory = MemoryStore(Settings())
    memory.apply(events, clock_ms=0)
    histories = {history.customer_id: history for history in store.histories()}
    assert histories == offline(events, 100)
    assert same_items(store.items().states, memory.items().states)
    assert same_shares(store.items().states, histories.values())
