"""Demand, prices and dates of an item, worked by hand."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from state import (
    DAY,
    HALF_LIVES,
    SHARE_HALF_LIVES,
    ItemState,
    count_sale,
    demand_at,
    observe_sale,
    record_sale,
    shares_at,
)


def test_a_first_sale() -> None:
    state = record_sale(None, "A", 100, 0.85, "TEA")
    shares = (1.0,) * len(SHARE_HALF_LIVES)
    assert state == ItemState("A", 100, (1.0,) * len(HALF_LIVES), 1, 100, 100, 0.85, 100, "TEA", 100, shares)


def test_demand_halves_in_a_half_life() -> None:
    state = record_sale(None, "A", 0, 1.0)
    for index, half_life in enumerate(HALF_LIVES):
        assert demand_at(state, round(half_life * DAY))[index] == pytest.approx(0.5)
        assert demand_at(state, round(3 * half_life * DAY))[index] == pytest.approx(0.125)
    assert demand_at(state, -DAY) == state.demand  # not decayed before ``as_of``


def test_shares_halve_in_a_half_life_and_do_not_change_demand() -> None:
    state = record_sale(None, "A", 0, 1.0, share=0.5)
    for index, half_life in enumerate(SHARE_HALF_LIVES):
        assert shares_at(state, round(half_life * DAY))[index] == pytest.approx(0.25)
    assert shares_at(state, -DAY) == state.shares == (0.5,) * len(SHARE_HALF_LIVES)
    assert (state.demand, state.sold) == ((1.0,) * len(HALF_LIVES), 1)


def test_a_changed_share_counts_no_invoice() -> None:
    week = SHARE_HALF_LIVES.index(7.0)
    sold = record_sale(record_sale(None, "A", 7 * DAY, 1.0), "A", 0, 1.0, share=1.0)
    state = count_sale(sold, 0, 0, 0.5 - 1.0)  # the older invoice turned out to have four items
    assert state.shares[week] == pytest.approx(1.25)
    assert (state.demand, state.sold) == (sold.demand, 2)


def test_a_newer_sale_decays_the_demand_and_an_older_one_adds_its_decayed_value() -> None:
    week = HALF_LIVES.index(7.0)
    newer = record_sale(record_sale(None, "A", 0, 1.0), "A", 7 * DAY, 1.0)
    older = record_sale(record_sale(None, "A", 7 * DAY, 1.0), "A", 0, 1.0)
    assert newer.demand[week] == older.demand[week] == pytest.approx(1.5)
    assert (newer.as_of, newer.first, newer.last, newer.sold) == (7 * DAY, 0, 7 * DAY, 2)
    assert older == newer


def test_a_negative_count_restores_the_state_before() -> None:
    before = record_sale(None, "A", 5 * DAY, 1.0)
    after = count_sale(record_sale(before, "A", 2 * DAY, 1.0), 2 * DAY, -1, -1.0)
    assert after.demand == pytest.approx(before.demand)
    assert after.shares == pytest.approx(before.shares)
    assert after.sold == 1


def test_a_repeated_line_counts_nothing() -> None:
    state = record_sale(None, "A", 100, 0.85, "TEA")
    assert observe_sale(state, "A", 100, 0.85, "TEA") == state
    seen = observe_sale(state, "A", 200, 0.85, "TEA")
    assert (seen.sold, seen.last, seen.price_date) == (1, 200, 200)
    assert demand_at(seen, 300) == pytest.approx(demand_at(state, 300))
    assert shares_at(seen, 300) == pytest.approx(shares_at(state, 300))


def test_price_and_description_are_the_newest_and_of_one_date_the_larger() -> None:
    state = record_sale(record_sale(None, "A", 100, 2.0, "B"), "A", 50, 9.0, "Z")
    assert (state.price, state.description) == (2.0, "B")
    state = record_sale(record_sale(state, "A", 100, 1.0, "A"), "A", 100, 3.0, "C")
    assert (state.price, state.description) == (3.0, "C")
    state = record_sale(state, "A", 101, 1.5, None)
    assert (state.price, state.price_date, state.description, state.description_date) == (1.5, 101, "C", 100)
    assert record_sale(record_sale(None, "A", 100, 1.0), "A", 50, 1.0, "LATE").description == "LATE"


def test_dates_a_century_apart() -> None:
    state = record_sale(record_sale(None, "A", 1_323_435_000, 1.0), "A", -2_208_988_800, 1.0)
    assert state.demand == (1.0,) * len(HALF_LIVES)
    assert (state.first, state.sold) == (-2_208_988_800, 2)


SALES = st.lists(
    st.tuples(
        st.integers(0, 400).map(lambda days: days * DAY),
        st.sampled_from([1.0, 2.0]),
        st.sampled_from([None, "A", "B"]),
        st.sampled_from([1.0, 0.5, 0.1]),
    ),
    min_size=1,
    max_size=8,
)


@settings(derandomize=True, max_examples=200, deadline=None)
@given(SALES, st.randoms(use_true_random=False))
def test_any_order_gives_the_same_state(sales: list[tuple[int, float, str | None, float]], random: Random) -> None:
    states = []
    for _ in range(2):
        state = None
        for date, price, description, share in sales:
            state = record_sale(state, "A", date, price, description, share)
        assert state is not None
        states.append(state)
        random.shuffle(sales)
    one, other = states
    assert one.demand == pytest.approx(other.demand, rel=1e-9)
    assert (one.sold, one.first, one.last, one.as_of) == (other.sold, other.first, other.last, other.as_of)
    assert (one.price, one.price_date, one.description) == (other.price, other.price_date, other.description)
    newest = max(date for date, *_ in sales)
    ages = [(newest - date) / DAY for date, *_ in sales]
    expected = [sum(0.5 ** (days / half_life) for days in ages) for half_life in HALF_LIVES]
    assert one.demand == pytest.approx(expected, rel=1e-9)
    weights = [share for *_, share in sales]
    expected = [
        sum(share * 0.5 ** (days / half_life) for share, days in zip(weights, ages, strict=True))
        for half_life in SHARE_HALF_LIVES
    ]
    assert one.shares == pytest.approx(expected, rel=1e-9)
    assert other.shares == pytest.approx(expected, rel=1e-9)
