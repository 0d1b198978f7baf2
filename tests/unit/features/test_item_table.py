"""The item table against the state of a single item in ``state.domain.items``."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from state.domain.items import HALF_LIVES, SHARE_HALF_LIVES, ItemState, count_sale, demand_at, record_sale, shares_at
from state.events.dates import DAY
from state.events.invoice import THOUSAND, Line
from training.features.item_inputs import ItemSnapshot
from training.features.item_table import ItemTable

Sale = tuple[str, int, float]

sales = st.lists(
    st.tuples(
        st.text("abcd", min_size=1, max_size=5), st.integers(-800 * DAY, 800 * DAY), st.sampled_from([0.5, 1.25, 9.0])
    ),
    min_size=1,
    max_size=12,
)
"""Invoices, as (stock codes of one letter, with repetitions; date; price of all)."""


def _states(events: list[Sale]) -> dict[str, ItemState]:
    states: dict[str, ItemState] = {}
    for codes, date, price in events:
        share = 1.0 / math.sqrt(len(set(codes)))
        for code in set(codes):
            states[code] = record_sale(states.get(code), code, date, price, f"{code} at {price}", share)
    return states


@given(sales, st.integers(0, 900))
def test_selling_equals_the_state_of_each_item(events: list[Sale], days: int) -> None:
    table = ItemTable()
    for codes, date, price in events:
        table.sell([Line(code, 1000, price, f"{code} at {price}") for code in codes], date)
    _same(table, _states(events), max(date for _, date, _ in events) + days * DAY)


@given(sales, sales, st.integers(0, 900))
def test_states_of_any_date_can_be_loaded(before: list[Sale], after: list[Sale], days: int) -> None:
    table = ItemTable(_states(before).values())
    now_known = _states(before + after)
    table.update(now_known.values())
    _same(table, now_known, max(date for _, date, _ in before + after) + days * DAY)


def test_an_invoice_of_four_items_gives_each_half_a_share() -> None:
    table = ItemTable()
    table.sell([Line(code, 1000, 1.0) for code in "abbcd"] + [Line("returned", -1000, 1.0)], 0)
    table.sell([Line("a", 1000, 1.0)], 7 * DAY)
    shares = table.shares(7 * DAY)[:, SHARE_HALF_LIVES.index(7.0)]
    assert table.codes == ["a", "b", "c", "d"]
    assert shares.tolist() == pytest.approx([1.25, 0.25, 0.25, 0.25])
    assert table.shares(0).shape == (4, len(SHARE_HALF_LIVES))


def test_a_state_without_shares_starts_at_0() -> None:
    table = ItemTable([ItemState("a", 0, (1.0,) * len(HALF_LIVES), 1, 0, 0, 1.0, 0)])
    assert table.shares(0).tolist() == [[0.0] * len(SHARE_HALF_LIVES)]


def test_shares_are_never_below_0() -> None:
    state = ItemState("a", 0, (1.0,) * len(HALF_LIVES), 1, 0, 0, 1.0, 0)
    table = ItemTable([count_sale(state, 0, 0, 0.5 - 1.0)])
    assert table.shares(0).tolist() == [[0.0] * len(SHARE_HALF_LIVES)]
    for rows in (None, np.asarray([0])):
        assert np.isfinite(ItemSnapshot.at(table, 0, 0, rows).inputs).all()


def _same(table: ItemTable, states: dict[str, ItemState], now: int) -> None:
    assert set(table.codes) == set(states)
    demand, shares = table.demand(now), table.shares(now)
    for code, state in states.items():
        row = table.rows[code]
        np.testing.assert_allclose(demand[row], demand_at(state, now), rtol=1e-5, atol=1e-30)
        np.testing.assert_allclose(shares[row], shares_at(state, now), rtol=1e-5, atol=1e-30)
        assert (table.sold[row], table.first[row], table.last[row]) == (state.sold, state.first, state.last)
        assert table.price[row] == state.price
        assert table.description(code) == state.description


def test_attributes_are_those_of_the_state_and_one_object_until_they_change() -> None:
    table, state = ItemTable(), None
    for date, said in (
        (10, {"category": "Books"}),
        (5, {"category": "Toys", "shelf": "4"}),
        (20, {"category": "Books"}),
    ):
        before = table.attributes("a")
        table.sell([Line("a", 1000, 1.0, attributes=said)], date)
        state = record_sale(state, "a", date, 1.0, attributes=said)
        assert table.attributes("a") == state.attributes
        assert (table.attributes("a") is before) is (table.attributes("a") == before)
    assert state is not None
    assert table.attributes("a") == ItemTable([state]).attributes("a") == {"category": "Books", "shelf": "4"}
    assert table.attributes("b") == {}


@given(sales, st.integers(-100, 900))
def test_decayed_demand_is_the_column_of_a_week(events: list[Sale], days: int) -> None:
    table = ItemTable(_states(events).values())
    decayed = table.decayed_demand(days * DAY)
    expected = table.demand(days * DAY)[:, HALF_LIVES.index(7.0)]
    assert decayed.all.tolist() == expected.tolist()
    assert [decayed.of(row) for row in range(len(table))] == expected.tolist()


def test_many_invoices_are_sold_as_each_of_them_is() -> None:
    """An invoice with more codes than a share counts, prices that change, and one that moves the reference."""
    one, many = ItemTable(), ItemTable()
    codes = [f"{number:05d}" for number in range(1_100)]
    many.add_codes(codes)
    bought = [[3, 5], list(range(1_100)), [5, 7, 9], [5], [3]]
    dates = [0, DAY, DAY, 400 * DAY, 401 * DAY]
    prices = [[float((number * 7 + invoice) % 5 + 1) for number in rows] for invoice, rows in enumerate(bought)]
    for rows, date, each in zip(bought, dates, prices, strict=True):
        one.sell([Line(codes[row], THOUSAND, price) for row, price in zip(rows, each, strict=True)], date)
    many.sell_invoices(
        np.asarray(dates),
        np.asarray([len(rows) for rows in bought]),
        np.concatenate([np.asarray(rows) for rows in bought]),
        np.concatenate([np.asarray(each) for each in prices]),
    )
    row_of = [one.rows[code] for code in codes]
    for now in (401 * DAY, 500 * DAY):
        np.testing.assert_array_equal(many.demand(now), one.demand(now)[row_of])
        np.testing.assert_array_equal(many.shares(now), one.shares(now)[row_of])
    for name in ("first", "last", "sold", "price"):
        np.testing.assert_array_equal(getattr(many, name), getattr(one, name)[row_of], err_msg=name)
