"""The item table against the one item that ``state.items`` knows."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from state.dates import DAY
from state.invoice import Line
from state.items import ItemState, demand_at, sell
from training.features.item_table import ItemTable

sales = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(-800 * DAY, 800 * DAY), st.sampled_from([0.5, 1.25, 9.0])),
    min_size=1,
    max_size=12,
)


def _states(events: list[tuple[str, int, float]]) -> dict[str, ItemState]:
    states: dict[str, ItemState] = {}
    for code, date, price in events:
        states[code] = sell(states.get(code), code, date, price, f"{code} at {price}")
    return states


@given(sales, st.integers(0, 900))
def test_selling_is_what_the_state_of_an_item_says(events: list[tuple[str, int, float]], days: int) -> None:
    table = ItemTable()
    for code, date, price in events:
        table.sell([Line(code, 1000, price, f"{code} at {price}")], date)
    _same(table, _states(events), max(date for _, date, _ in events) + days * DAY)


@given(sales, sales, st.integers(0, 900))
def test_states_of_any_date_can_be_taken_over(
    before: list[tuple[str, int, float]], after: list[tuple[str, int, float]], days: int
) -> None:
    table = ItemTable(_states(before).values())
    now_known = _states(before + after)
    table.update(now_known.values())
    _same(table, now_known, max(date for _, date, _ in before + after) + days * DAY)


def _same(table: ItemTable, states: dict[str, ItemState], now: int) -> None:
    assert set(table.codes) == set(states)
    demand = table.demand(now)
    for code, state in states.items():
        row = table.rows[code]
        np.testing.assert_allclose(demand[row], demand_at(state, now), rtol=1e-5, atol=1e-30)
        assert (table.sold[row], table.first[row], table.last[row]) == (state.sold, state.first, state.last)
        assert table.price[row] == state.price
        assert table.description(code) == state.description
