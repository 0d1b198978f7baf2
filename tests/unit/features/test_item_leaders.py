"""The leaders of an item table, kept up to date by its changes, against a walk over the whole table."""

import numpy as np
import pytest
from numpy.typing import NDArray

from state.domain.items import HALF_LIVES
from state.events.dates import DAY
from state.events.invoice import THOUSAND, Invoice, Line
from state.settings import load_settings
from state.store.memory import MemoryStore
from training.features import item_table
from training.features.item_inputs import ItemSnapshot
from training.features.item_leaders import Leaders
from training.features.item_table import ItemTable

START = 1_300_000_000


def _sell(items: ItemTable, numbers: list[int], date: int) -> None:
    items.sell([Line(f"{number:04d}", THOUSAND, 2.5, f"ITEM {number}") for number in numbers], date)


def _leaders(items: ItemTable, now: int, n: int) -> set[int]:
    demand = items.demand(now).astype(np.float64)
    columns = [demand[:, HALF_LIVES.index(days)] for days in (1.0, 7.0, 30.0)] + [
        items.sold + items.last * 2.0**-40,
        items.first + items.last * 2.0**-40,
    ]
    return {
        row
        for column in columns
        for row in np.flatnonzero(column >= np.partition(column, len(column) - n)[len(column) - n]).tolist()
    }


def test_leaders_follow_sales_as_a_walk_over_the_table_finds_them(monkeypatch: pytest.MonkeyPatch) -> None:
    n = 5
    monkeypatch.setattr(
        item_table, "_LEADER_NUMBERS", tuple(n if number > 1 else 1 for number in item_table._LEADER_NUMBERS)
    )
    generator = np.random.default_rng(1)
    items, now = ItemTable(), START
    for step in range(400):
        now += int(generator.integers(1, DAY * (300 if step == 200 else 1)))  # a rebase of the reference in between
        newest = 40 + step // 4
        _sell(items, generator.integers(max(0, newest - 60), newest, 4).tolist(), now)
        if step > 20 and step % 3 == 0:
            assert set(items.leaders().tolist()) == _leaders(items, now, n), step
            demand, shares, sold = items.greatest(now + DAY)
            np.testing.assert_array_equal(demand, items.demand(now + DAY).max(axis=0))
            np.testing.assert_array_equal(shares, items.shares(now + DAY).max(axis=0))
            assert sold == items.sold.max()


def test_leaders_follow_the_states_that_a_worker_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    n = 5
    monkeypatch.setattr(
        item_table, "_LEADER_NUMBERS", tuple(n if number > 1 else 1 for number in item_table._LEADER_NUMBERS)
    )
    generator = np.random.default_rng(2)
    store, items, version, now = MemoryStore(load_settings({})), ItemTable(), 0, START
    for step in range(120):
        now += int(generator.integers(1, DAY))
        codes = {f"{number:04d}" for number in generator.integers(0, 40 + step, 4).tolist()}
        lines = tuple(Line(code, THOUSAND, 2.5) for code in sorted(codes))
        store.apply([Invoice(f"{step:06d}", "ann", now, lines)], clock_ms=step)
        changes = store.items(version)
        items.update(changes.states.values())
        version = changes.version
        if step > 20:
            assert set(items.leaders().tolist()) == _leaders(items, now, n), step


def test_a_value_that_falls_leads_no_longer() -> None:
    values = np.asarray([[9.0], [8.0], [7.0], [6.0], [5.0], [4.0], [3.0]])
    leaders = Leaders([2])
    leaders.update(7, np.arange(7), lambda rows: values[rows])
    assert leaders.rows.tolist() == [0, 1]
    for row in range(4):
        values[row] = 0.0
        leaders.update(7, np.asarray([row]), lambda rows: values[rows])
    assert leaders.rows.tolist() == [4, 5]
    assert leaders.greatest.tolist() == [5.0]


def test_sales_do_not_walk_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    items = ItemTable()
    for number in range(0, 5_000, 10):
        _sell(items, list(range(number, number + 10)), START + number)
    items.leaders()
    looked_at: list[int] = []
    original = ItemTable._leader_values

    def counted(table: ItemTable, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        looked_at.append(len(rows))
        return original(table, rows)

    monkeypatch.setattr(ItemTable, "_leader_values", counted)
    for number in range(20):
        _sell(items, [number, 4_000 + number], START + 10_000 + number)
        items.leaders()

    assert max(looked_at) < 3_500


def test_a_snapshot_of_some_rows_equals_that_of_all() -> None:
    items = ItemTable()
    for number in range(200):
        _sell(items, [number % 37, number % 11, 40 + number % 5], START + number * DAY // 3)
    now, rows = START + 80 * DAY, np.asarray([0, 3, 17, 38, 43])

    some, whole = ItemSnapshot.at(items, now, 3, rows), ItemSnapshot.at(items, now, 3)

    assert some.size == whole.size
    np.testing.assert_allclose(some.inputs[some.positions(rows)], whole.inputs[rows], atol=1e-6)
    np.testing.assert_array_equal(some.demand, whole.demand[rows])
    np.testing.assert_array_equal(some.max_demand, whole.max_demand)
