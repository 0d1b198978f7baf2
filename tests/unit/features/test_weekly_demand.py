"""Weekly demand: stored at the end of each week, read in the week of a basket."""

import numpy as np
import pytest

from state.events.dates import DAY
from tests.unit.features.shop import history, shop_log
from training.data.walk import StateReplay
from training.features.basket_lstm.flat_histories import STEPS, flatten
from training.features.basket_lstm.view import STEP_INPUTS, build_view
from training.features.basket_lstm.weekly_demand import MAX_WEEKS, WEEK, WeeklyDemandBuilder
from training.models.global_statistics import fit_global_statistics

MONDAY = 2_000 * WEEK


def test_demand_at_the_end_of_each_week_by_hand() -> None:
    weekly = WeeklyDemandBuilder()
    weekly.add_baskets(np.asarray([0, 1]), np.full(2, MONDAY))  # decays to half by the end of the week
    weekly.add_baskets(np.asarray([0]), np.full(1, MONDAY + WEEK // 2))
    weekly.add_baskets(np.asarray([2]), np.full(1, MONDAY + 2 * WEEK))  # the week between is empty
    weeks = weekly.as_of(MONDAY + 3 * WEEK, [1, 0, 2])

    first, second = 0.5, 0.5 + 0.5**0.5
    demand = np.asarray(
        [[first, second, 0, 0], [first / 2, second / 2, 0, 0], [first / 4, second / 4, 0.5, 0]], np.float64
    )
    logs = np.log(0.02 + demand)
    assert weeks.first == 2_000
    np.testing.assert_allclose(weeks.demand, logs - logs.max(axis=1, keepdims=True), rtol=1e-5)


def test_an_incomplete_week_is_not_included() -> None:
    weekly = WeeklyDemandBuilder()
    weekly.add_baskets(np.asarray([0]), np.full(1, MONDAY))
    before = weekly.as_of(MONDAY + WEEK, [0, 1])
    weekly.add_baskets(np.asarray([1]), np.full(1, MONDAY + WEEK + DAY))
    after = weekly.as_of(MONDAY + 2 * WEEK - 1, [0, 1])

    assert before.first == after.first
    np.testing.assert_array_equal(before.demand, after.demand)


@pytest.mark.parametrize("pause", [1, MAX_WEEKS - 1, MAX_WEEKS + 5, 10_000])
def test_only_the_newest_weeks_are_stored(pause: int) -> None:
    weekly = WeeklyDemandBuilder()
    for week in range(MAX_WEEKS):
        weekly.add_baskets(np.asarray([week % 3]), np.full(1, MONDAY + week * WEEK))
    weeks = weekly.as_of(MONDAY + (MAX_WEEKS + pause) * WEEK, [0, 1, 2])

    assert weeks.demand.shape == (MAX_WEEKS, 4)
    assert weeks.first == 2_000 + pause
    assert np.isfinite(weeks.demand).all()


def test_a_log_without_baskets_has_one_week_without_demand() -> None:
    weeks = WeeklyDemandBuilder().as_of(MONDAY, [])
    assert weeks.demand.tolist() == [[0.0]]


def test_step_inputs_have_the_demand_in_the_week_of_each_basket() -> None:
    log = shop_log(240)
    statistics = fit_global_statistics(log, log[200].date)
    replay = StateReplay(window=100)
    for invoice in log:
        replay.apply(invoice)
    weeks, column = statistics.weeks, STEP_INPUTS.index("demand_in_week_of_basket")
    early = history((log[0].date - 90 * DAY, {"00001": 1}), (log[100].date, {"00002": 1}), (log[-1].date, {"00003": 1}))
    for each in [*replay.histories.values(), early]:
        view = build_view([each], replay.items, log[-1].date + DAY, statistics)
        flat = flatten([each], replay.items)
        expected = np.zeros(view.step_inputs.shape[:2])
        for date, ago in zip(flat.basket_date, flat.basket_ago, strict=True):
            if ago < STEPS:
                row = min(max(date // WEEK - weeks.first, 0), len(weeks.demand) - 1)
                expected[:, STEPS - 1 - ago] = weeks.demand[row, view.item_index]
        np.testing.assert_allclose(view.step_inputs[:, :, column], expected, rtol=1e-6)
    assert len(np.unique(expected)) > 10
