"""Inputs of the return-time network, by hand."""

import itertools
import math
from datetime import UTC, datetime

import numpy as np
import pytest

from state.domain.history import CustomerHistory
from state.events.dates import DAY
from tests.unit.features.shop import history
from training.features.return_time.inputs import RECENT, RETURN_INPUTS, SHARES, newest_purchases, return_inputs

NOON = DAY // 2


def inputs(*histories: CustomerHistory, since: float = 0.0) -> list[dict[str, float]]:
    rows = return_inputs(histories, since)
    assert rows.dtype == np.float32
    assert np.isfinite(rows).all()
    return [dict(zip(RETURN_INPUTS, row.tolist(), strict=True)) for row in rows]


def test_three_purchases_and_a_return_by_hand() -> None:
    start = 15_000 * DAY
    ann = history(
        (start, {"00001": 2}),
        (start + 10 * DAY, {"00001": 1, "00002": 1}),
        (start + 11 * DAY, {"00001": -1}),
        (start + 40 * DAY + NOON, {"00001": 3, "00002": 1, "00003": 1}),
        price=2.0,
    )
    found = inputs(ann, since=15_000.0)[0]
    logs = np.log1p([10.0, 30.5])
    expected = {
        "log_baskets": np.log(3),
        "first": 0.0,
        "second": 0.0,
        "observed": 40.5 / 90 / 3,
        "present_at_log_start": 1.0,
        "log_gap_1": logs[1],
        "log_gap_2": logs[0],
        "log_gap_3": logs.mean(),
        "log_mean_gap": np.log1p(20.25),
        "mean_log_gap": logs.mean(),
        "recent_log_gap": (logs[1] + 0.7 * logs[0]) / 1.7,
        "deviation_log_gap": (logs[1] - logs[0]) / 2,
        "min_log_gap": logs[0],
        "max_log_gap": logs[1],
        "mean_log_gap_of_days": logs.mean(),
        "share_within_7": 0.0,
        "share_within_14": 1 / 6,
        "share_within_60": 2 / 6,
        "log_baskets_30": np.log1p(1),
        "log_baskets_90": np.log1p(3),
        "log_days_since_first": np.log1p(40.5),
        "log_rate": np.log(3 / 70.5),
        "log_size": np.log1p(3),
        "log_mean_size": np.log1p(2),
        "log_value": np.log1p(10),
        "log_return_invoices": np.log1p(1),
        "hour": 0.5,
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-5, abs=1e-6)


def plain_inputs(dates: list[float], sizes: list[int], value: float, returns: int, since: float) -> dict[str, float]:
    """``RETURN_INPUTS`` of purchases, oldest first, one number at a time; dates are in days."""
    newest, number = dates[-1], len(dates)
    gaps = [later - earlier for earlier, later in itertools.pairwise(dates)][::-1]
    logs = [math.log1p(gap) for gap in gaps]
    mean = sum(logs) / max(len(logs), 1)
    of_days = [math.log1p(gap) for gap in gaps if gap >= 1.0]
    weights = [0.7**ago for ago in range(len(gaps))]
    moment = datetime.fromtimestamp(newest * DAY, UTC)
    turn = 2 * math.pi * (moment.day - 1) / 30.4
    return {
        "log_baskets": math.log(number),
        "first": float(number == 1),
        "second": float(number == 2),
        "observed": min(max(newest - since, 0.0), 90.0) / 90.0 / number,
        "present_at_log_start": math.exp(-max(dates[0] - since, 0.0) / 30.0),
        **{f"log_gap_{ago + 1}": logs[ago] if ago < len(logs) else mean for ago in range(3)},
        "log_mean_gap": math.log1p((newest - dates[0]) / max(number - 1, 1)),
        "mean_log_gap": mean,
        "recent_log_gap": sum(map(math.prod, zip(weights, logs, strict=True))) / sum(weights) if logs else 0.0,
        "deviation_log_gap": math.sqrt(sum((log - mean) ** 2 for log in logs) / max(len(logs), 1)),
        "min_log_gap": min(logs, default=0.0),
        "max_log_gap": max(logs, default=0.0),
        "mean_log_gap_of_days": sum(of_days) / max(len(of_days), 1),
        **{f"share_within_{days:g}": sum(gap <= days for gap in gaps) / (len(gaps) + 4) for days in SHARES},
        **{f"log_baskets_{days:g}": math.log1p(sum(newest - date < days for date in dates)) for days in RECENT},
        "log_days_since_first": math.log1p(newest - dates[0]),
        "log_rate": math.log(number / (newest - dates[0] + 30.0)),
        "log_size": math.log1p(sizes[-1]),
        "log_mean_size": math.log1p(sum(sizes) / number),
        "log_value": math.log1p(value),
        "log_return_invoices": math.log1p(returns),
        **{f"weekday_{day}": float(moment.weekday() == day) for day in range(7)},
        "hour": newest % 1.0,
        "month_sine": math.sin(turn),
        "month_cosine": math.cos(turn),
    }


@pytest.mark.parametrize("gaps", [[], [30.0], [0.25, 7.0, 0.5, 14.0, 1.0, 90.0, 3.0, 30.0, 60.0, 7.0, 23.0, 0.125]])
def test_every_input_equals_the_plain_one(gaps: list[float]) -> None:
    """With gaps of whole horizons, and purchases as old as a whole window."""
    dates = [15_020.375 + days for days in itertools.accumulate(gaps, initial=0.0)]
    sizes = [1 + number * 5 % 7 for number in range(len(dates))]
    baskets = [
        (int(date * DAY), {f"{code:05d}": code + 1 for code in range(size)})
        for date, size in zip(dates, sizes, strict=True)
    ]
    ann = history(*baskets, (int(dates[-1] * DAY) + 60, {"00000": -1}), price=2.5)
    value = 2.5 * sum(range(1, sizes[-1] + 1))
    expected = plain_inputs(dates, sizes, value, 1, 15_000.0)
    assert expected.keys() == set(RETURN_INPUTS)
    assert inputs(ann, since=15_000.0)[0] == pytest.approx(expected, rel=1e-5, abs=1e-5)


def test_the_calendar() -> None:
    first_of_july = 15_156  # 2011-07-01, a Friday
    found = inputs(history((first_of_july * DAY, {"00001": 1})))[0]
    assert [found[f"weekday_{day}"] for day in range(7)] == [0, 0, 0, 0, 1, 0, 0]
    assert (found["month_sine"], found["month_cosine"]) == pytest.approx((0.0, 1.0), abs=1e-6)


def test_one_basket_has_no_gaps() -> None:
    found = inputs(history((DAY, {"00001": 1})), since=1.0)[0]
    assert found["first"] == 1.0
    assert all(found[name] == 0.0 for name in RETURN_INPUTS if "gap" in name or name.startswith("share"))


def test_a_history_counts_as_observed_after_ninety_days_of_log() -> None:
    fresh, later, before = (history((day * DAY, {"00001": 1})) for day in (145, 900, 50))
    assert [found["observed"] for found in inputs(fresh, later, before, since=100.0)] == pytest.approx([0.5, 1.0, 0.0])


def test_a_customer_who_appears_late_counts_as_new_however_often_they_bought() -> None:
    """First seen 30 and 60 days after the start of the log, and before it."""
    several = [history((day * DAY, {"00001": 1}), ((day + 9) * DAY, {"00001": 1})) for day in (130, 160, 50)]
    expected = [np.exp(-1.0), np.exp(-2.0), 1.0]
    assert [found["present_at_log_start"] for found in inputs(*several, since=100.0)] == pytest.approx(expected)


def test_inputs_do_not_depend_on_the_other_customers_of_a_batch() -> None:
    several = [
        history(*((day * day * DAY, {"00001": day}) for day in range(1, number))) for number in (2, 3, 9, 60)
    ] + [CustomerHistory("nobody")]
    together = return_inputs(several, 0.0)
    alone = np.concatenate([return_inputs([each], 0.0) for each in several])
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_only_purchases_have_a_date() -> None:
    ann = history((DAY, {"00001": 2}), (3 * DAY, {"00001": -1}))
    assert newest_purchases([ann, CustomerHistory("nobody")]).tolist() == [DAY, 0]
