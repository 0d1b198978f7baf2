"""Global statistics: of earlier baskets only, by hand, and bound to item tables that grow."""

from collections import Counter

import numpy as np
import pytest

from state.events.dates import DAY
from state.events.invoice import THOUSAND, Invoice, Line
from tests.unit.features.shop import ITEMS, START, shop_log
from training.features.basket_lstm.global_statistics import I2I_VARIANTS, GlobalStatistics
from training.features.basket_lstm.weekly_demand import WeeklyDemand
from training.features.item_table import ItemTable
from training.features.item_to_item import Neighbours
from training.features.text import TermVectors
from training.models import global_statistics
from training.models.candidate_views.statistics_history import StatisticsHistory
from training.models.global_statistics import (
    ITEM_STATISTICS_HALF_LIFE_DAYS,
    GlobalStatisticsBuilder,
    fit_global_statistics,
)
from training.models.item_to_item import Baskets

LOG = shop_log(200)
UNTIL = LOG[120].date


def test_later_baskets_change_nothing() -> None:
    whole, cut = fit_global_statistics(LOG, UNTIL), fit_global_statistics(LOG[:120], UNTIL)

    assert whole.codes == cut.codes
    for name, one in whole.neighbours.items():
        other = cut.neighbours[name]
        np.testing.assert_array_equal(one.neighbour, other.neighbour)
        np.testing.assert_array_equal(one.weight, other.weight)
    np.testing.assert_array_equal(whole.item_statistics, cut.item_statistics)
    np.testing.assert_array_equal(whole.weeks.demand, cut.weeks.demand)


def test_the_strongest_neighbour_is_the_item_bought_together() -> None:
    statistics = fit_global_statistics(LOG, LOG[-1].date)
    first = statistics.neighbours["baskets"]
    partners = 0
    for index, code in enumerate(statistics.codes):
        strongest = statistics.codes[int(first.neighbour[index, first.weight[index].argmax()])]
        partners += strongest == ITEMS[ITEMS.index(code) ^ 1]

    assert partners > len(statistics.codes) / 2


def test_rebuy_rates_by_hand() -> None:
    def bought(number: int, *codes: str) -> Invoice:
        return Invoice(str(number), "ann", START + number * DAY, tuple(Line(c, THOUSAND, 1.0) for c in codes))

    # Four invoices, so three chances for "a" and for "b"; "a" was bought again each time, "b" never. The vocabulary
    # needs three baskets of an item, hence those of two further customers.
    log = [bought(n, *codes) for n, codes in enumerate([("a", "b"), ("a",), ("a",), ("a",)])]
    log += [Invoice(f"x{n}", f"x{n}", START + 5 * DAY, (Line("b", THOUSAND, 1.0),)) for n in range(2)]
    statistics = fit_global_statistics(log, START + 9 * DAY)
    rate = dict(zip(statistics.codes, np.exp(statistics.item_statistics[:-1, 0]), strict=True))
    prior_mean = (3 + 1) / (6 + 20)

    assert rate["a"] == pytest.approx((3 + 20 * prior_mean) / 23)
    assert rate["b"] == pytest.approx((0 + 20 * prior_mean) / 23)
    assert np.exp(statistics.item_statistics[-1, 0]) == pytest.approx(prior_mean)


def test_statistics_of_an_items_buyers_by_hand() -> None:
    def bought(number: int, customer: str, **units: int) -> Invoice:
        lines = tuple(Line(code, count * THOUSAND, 1.0) for code, count in units.items())
        return Invoice(str(number), customer, START, lines)

    log = [bought(n, f"c{n}", a=3, b=1) for n in range(3)] + [bought(9, "c0", a=7)]
    statistics = fit_global_statistics(log, START + 1)
    item_statistics = dict(zip(statistics.codes, statistics.item_statistics[:-1, 2:], strict=True))
    times, sums = 7.0, np.log1p([2, 3, 0]) * 3 + np.log1p([1, 7, 1]) + np.log1p([2, 1, 0]) * 3
    prior_mean = sums / times

    np.testing.assert_allclose(item_statistics["b"], (np.log1p([2, 1, 0]) * 3 + prior_mean) / 4, rtol=1e-4)
    np.testing.assert_allclose(statistics.item_statistics[-1, 2:], prior_mean, rtol=1e-4)


def test_the_binding_follows_a_description_that_changes() -> None:
    statistics = fit_global_statistics(shop_log(40), START + 40 * DAY)
    items = ItemTable()
    items.sell([Line("a", THOUSAND, 1.0, "ITEM 7"), Line("b", THOUSAND, 1.0, "ITEM 12")], START)
    before = statistics.bind(items).vectors.copy()
    items.sell([Line("a", THOUSAND, 1.0, "ITEM 12")], START + DAY)
    after = statistics.bind(items).vectors

    assert before[0].any()
    assert not np.array_equal(before[0], before[1])
    assert np.array_equal(after, before[[1, 1]])


def test_before_the_first_invoice_the_vocabulary_is_empty() -> None:
    assert fit_global_statistics(LOG, START - 1).codes == []


def test_the_binding_follows_a_table_that_grows() -> None:
    statistics = fit_global_statistics(LOG, UNTIL)
    items = ItemTable()
    items.sell([Line("never seen", THOUSAND, 1.0), Line(statistics.codes[3], THOUSAND, 1.0)], START)
    assert statistics.bind(items).index_of_row.tolist() == [len(statistics.codes), 3]

    for code in statistics.codes:
        items.sell([Line(code, THOUSAND, 1.0)], START)
    binding = statistics.bind(items)

    outside = len(statistics.codes)
    indexes = {code: int(index) for code, index in zip(items.codes, binding.index_of_row, strict=True)}
    assert indexes == {"never seen": outside, **{code: index for index, code in enumerate(statistics.codes)}}


@pytest.mark.parametrize(
    ("neighbour", "weight", "item_statistics", "weeks"),
    [
        (np.asarray([[2], [0]]), np.ones((2, 1)), np.zeros((3, 5)), np.zeros((1, 3))),  # no such index
        (np.asarray([[1], [0]]), np.full((2, 1), np.nan), np.zeros((3, 5)), np.zeros((1, 3))),
        (np.asarray([[1], [0]]), np.ones((2, 2)), np.zeros((3, 5)), np.zeros((1, 3))),
        (np.asarray([[1], [0]]), np.ones((2, 1)), np.zeros((2, 5)), np.zeros((1, 3))),
        (np.asarray([[1], [0]]), np.ones((2, 1)), np.full((3, 5), np.inf), np.zeros((1, 3))),
        (np.asarray([[1], [0]]), np.ones((2, 1)), np.zeros((3, 5)), np.zeros((1, 2))),
        (np.asarray([[1], [0]]), np.ones((2, 1)), np.zeros((3, 5)), np.zeros((0, 3))),
        (np.asarray([[1], [0]]), np.ones((2, 1)), np.zeros((3, 5)), np.full((1, 3), np.nan)),
    ],
)
def test_parts_that_do_not_fit_are_refused(
    neighbour: np.ndarray, weight: np.ndarray, item_statistics: np.ndarray, weeks: np.ndarray
) -> None:
    with pytest.raises(ValueError, match="do not go with 2 stock codes"):
        GlobalStatistics(
            ["a", "b"],
            dict.fromkeys(I2I_VARIANTS, Neighbours(neighbour.astype(np.int32), weight.astype(np.float32))),
            item_statistics.astype(np.float32),
            WeeklyDemand(0, weeks.astype(np.float32)),
            TermVectors.empty(),
        )


def test_fits_are_at_hand_again_with_the_numbers_of_a_fit_in_memory() -> None:
    until = LOG[-1].date
    history = StatisticsHistory(LOG, until)
    found = history.at(until - 8 * DAY)

    assert history.at(until - 9 * DAY) is found
    expected = fit_global_statistics(LOG, until - 14 * DAY)
    for name, one in found.neighbours.items():
        np.testing.assert_array_equal(one.neighbour, expected.neighbours[name].neighbour)
        np.testing.assert_array_equal(one.weight, expected.neighbours[name].weight)


@pytest.mark.parametrize(("exact_items", "days"), [(len(ITEMS), 7), (len(ITEMS) - 1, 28)])
def test_beyond_the_exact_items_statistics_before_the_fit_of_the_model_are_four_weeks_apart(
    monkeypatch: pytest.MonkeyPatch, exact_items: int, days: int
) -> None:
    monkeypatch.setattr("training.models.candidate_views.statistics_history.EXACT_ITEMS", exact_items)
    until = LOG[150].date
    history = StatisticsHistory(LOG, until)
    history.extend(LOG, LOG[-1].date)
    fits = {week: history.at(until + week * 7 * DAY) for week in range(-4, 3)}

    assert len({id(fits[week]) for week in range(-4, 0)}) == 28 // days
    assert len({id(fits[week]) for week in range(3)}) == 3
    np.testing.assert_array_equal(
        fits[-1].item_statistics, fit_global_statistics(LOG, until - days * DAY).item_statistics
    )
    np.testing.assert_array_equal(fits[0].item_statistics, fit_global_statistics(LOG, until).item_statistics)


def test_sums_of_columns_equal_those_of_every_invoice_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(global_statistics, "INVOICES_AT_ONCE", 7)
    monkeypatch.setattr(global_statistics, "MAX_HALVINGS", 0.4)  # the reference date moves
    half_life = ITEM_STATISTICS_HALF_LIFE_DAYS * DAY
    builder = GlobalStatisticsBuilder(LOG)
    builder.until(LOG[len(LOG) // 2].date)
    builder.until(UNTIL)
    items: dict[str, int] = {}
    owned: dict[str, set[int]] = {}
    times: Counter[str] = Counter()
    chances, rebuys, buyers = np.zeros((99, 2)), np.zeros((99, 2)), np.zeros((99, 4))
    for invoice in (each for each in LOG if each.date < UNTIL and each.customer_id is not None and each.is_purchase):
        customer = str(invoice.customer_id)
        units: Counter[int] = Counter()
        for line in invoice.lines:
            if line.quantity > 0:
                units[items.setdefault(line.stock_code, len(items))] += line.quantity
        weight = np.asarray([1.0, 0.5 ** ((builder._reference - invoice.date) / half_life)])
        known = owned.setdefault(customer, set())
        chances[list(known)] += weight
        rebuys[list(known & units.keys())] += weight
        for item, quantity in units.items():
            counts = [len(units), quantity / 1_000, times[customer]]
            buyers[item] += weight[1] * np.asarray([1.0, *np.log1p(counts)])
        known.update(units)
        times[customer] += 1
    assert builder._reference > 0
    assert builder._log.codes[: builder._n_items] == list(items)
    n = len(items)
    np.testing.assert_allclose(builder._rebuys[:n, 0], chances[:n], rtol=1e-10)
    np.testing.assert_allclose(builder._rebuys[:n, 1], rebuys[:n], rtol=1e-10)
    np.testing.assert_allclose(builder._buyers[:n], buyers[:n], rtol=1e-10)
    assert _listed(builder._items_by_customer()) == [
        sorted(owned[customer]) for customer in builder._log.customers if customer in owned
    ]


def _listed(baskets: Baskets) -> list[list[int]]:
    return [each.tolist() for each in np.split(baskets.item, np.cumsum(baskets.size)[:-1])]


def test_statistics_in_which_no_item_has_a_neighbour_are_fitted() -> None:
    invoices = [Invoice(str(n), "1", n * DAY, (Line(str(n), THOUSAND, 1.0),)) for n in range(1, 4)]
    found = StatisticsHistory(invoices, 5 * DAY).at(4 * DAY)
    assert not any(each.weight.any() for each in found.neighbours.values())


def test_before_the_first_sale_there_are_statistics_of_no_item() -> None:
    found = StatisticsHistory(LOG, LOG[-1].date).at(LOG[0].date - 60 * DAY)
    assert len(found.codes) == 0
