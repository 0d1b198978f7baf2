"""Coverage and calibration against values worked by hand."""

import math

import numpy as np
import pytest

from training.evaluation.metrics import coverage, expected_calibration_error, reliability


def test_coverage_counts_an_item_once() -> None:
    assert coverage([["a", "b"], ["a", "c"], ["d"]], 8, 2) == 0.5
    assert coverage([["a", "b"], ["a", "c"]], 4, 1) == 0.25
    assert coverage([], 0, 10) == 0.0


def test_reliability_cuts_into_bins_of_equal_mass() -> None:
    predicted = np.asarray([0.9, 0.1, 0.3, 0.8, 0.2])
    observed = np.asarray([1.0, 0.0, 1.0, 1.0, 0.0])
    bins = reliability(predicted, observed, bins=2)
    assert [part.n for part in bins] == [3, 2]
    assert bins[0] == pytest.approx((0.2, 1 / 3, 3))
    assert bins[1] == pytest.approx((0.85, 1.0, 2))


def test_calibration_error_by_hand() -> None:
    predicted = np.asarray([0.1, 0.1, 0.6, 0.6])
    observed = np.asarray([0.0, 1.0, 1.0, 0.0])
    # Two bins of two: |.1 − .5| and |.6 − .5|, each half of the mass.
    assert expected_calibration_error(predicted, observed, bins=2) == pytest.approx(0.25)
    # Fewer predictions than bins: each is a bin of its own.
    assert expected_calibration_error(predicted, observed, bins=15) == pytest.approx((0.1 + 0.9 + 0.4 + 0.6) / 4)
    assert math.isnan(expected_calibration_error(np.zeros(0), np.zeros(0)))
