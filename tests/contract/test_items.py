"""The items' state in every store is that of ``state.items``."""

import random

import pytest

from state import DAY, Invoice, ItemState, Line, Store, sell


def test_items_are_those_of_sell(store: Store) -> None:
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
            expected[line.stock_code] = sell(
                expected.get(line.stock_code), line.stock_code, date, line.unit_price, line.description
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
        assert (state.touched, state.sold, state.first, state.last) == (
            other.touched,
            other.sold,
            other.first,
            other.last,
        )
        assert (state.price, state.price_date) == (other.price, other.price_date)
        assert (state.description, state.description_date) == (other.description, other.description_date)
