import json
from itertools import pairwise
from pathlib import Path

import pytest

from state.domain.due import VALUE_STRENGTH, basket_value, chance_within, due_schema, net_spending
from state.domain.history import CustomerHistory, HeldInvoice, HeldLine

HORIZONS = (7, 14, 30)
CURVE = (0.2, 0.3, 0.5)
SCHEMA = Path(__file__).parents[3] / "docs" / "schemas" / "due-customer.v1.json"


@pytest.mark.parametrize(("days", "chance"), [(7, 0.2), (14, 0.3), (30, 0.5), (3.5, 0.1), (22, 0.4)])
def test_the_chance_is_that_of_the_curve_and_linear_between_horizons(days: float, chance: float) -> None:
    assert chance_within(CURVE, HORIZONS, days) == pytest.approx(chance)


def test_a_longer_window_never_has_a_lower_chance() -> None:
    chances = [chance_within(CURVE, HORIZONS, days / 4) for days in range(1, 121)]
    assert all(later >= earlier for earlier, later in pairwise(chances))


@pytest.mark.parametrize("days", [0, 31])
def test_a_window_beyond_the_curve_is_refused(days: float) -> None:
    with pytest.raises(ValueError, match="not within the curve"):
        chance_within(CURVE, HORIZONS, days)


def history(*lines: tuple[int, float]) -> CustomerHistory:
    invoices = [HeldInvoice(str(number), number, (HeldLine("A", *line),)) for number, line in enumerate(lines)]
    return CustomerHistory("c", tuple(invoices))


def test_returns_lower_the_spending() -> None:
    assert net_spending(history((3000, 2.5), (1500, 2.0), (-1000, 2.5))) == pytest.approx(8.0)


def test_spending_is_never_below_0() -> None:
    assert net_spending(history((1000, 2.0), (-5000, 2.0))) == 0.0


def test_a_basket_value_lies_between_the_mean_of_the_customer_and_that_of_the_shop() -> None:
    assert basket_value(0.0, 0, 40.0) == 40.0
    assert basket_value(300.0, 3, 40.0) == pytest.approx((300.0 + VALUE_STRENGTH * 40.0) / (3 + VALUE_STRENGTH))
    values = [basket_value(100.0 * number, number, 40.0) for number in (1, 2, 10, 100)]
    assert values == sorted(values)
    assert 40.0 < values[0] < values[-1] < 100.0


def test_the_schema_of_the_documentation_is_that_of_the_code() -> None:
    assert json.loads(SCHEMA.read_text(encoding="utf-8")) == due_schema(), "write due_schema() to this file"
