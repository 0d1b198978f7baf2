"""WMRB against a slow reading of its formula, pair by pair."""

import math

import numpy as np
import pytest
import tensorflow as tf

from training.models.two_tower.losses import wmrb


def slow_wmrb(
    scores: np.ndarray,
    bought: list[tuple[int, int]],
    negatives: list[set[int]],
    items: int,
    drawn: int,
    weight: list[float],
) -> float:
    """Σ weight · log(1 + N / n · Σ max(0, 1 − s + s_z)) / Σ weight, over what was bought."""
    total = 0.0
    for (customer, item), counts in zip(bought, weight, strict=True):
        rank = sum(max(0.0, 1.0 - scores[customer, item] + scores[customer, other]) for other in negatives[customer])
        total += counts * math.log(1.0 + items / drawn * rank)
    return total / sum(weight)


def fast_wmrb(
    scores: np.ndarray,
    bought: list[tuple[int, int]],
    negatives: list[set[int]],
    items: int,
    drawn: int,
    weight: list[float],
) -> float:
    allowed = np.asarray([[float(item in some) for item in range(scores.shape[1])] for some in negatives], np.float32)
    found = wmrb(
        tf.constant([scores[pair] for pair in bought], tf.float32),
        tf.constant(scores, tf.float32),
        tf.constant([customer for customer, _ in bought], tf.int64),
        tf.constant(allowed),
        tf.constant([items / drawn] * len(negatives), tf.float32),
        tf.constant(weight, tf.float32),
    )
    return float(found)


def test_worked_by_hand() -> None:
    """Scores 2, 1.5 and 0: the first is ahead of the last by more than the margin, of the second by half of it."""
    scores = np.asarray([[2.0, 1.5, 0.0]])
    assert fast_wmrb(scores, [(0, 0)], [{1, 2}], 2, 2, [1.0]) == pytest.approx(math.log(1.5))
    assert fast_wmrb(scores, [(0, 0)], [{1, 2}], 10, 2, [1.0]) == pytest.approx(math.log(1.0 + 5 * 0.5))


@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize("drawn", [40, 7])
def test_as_the_slow_reading_says(drawn: int, *, balanced: bool) -> None:
    generator = np.random.default_rng(drawn)
    scores = generator.normal(size=(6, 40))
    bought = [(customer, int(item)) for customer in range(6) for item in generator.choice(40, 3, replace=False)]
    sampled = set(generator.choice(40, drawn, replace=False).tolist())
    negatives = [sampled - {item for buyer, item in bought if buyer == customer} for customer in range(6)]
    popularity = generator.integers(1, 9, 40)
    weight = [1.0 / float(popularity[item]) if balanced else 1.0 for _, item in bought]
    expected = slow_wmrb(scores, bought, negatives, 40, drawn, weight)
    assert fast_wmrb(scores, bought, negatives, 40, drawn, weight) == pytest.approx(expected, rel=1e-5)


def test_a_perfect_order_costs_nothing_and_negatives_that_do_not_count_change_nothing() -> None:
    scores = np.asarray([[9.0, 0.0, 50.0]])
    assert fast_wmrb(scores, [(0, 0)], [{1}], 1, 1, [1.0]) == 0.0
    assert fast_wmrb(scores, [(0, 0)], [{1, 2}], 1, 1, [1.0]) > 0.0
