"""What outcomes teach beside the network: by hand, by differences, and in the order they come."""

import numpy as np
import pytest
from numpy.typing import NDArray

from training.serving.basket_lstm.correction import FOUND, INPUT_RATE, ITEM_RATE, KEPT, CandidateLogits, Correction

CODES = ["a", "b", "c"]
INPUTS = np.asarray([[1.0, 0.0], [0.5, -1.0], [0.0, 2.0]], np.float32)
LOGITS = np.asarray([1.0, 0.0, -1.0], np.float32)
BOUGHT = np.asarray([False, True, True])
VISIT, EMISSION = (CandidateLogits(visit, CODES, INPUTS, LOGITS) for visit in (True, False))


def loss(logits: NDArray[np.float64], bought: NDArray[np.bool_]) -> float:
    log_p = logits - np.log(np.exp(logits).sum())
    return float(-FOUND * log_p[bought].sum() / np.sqrt(bought.sum()) - np.log(np.exp(log_p[bought]).sum()))


def test_before_any_outcome_nothing_is_corrected() -> None:
    np.testing.assert_array_equal(Correction(2).corrected(VISIT), LOGITS)


def test_a_step_goes_down_the_loss() -> None:
    """Each number moves by its rate times the slope of the loss, taken by differences."""
    correction = Correction(2)
    correction.learn(VISIT, BOUGHT)
    small = 1e-5
    slope = np.asarray(
        [
            (loss(LOGITS + small * step, BOUGHT) - loss(LOGITS - small * step, BOUGHT)) / (2 * small)
            for step in np.eye(3)
        ]
    )

    np.testing.assert_allclose(correction.item(CODES)[0], -ITEM_RATE * slope, rtol=1e-4)
    np.testing.assert_allclose(correction.linear[0], -INPUT_RATE * slope @ INPUTS, rtol=1e-4)
    np.testing.assert_allclose(
        correction.corrected(VISIT), LOGITS + correction.item(CODES)[0] + INPUTS @ correction.linear[0], rtol=1e-6
    )
    assert loss(correction.corrected(VISIT).astype(np.float64), BOUGHT) < loss(LOGITS.astype(np.float64), BOUGHT)


def test_a_slower_pace_takes_shorter_steps_down_the_same_loss() -> None:
    full, slow, still = (Correction(2, rate_scale=rate_scale) for rate_scale in (1.0, 0.5, 0.0))
    for correction in (full, slow, still):
        assert correction.learn(VISIT, BOUGHT) == pytest.approx(loss(LOGITS.astype(np.float64), BOUGHT), rel=1e-6)

    np.testing.assert_allclose(slow.item(CODES), 0.5 * full.item(CODES), rtol=1e-6)
    np.testing.assert_allclose(slow.linear, 0.5 * full.linear, rtol=1e-6)
    np.testing.assert_array_equal(still.corrected(VISIT), LOGITS)
    assert full.learn(VISIT, BOUGHT) < slow.learn(VISIT, BOUGHT) < still.learn(VISIT, BOUGHT)


def test_visits_and_emissions_learn_apart() -> None:
    correction = Correction(2)
    correction.learn(VISIT, BOUGHT)
    np.testing.assert_array_equal(correction.corrected(EMISSION), LOGITS)

    correction.learn(EMISSION, BOUGHT)
    np.testing.assert_allclose(correction.corrected(EMISSION), correction.corrected(VISIT), rtol=1e-6)


def test_nothing_bought_teaches_nothing() -> None:
    correction = Correction(2)
    correction.learn(VISIT, np.zeros(3, np.bool_))

    np.testing.assert_array_equal(correction.corrected(VISIT), LOGITS)


def test_what_everybody_buys_rises_and_what_is_unknown_stays() -> None:
    correction = Correction(2)
    for _ in range(60):
        correction.learn(VISIT, np.asarray([False, False, True]))

    assert correction.corrected(VISIT).argmax() == 2
    assert correction.item(["c"])[0] > 1.0
    np.testing.assert_array_equal(correction.item(["x", "y"]), np.zeros((2, 2)))


def test_what_was_learnt_fades_with_every_outcome() -> None:
    """An outcome among other items leaves ``KEPT`` of what was known."""
    correction = Correction(2)
    correction.learn(VISIT, BOUGHT)
    before = correction.item(CODES)
    correction.learn(
        CandidateLogits(True, ["x", "y"], np.zeros((2, 2), np.float32), LOGITS[:2]), np.asarray([True, False])
    )

    np.testing.assert_allclose(correction.item(CODES), before * KEPT, rtol=1e-6)


def test_a_scaled_copy_leaves_the_other_alone() -> None:
    correction = Correction(2)
    correction.learn(VISIT, BOUGHT)
    half = correction.scaled(0.5)
    np.testing.assert_allclose(half.item(CODES), 0.5 * correction.item(CODES))
    np.testing.assert_allclose(half.linear, 0.5 * correction.linear)

    kept = correction.item(CODES)
    half.learn(VISIT, BOUGHT)
    np.testing.assert_array_equal(correction.item(CODES), kept)


@pytest.mark.parametrize(
    ("item", "linear"),
    [
        (np.zeros((2, 2), np.float32), np.zeros((2, 2), np.float32)),
        (np.zeros((2, 3), np.float32), np.zeros((2, 1), np.float32)),
        (np.full((2, 3), np.nan, np.float32), np.zeros((2, 2), np.float32)),
        (np.zeros((2, 3), np.float32), np.zeros((2, 2))),
    ],
)
def test_what_does_not_fit_is_refused(item: NDArray[np.float32], linear: NDArray[np.float32]) -> None:
    with pytest.raises(ValueError, match="The correction is no finite float32"):
        Correction(2, CODES, item, linear)
