"""Intervals over customers."""

import math

import numpy as np
import pytest

from training.evaluation.intervals import Resampling


def resampling(customers: list[int], seed: int = 1, n: int = 2_000) -> Resampling:
    return Resampling(np.asarray(customers, np.int64), generator=np.random.default_rng(seed), resamples=n)


def test_two_customers_by_hand() -> None:
    """Of two customers the resamples are (0, 0), (0, 1), (1, 1): means 0, ½ and 1, the ends each with a quarter."""
    interval = resampling([0, 1]).interval(np.asarray([0.0, 1.0]))
    assert interval == (0.5, 0.0, 1.0)


def test_invoices_of_a_customer_come_together() -> None:
    """Customer 0 has three invoices of 1, customer 1 one of 0: the mixed resample has the mean 3/4."""
    means = {0.0, 0.75, 1.0}
    interval = resampling([0, 0, 0, 1]).interval(np.asarray([1.0, 1.0, 1.0, 0.0]))
    assert interval.mean == 0.75
    assert {interval.low, interval.high} <= means


def test_the_same_seed_gives_the_same_interval_and_another_one_another() -> None:
    generator = np.random.default_rng(5)
    values, customers = generator.random(300), generator.integers(0, 80, 300).tolist()
    assert resampling(customers, 3).interval(values) == resampling(customers, 3).interval(values)
    assert resampling(customers, 3).interval(values) != resampling(customers, 4).interval(values)


def test_a_constant_gain_has_no_width_though_both_models_vary() -> None:
    generator = np.random.default_rng(5)
    worse = generator.random(200)
    interval = resampling(generator.integers(0, 40, 200).tolist()).interval(worse + 0.25 - worse)
    assert interval == pytest.approx((0.25, 0.25, 0.25))


def test_the_interval_is_as_wide_as_theory_says() -> None:
    """One invoice a customer: ±1.96 σ / √n."""
    generator = np.random.default_rng(5)
    values = generator.normal(size=1_000)
    interval = resampling(list(range(1_000))).interval(values)
    half = 1.96 * values.std() / math.sqrt(len(values))
    assert interval.low == pytest.approx(values.mean() - half, abs=0.01)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.01)


def test_intervals_of_many_metrics_at_once_equal_those_one_by_one() -> None:
    """300 resamples are more than one block."""
    generator = np.random.default_rng(5)
    values = generator.random((60, 3))
    values[generator.random((60, 3)) < 0.3] = math.nan
    resamples = resampling(generator.integers(0, 20, 60).tolist(), n=300)
    for column, found in zip(values.T, resamples.intervals(values), strict=True):
        assert found == pytest.approx(resamples.interval(column), abs=1e-12)
        assert found.low < found.mean < found.high


def test_undefined_values_are_left_out() -> None:
    interval = resampling([0, 1, 2, 3]).interval(np.asarray([1.0, math.nan, 1.0, math.nan]))
    assert interval == (1.0, 1.0, 1.0)
    assert all(math.isnan(value) for value in resampling([0, 1]).interval(np.full(2, math.nan)))
    assert all(math.isnan(value) for value in resampling([]).interval(np.zeros(0)))
