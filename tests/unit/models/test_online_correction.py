"""Online correction: one gradient step an outcome, checked by hand and by finite differences."""

import numpy as np
import pytest
from numpy.typing import NDArray

from training.models.online_correction import (
    DECAY,
    INPUT_LEARNING_RATE,
    ITEM_LEARNING_RATE,
    ITEM_LOSS_WEIGHT,
    scaled,
    update,
)
from training.serving.basket_lstm.correction import CandidateLogits, Correction

CODES = ["a", "b", "c"]
INPUTS = np.asarray([[1.0, 0.0], [0.5, -1.0], [0.0, 2.0]], np.float32)
LOGITS = np.asarray([1.0, 0.0, -1.0], np.float32)
BOUGHT = np.asarray([False, True, True])
VISIT, EMISSION = (CandidateLogits(visit, CODES, INPUTS, LOGITS) for visit in (True, False))


def loss(logits: NDArray[np.float64], bought: NDArray[np.bool_]) -> float:
    log_p = logits - np.log(np.exp(logits).sum())
    return float(-ITEM_LOSS_WEIGHT * log_p[bought].sum() / np.sqrt(bought.sum()) - np.log(np.exp(log_p[bought]).sum()))


def updated(candidates: CandidateLogits = VISIT) -> Correction:
    """An empty correction after one outcome."""
    return update(Correction(2), candidates, BOUGHT, 1.0)[0]


def test_an_update_is_a_gradient_step() -> None:
    """Each parameter moves by its learning rate times the slope of the loss, computed by finite differences."""
    correction = updated()
    small = 1e-5
    slope = np.asarray(
        [
            (loss(LOGITS + small * step, BOUGHT) - loss(LOGITS - small * step, BOUGHT)) / (2 * small)
            for step in np.eye(3)
        ]
    )
    biases, weights = correction.item_biases(CODES)[0], correction.input_weights[0]

    np.testing.assert_allclose(biases, -ITEM_LEARNING_RATE * slope, rtol=1e-4)
    np.testing.assert_allclose(weights, -INPUT_LEARNING_RATE * slope @ INPUTS, rtol=1e-4)
    np.testing.assert_allclose(correction.apply(VISIT), LOGITS + biases + INPUTS @ weights, rtol=1e-6)
    assert loss(correction.apply(VISIT).astype(np.float64), BOUGHT) < loss(LOGITS.astype(np.float64), BOUGHT)


def test_the_rate_scale_scales_the_step_of_the_same_loss() -> None:
    rate_scales = (1.0, 0.5, 0.0)
    before = loss(LOGITS.astype(np.float64), BOUGHT)
    full, slow, still = (update(Correction(2), VISIT, BOUGHT, rate_scale) for rate_scale in rate_scales)
    assert [each[1] for each in (full, slow, still)] == pytest.approx([before] * 3, rel=1e-6)

    np.testing.assert_allclose(slow[0].item_biases(CODES), 0.5 * full[0].item_biases(CODES), rtol=1e-6)
    np.testing.assert_allclose(slow[0].input_weights, 0.5 * full[0].input_weights, rtol=1e-6)
    np.testing.assert_array_equal(still[0].apply(VISIT), LOGITS)
    after = [update(each[0], VISIT, BOUGHT, 1.0)[1] for each in (full, slow, still)]
    assert after[0] < after[1] < after[2] == pytest.approx(before)


def test_visits_and_emissions_are_corrected_separately() -> None:
    correction = updated(VISIT)
    np.testing.assert_array_equal(correction.apply(EMISSION), LOGITS)

    correction, _ = update(correction, EMISSION, BOUGHT, 1.0)
    np.testing.assert_allclose(correction.apply(EMISSION), correction.apply(VISIT), rtol=1e-6)


def test_an_outcome_without_a_purchase_changes_nothing() -> None:
    correction, value = update(Correction(2), VISIT, np.zeros(3, np.bool_), 1.0)

    assert value == 0.0
    np.testing.assert_array_equal(correction.apply(VISIT), LOGITS)


def test_an_item_bought_every_time_rises_and_unknown_items_stay() -> None:
    correction = Correction(2)
    for _ in range(60):
        correction, _ = update(correction, VISIT, np.asarray([False, False, True]), 1.0)

    assert correction.apply(VISIT).argmax() == 2
    assert correction.item_biases(["c"])[0] > 1.0
    np.testing.assert_array_equal(correction.item_biases(["x", "y"]), np.zeros((2, 2)))


def test_biases_decay_with_every_update() -> None:
    """An outcome among other items leaves ``DECAY`` of a bias."""
    before = updated()
    others = CandidateLogits(True, ["x", "y"], np.zeros((2, 2), np.float32), LOGITS[:2])
    after, _ = update(before, others, np.asarray([True, False]), 1.0)

    np.testing.assert_allclose(after.item_biases(CODES), before.item_biases(CODES) * DECAY, rtol=1e-6)
    np.testing.assert_allclose(after.input_weights, before.input_weights * DECAY, rtol=1e-6)


def test_scaling_and_updating_leave_the_original_unchanged() -> None:
    correction = updated()
    biases, weights = correction.item_biases(CODES).copy(), correction.input_weights.copy()
    half = scaled(correction, 0.5)
    np.testing.assert_allclose(half.item_biases(CODES), 0.5 * biases)
    np.testing.assert_allclose(half.input_weights, 0.5 * weights)

    for each in (half, correction):
        changed, _ = update(each, VISIT, BOUGHT, 1.0)
        assert not np.array_equal(changed.item_biases(CODES), each.item_biases(CODES))
    np.testing.assert_array_equal(correction.item_biases(CODES), biases)
    np.testing.assert_array_equal(correction.input_weights, weights)
