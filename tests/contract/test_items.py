"""The items' state in every store is that of ``state.domain.items``."""

import math
import random
from collections.abc import Sequence

import pytest

from state import DAY, SHARE_HALF_LIVES, Invoice, ItemState, Line, Store, record_sale
from tests.contract.conftest import MakeStore

WEEK = SHARE_HALF_LIVES.index(7.0)


def test_items_equal_those_of_record_sale(store: Store) -> None:
    rng = random.Random(7)
    expected: dict[str, ItemState] = {}
    batch = []
    for number in range(300):
        date = rng.choice([-2_208_988_800, rng.randrange(0, 400 * DAY), rng.randrange(300 * DAY, 302 * DAY)])
        lines = [
            Line(code, rng.choice([1_000, 2_500]), rng.choice([0.85, 1.25, 9.0]), rng.choice([None, "TEA", "LÄMP"]))
            for code in rng.sample("ABCDEFG", 3)
        ]
        batch.append(Invoice(str(number), f"c{number % 5}", date, (*lines, Line("R", -1_000, 1.0))))
        for line in lines:
            expected[line.stock_code] = record_sale(
                expected.get(line.stock_code),
                line.stock_code,
                date,
                line.unit_price,
                line.description,
                1.0 / math.sqrt(3.0),
            )
        if rng.random() < 0.1:
            store.apply(batch, clock_ms=number)
            batch = []
    store.apply(batch, clock_ms=300)
    states = store.items().states
    assert states.keys() == expected.keys()
    for code, state in states.items():
        other = expected[code]
        assert state.demand == pytest.approx(other.demand, rel=1e-12)
        assert state.shares == pytest.approx(other.shares, rel=1e-12)
        assert (state.as_of, state.sold, state.first, state.last) == (
            other.as_of,
            other.sold,
            other.first,
            other.last,
        )
        assert (state.price, state.price_date) == (other.price, other.price_date)
        assert (state.description, state.description_date) == (other.description, other.description_date)


def part(number: str, day: int, codes: str, line_id: str | None = None) -> Invoice:
    """A part of an invoice: one piece of each item, each named by a letter."""
    return Invoice(number, "c", day * DAY, tuple(Line(code, 1_000, 1.0, None, line_id) for code in codes))


def shares(store: Store) -> dict[str, float]:
    """Shares at a half-life of a week, as of each item's newest sale."""
    return {code: state.shares[WEEK] for code, state in store.items().states.items()}


@pytest.mark.parametrize("size", [1, 2, 9])
def test_an_invoice_in_parts_has_the_shares_of_the_whole(store: Store, size: int) -> None:
    events = [part("1", 7, code) for code in "ABCD"] + [part("2", 0, "A"), part("1", 7, "AA")]
    apply(store, events, size)
    assert shares(store) == pytest.approx({"A": 1.0, "B": 0.5, "C": 0.5, "D": 0.5})
    assert {code: state.sold for code, state in store.items().states.items()} == {"A": 2, "B": 1, "C": 1, "D": 1}


@pytest.mark.parametrize("size", [1, 9])
def test_shares_move_with_the_date_of_their_invoice(store: Store, size: int) -> None:
    apply(store, [part("1", 14, "ABC"), part("1", 7, "D")], size)
    assert shares(store) == pytest.approx({"A": 0.25, "B": 0.25, "C": 0.25, "D": 0.5})


@pytest.mark.parametrize("size", [1, 9])
def test_a_corrected_line_changes_the_shares_of_the_others(store: Store, size: int) -> None:
    correction = Invoice("1", "c", 0, (Line("E", -1_000, 1.0, None, "x"),))  # the smaller text, as it is a return
    smaller = Invoice("1", "c", 0, (Line("D", 1_000, 1.0, None, "x"),))
    apply(store, [part("1", 0, "E", "x"), part("1", 0, "ABC"), correction], size)
    assert shares(store) == pytest.approx({code: 1.0 / math.sqrt(3.0) for code in "ABC"} | {"E": 0.0})
    apply(store, [smaller], size)
    assert shares(store) == pytest.approx(dict.fromkeys("ABCD", 0.5) | {"E": 0.0})


@pytest.mark.parametrize("size", [1, 9])
def test_an_invoice_outside_the_window_keeps_its_shares(make_store: MakeStore, size: int) -> None:
    store = make_store(window=1)
    events = [part("1", 0, "AB"), part("1", 0, "CD"), part("2", 0, "A"), part("1", 0, "E"), part("2", 0, "F")]
    apply(store, events, size)
    half, other = 0.5, 1.0 / math.sqrt(2.0)
    assert shares(store) == pytest.approx({"A": half + other, "B": half, "C": half, "D": half, "F": other})


def apply(store: Store, events: Sequence[Invoice], size: int) -> None:
    """Sends events in batches of a size."""
    for start in range(0, len(events), size):
        store.apply(events[start : start + size], clock_ms=start)
