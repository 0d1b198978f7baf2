"""Clusters of customers: groups that lie apart are found, and the shares left bend at their number."""

import numpy as np
import pytest

from training.features.customer_clusters import Floats, elbow_curve, evenly_spaced, fit_kmeans, mean_and_deviation


def _apart(groups: int) -> Floats:
    """Customers in groups of twenty around corners of a cube, 10 apart, with a deviation of .1."""
    corners = np.asarray([[number >> bit & 1 for bit in range(4)] for number in range(groups)]) * 10.0
    return (np.repeat(corners, 20, axis=0) + np.random.default_rng(1).normal(0, 0.1, (groups * 20, 4))).astype(
        "float32"
    )


@pytest.mark.parametrize("groups", [3, 4])
def test_the_curve_bends_at_the_number_of_groups(groups: int) -> None:
    left = elbow_curve(_apart(groups)[:, :2].repeat(2, axis=1), max_clusters=6)
    assert left[0] == 1.0
    assert left == sorted(left, reverse=True)
    assert left[groups - 2] > 0.05
    assert left[groups - 1] < 0.01


def test_customers_of_a_group_are_in_one_cluster() -> None:
    labels = fit_kmeans(_apart(3), 3).labels_.reshape(3, 20)
    assert (labels == labels[:, :1]).all()
    assert len(set(labels[:, 0])) == 3


def test_there_are_no_more_clusters_than_distinct_customers() -> None:
    two = np.asarray([[1, 2, 3, 4], [1, 2, 3, 5]] * 5, np.float32)
    assert elbow_curve(two) == [1.0, 0.0]
    assert elbow_curve(two[::2]) == [0.0]
    assert len(fit_kmeans(two, 6).cluster_centers_) == 2


def test_a_constant_column_has_deviation_1() -> None:
    mean, deviation = mean_and_deviation(np.asarray([[3.0, 1.0], [3.0, 5.0]], np.float32))
    assert (mean.tolist(), deviation.tolist()) == ([3.0, 3.0], [1.0, 2.0])


def test_many_customers_are_sampled_evenly() -> None:
    many = np.arange(50_000, dtype=np.float32)[:, None]
    assert evenly_spaced(many)[:, 0].tolist() == list(range(0, 50_000, 3))
    assert len(evenly_spaced(many[:20_000])) == 20_000
