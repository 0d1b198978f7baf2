"""The return-time baseline from gaps."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from state.events.dates import DAY
from training.serving.return_time.gap_shares import DAYS, GROUPS, STRENGTH, GapShareCurves, gaps
from training.serving.scorer import HORIZONS

FLAT = GapShareCurves(np.tile(np.minimum(np.arange(DAYS) / 100.0, 0.5), (len(GROUPS), 1)))


def test_gaps_by_hand() -> None:
    log = [("ann", 0), ("bob", DAY), ("ann", 3 * DAY), ("ann", 10 * DAY), ("bob", 50 * DAY)]
    found = gaps(log, 20 * DAY)
    rows = zip(found.baskets.tolist(), found.days.tolist(), found.returned.tolist(), strict=True)
    assert sorted(rows) == [(1, 3.0, True), (1, 19.0, False), (2, 7.0, True), (3, 10.0, False)]


def test_kaplan_and_meier_by_hand() -> None:
    """Of 1,000 customers 200 are back on day 2, 300 are seen for 4 days only, 100 of the others are back on day 6."""
    days = [2.0] * 200 + [4.0] * 300 + [6.0] * 100 + [300.0] * 400
    returned = [True] * 200 + [False] * 300 + [True] * 100 + [False] * 400
    found = gaps([], 0)._replace(baskets=np.ones(1000, np.int64), days=np.asarray(days), returned=np.asarray(returned))
    curve = GapShareCurves.fit(found).curves[0]
    # The prior of half a customer moves it a little.
    assert curve[1] == pytest.approx(0.0, abs=1e-3)
    assert curve[2] == pytest.approx(0.2, abs=2e-3)
    assert curve[6] == pytest.approx(1 - 0.8 * 400 / 500, abs=2e-3)
    assert curve[200] == pytest.approx(curve[6], abs=3e-3)


def test_without_customers_the_curves_are_the_default() -> None:
    default = GapShareCurves.default().curves
    assert GapShareCurves.fit(gaps([], 0)).curves == pytest.approx(default)
    thirty = default[:, 30]
    assert all(fewer < more for fewer, more in itertools.pairwise(thirty))


def test_a_curve_by_hand() -> None:
    dates = [0, 7 * DAY, 27 * DAY]  # gaps of 7 and 20 days
    curve = FLAT.curve(dates, 27 * DAY)
    within = [(STRENGTH * min(h / 100, 0.5) + (h >= 7) + (h >= 20)) / (STRENGTH + 2) for h in HORIZONS]
    assert curve == pytest.approx(within)


def test_each_number_of_baskets_has_the_curve_of_its_group() -> None:
    steps = GapShareCurves(np.tile(np.arange(1, len(GROUPS) + 1)[:, None] / 20, (1, DAYS)))
    for number in range(40):
        group = sum(number >= least for least in GROUPS[1:])
        once_a_year = [each * 1_000 * DAY for each in range(number)]
        curve = steps.curve(once_a_year, once_a_year[-1] if number else 0)
        gap_count = max(number - 1, 0)
        assert curve == pytest.approx([STRENGTH * (group + 1) / 20 / (STRENGTH + gap_count)] * len(HORIZONS)), number


def test_a_purchase_in_the_same_second_counts_as_a_return_within_each_horizon() -> None:
    curve = FLAT.curve([0, 0], 0)
    assert curve[0] == pytest.approx((STRENGTH * 0.07 + 1) / (STRENGTH + 1))


def test_days_without_a_return_are_conditioned_on() -> None:
    dates = [0]
    at_once, later = FLAT.curve(dates, 0), FLAT.curve(dates, 20 * DAY)
    assert at_once[0] == pytest.approx(0.07)
    assert later[0] == pytest.approx((0.27 - 0.2) / 0.8)
    assert FLAT.curve(dates, 60 * DAY) == pytest.approx((0.0,) * len(HORIZONS))


def test_a_time_before_the_last_purchase_counts_as_its_date() -> None:
    assert FLAT.curve([0, 10 * DAY], 5 * DAY) == FLAT.curve([0, 10 * DAY], 10 * DAY)


@given(
    steps=st.lists(st.integers(0, 500 * DAY), max_size=120),
    passed=st.integers(-DAY, 3_000 * DAY),
    first=st.integers(-(10**10), 10**10),
)
def test_the_curve_is_made_of_probabilities_that_never_fall(steps: list[int], passed: int, first: int) -> None:
    dates = [first, *(first + total for total in np.cumsum(steps).tolist())] if steps else []
    curve = GapShareCurves.default().curve(dates, (dates[-1] if dates else first) + passed)
    assert len(curve) == len(HORIZONS)
    assert all(0.0 <= probability <= 1.0 for probability in curve)
    assert all(sooner <= later + 1e-12 for sooner, later in itertools.pairwise(curve))


@pytest.mark.parametrize(
    "curves",
    [
        np.zeros((1, DAYS)),
        np.full((len(GROUPS), DAYS), 1.5),
        np.tile(np.linspace(1, 0, DAYS), (len(GROUPS), 1)),
        np.full((len(GROUPS), DAYS), np.nan),
    ],
)
def test_impossible_curves_are_refused(curves: np.ndarray) -> None:
    with pytest.raises(ValueError, match="curves"):
        GapShareCurves(curves)
