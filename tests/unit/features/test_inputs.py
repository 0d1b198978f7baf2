"""Every input of a candidate, a customer, a basket and a time step against a slow reference, by its name."""

import math

import numpy as np
import pytest

from state.domain.history import CustomerHistory, HeldInvoice, HeldLine
from state.events.dates import DAY
from state.events.invoice import THOUSAND, Line
from training.features.basket_lstm.customer_inputs import BASKET_INPUTS, CUSTOMER_INPUTS
from training.features.basket_lstm.customer_item_inputs import CUSTOMER_ITEM_INPUTS
from training.features.basket_lstm.flat_histories import STEPS
from training.features.basket_lstm.global_statistics import (
    BASKETS,
    CUSTOMERS,
    I2I_VARIANTS,
    ITEM_STATISTICS,
    RECENT,
    GlobalStatistics,
)
from training.features.basket_lstm.i2i_scores import I2I_CANDIDATE_INPUTS
from training.features.basket_lstm.view import CANDIDATE_INPUTS, STEP_INPUTS, View, build_view
from training.features.basket_lstm.weekly_demand import WEEK, WeeklyDemand
from training.features.item_table import ItemTable
from training.features.item_to_item import Neighbours
from training.features.text import TermVectors

CODES = ["a", "b", "c", "d"]
START = 2_000 * WEEK
NOW = START + 40 * DAY
PRICES = {"a": 3.0, "b": 1.0, "c": 4.0, "d": 5.0}
"""Prices now."""

Baskets = list[tuple[float, dict[str, tuple[int, float]]]]
"""Day, and units and price by stock code, of each basket."""

FIVE: Baskets = [
    (0, {"a": (2, 2.0), "b": (1, 1.5)}),
    (10, {"a": (4, 2.5), "c": (1, 3.5), "d": (3, 6.0)}),
    (30, {"a": (1, 2.0), "b": (2, 1.0)}),
    (33, {"d": (7, 5.5)}),
    (39.5, {"b": (5, 1.25), "a": (6, 2.75), "c": (2, 3.0)}),
]
TWO: Baskets = [(3, {"b": (3, 1.0), "d": (1, 4.5)}), (20, {"b": (1, 1.1)})]


def weights() -> dict[str, np.ndarray]:
    """A full matrix of item-to-item weights for each variant."""
    generator = np.random.default_rng(3)
    found = {}
    for variant in I2I_VARIANTS:
        found[variant] = generator.normal(size=(4, 4)).astype(np.float32)
        np.fill_diagonal(found[variant], 0.0)
    return found


WEIGHTS = weights()
WEEKS = WeeklyDemand(2_001, np.random.default_rng(4).normal(size=(4, 5)).astype(np.float32))


@pytest.fixture(params=[FIVE, TWO], ids=["five baskets", "two baskets"])
def baskets(request: pytest.FixtureRequest) -> Baskets:
    found: Baskets = request.param
    return found


@pytest.fixture
def view(baskets: Baskets) -> View:
    statistics = GlobalStatistics(
        CODES,
        {name: Neighbours(np.tile(np.arange(4, dtype=np.int32), (4, 1)), matrix) for name, matrix in WEIGHTS.items()},
        np.zeros((5, len(ITEM_STATISTICS)), np.float32),
        WEEKS,
        TermVectors.empty(),
    )
    items = ItemTable()
    items.sell([Line(code, THOUSAND, price) for code, price in PRICES.items()], START)
    invoices = tuple(
        HeldInvoice(
            str(number),
            START + int(day * DAY),
            tuple(HeldLine(code, units * THOUSAND, price) for code, (units, price) in lines.items()),
        )
        for number, (day, lines) in enumerate(baskets)
    )
    return build_view([CustomerHistory("ann", invoices)], items, NOW, statistics)


def mean_log_quantity(baskets: Baskets) -> float:
    return float(np.mean([math.log1p(units) for _, lines in baskets for units, _ in lines.values()]))


def mean_gap(baskets: Baskets) -> float:
    return (baskets[-1][0] - baskets[0][0]) / (len(baskets) - 1)


def repeat_share(baskets: Baskets, number: int) -> float:
    """Share of a basket's items that are in an earlier basket."""
    earlier = {code for _, lines in baskets[:number] for code in lines}
    return sum(code in earlier for code in baskets[number][1]) / len(baskets[number][1])


def i2i_score(variant: str, amounts: dict[str, float], code: str) -> float:
    """Sum of the weights of some items for one, each times an amount."""
    return sum(
        float(WEIGHTS[variant][CODES.index(source), CODES.index(code)]) * amount for source, amount in amounts.items()
    )


def test_inputs_of_the_customer(baskets: Baskets, view: View) -> None:
    sizes = [len(lines) for _, lines in baskets]
    distinct = len({code for _, lines in baskets for code in lines})
    days = 40 - baskets[-1][0]
    expected = {
        "log_baskets": math.log1p(len(baskets)),
        "log_mean_size": math.log1p(np.mean(sizes)),
        "log_last_size": math.log1p(sizes[-1]),
        "log_mean_size_of_three": math.log1p(np.mean(sizes[-3:])),
        "log_mean_gap": math.log1p(mean_gap(baskets)),
        "log_days_since_last": math.log1p(days),
        "days_since_last_over_gap": math.log((days + 1) / (mean_gap(baskets) + 1)),
        "same_day": float(days < 1),
        "log_days_since_first": math.log1p(40 - baskets[0][0]),
        "log_items": math.log1p(distinct),
        "repeat_share": 1 - distinct / sum(sizes),
        "repeat_share_of_last": repeat_share(baskets, len(baskets) - 1),
        "log_quantity": mean_log_quantity(baskets),
        "log_price": np.mean([math.log(price) for _, lines in baskets for _, price in lines.values()]),
        "log_returned_items": 0.0,
    }
    found = dict(zip(CUSTOMER_INPUTS, view.customer_inputs[0].tolist(), strict=True))

    assert found == pytest.approx(expected, abs=1e-5)


def test_inputs_of_the_baskets(baskets: Baskets, view: View) -> None:
    for number, (day, lines) in enumerate(baskets):
        expected = {
            "log_days_ago": math.log1p(40 - day),
            "log_size": math.log1p(len(lines)),
            "log_gap_before": math.log1p(day - baskets[number - 1][0]) if number else 0.0,
            "log_units": math.log1p(sum(units for units, _ in lines.values())),
            "repeat_share": repeat_share(baskets, number),
        }
        row = view.basket_inputs[0, STEPS - len(baskets) + number]

        assert dict(zip(BASKET_INPUTS, row.tolist(), strict=True)) == pytest.approx(expected, abs=1e-5)
    assert not view.basket_inputs[0, : STEPS - len(baskets)].any()


@pytest.mark.parametrize("code", CODES)
def test_inputs_of_a_candidate_from_its_purchases(code: str, baskets: Baskets, view: View) -> None:
    n = len(baskets)

    def decayed_count(item: str) -> float:
        return sum(0.85 ** (n - 1 - number) for number, (_, lines) in enumerate(baskets) if item in lines)

    numbers = [number for number, (_, lines) in enumerate(baskets) if code in lines]
    expected = dict.fromkeys(CUSTOMER_ITEM_INPUTS, 0.0)
    if numbers:
        bought = [baskets[number][1][code] for number in numbers]
        days = [baskets[number][0] for number in numbers]
        count, since = len(numbers), 40 - days[-1]
        mean_log_units = sum(math.log1p(units) for units, _ in bought) / count
        gap = (days[-1] - days[0]) / (count - 1) if count > 1 else mean_gap(baskets)
        items = {item for _, lines in baskets for item in lines}
        expected = {
            "bought_before": 1.0,
            "log_count": math.log1p(count),
            "count_per_basket": count / n,
            "count_per_basket_since_first": count / (n - numbers[0]),
            "log_baskets_since_last": math.log1p(n - 1 - numbers[-1]),
            "log_days_since_last": math.log1p(since),
            "decayed_count": decayed_count(code),
            "time_decayed_count": sum(0.5 ** ((40 - day) / 45) for day in days),
            "days_since_last_over_gap": math.log((since + 1) / (gap + 1)),
            "bought_more_than_once": float(count > 1),
            "mean_quantity_over_customer_mean": mean_log_units - mean_log_quantity(baskets),
            "last_quantity_over_customer_mean": math.log1p(bought[-1][0]) - mean_log_quantity(baskets),
            "price_now_over_last": math.log(PRICES[code] / bought[-1][1]),
            "count_over_max": count / max(sum(item in lines for _, lines in baskets) for item in items),
            "decayed_count_over_max": decayed_count(code) / max(map(decayed_count, items)),
            "returned": 0.0,
        }
    found = dict(zip(CANDIDATE_INPUTS, view.candidate_inputs[CODES.index(code)].tolist(), strict=True))

    assert view.row.tolist() == [0, 1, 2, 3]
    assert {name: found[name] for name in CUSTOMER_ITEM_INPUTS} == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("code", CODES)
def test_item_to_item_scores(code: str, baskets: Baskets, view: View) -> None:
    n = len(baskets)
    decayed: dict[str, float] = {}
    for number, (_, lines) in enumerate(baskets):
        for item in lines:
            decayed[item] = decayed.get(item, 0.0) + 0.95 ** (n - 1 - number)
    norm = math.sqrt(sum(amount**2 for amount in decayed.values()))
    last = dict.fromkeys(baskets[-1][1], 1 / math.sqrt(len(baskets[-1][1])))
    expected = {
        "i2i_score_baskets": i2i_score(BASKETS, decayed, code) / norm,
        "i2i_score_recent": i2i_score(RECENT, decayed, code) / norm,
        "i2i_score_customers": i2i_score(CUSTOMERS, dict.fromkeys(decayed, 1 / math.sqrt(len(decayed))), code),
        "last_basket_i2i_score_baskets": i2i_score(BASKETS, last, code),
        "last_basket_i2i_score_recent": i2i_score(RECENT, last, code),
    }
    found = dict(zip(CANDIDATE_INPUTS, view.candidate_inputs[CODES.index(code)].tolist(), strict=True))

    assert {name: found[name] for name in I2I_CANDIDATE_INPUTS} == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("code", CODES)
def test_inputs_of_the_time_steps(code: str, baskets: Baskets, view: View) -> None:
    index = CODES.index(code)
    for number, (day, lines) in enumerate(baskets):
        units, price = lines.get(code, (0, 0.0))
        week = min(max((START + int(day * DAY)) // WEEK - WEEKS.first, 0), len(WEEKS.demand) - 1)
        expected = {
            "in_basket": float(code in lines),
            "i2i_score_basket": i2i_score(BASKETS, dict.fromkeys(lines, 1 / math.sqrt(len(lines))), code),
            "log_quantity_over_customer_mean": math.log1p(units) - mean_log_quantity(baskets) if units else 0.0,
            "log_price_now_over_basket": math.log(PRICES[code] / price) if units else 0.0,
            "text_similarity_basket": 0.0,
            "demand_in_week_of_basket": WEEKS.demand[week, index],
        }
        row = view.step_inputs[index, STEPS - len(baskets) + number]

        assert dict(zip(STEP_INPUTS, row.tolist(), strict=True)) == pytest.approx(expected, abs=1e-5)
    assert not view.step_inputs[index, : STEPS - len(baskets)].any()
