"""The correction that a bundle holds: added to the logits, by prediction time, and checked when it is made."""

import numpy as np
import pytest
from numpy.typing import NDArray

from training.serving.basket_lstm.correction import CandidateLogits, Correction

CODES = ["a", "b", "c"]
INPUTS = np.asarray([[1.0, 0.0], [0.5, -1.0], [0.0, 2.0]], np.float32)
LOGITS = np.asarray([1.0, 0.0, -1.0], np.float32)
VISIT, EMISSION = (CandidateLogits(visit, CODES, INPUTS, LOGITS) for visit in (True, False))


def test_an_empty_correction_returns_the_logits() -> None:
    np.testing.assert_array_equal(Correction(2).apply(VISIT), LOGITS)


def test_biases_and_weighted_inputs_are_added_for_the_prediction_time() -> None:
    biases = np.asarray([[1.0, 2.0], [0.0, -3.0]], np.float32)
    correction = Correction(2, ["c", "x"], biases, np.asarray([[0.5, 0.0], [0.0, 2.0]], np.float32))

    np.testing.assert_allclose(correction.apply(VISIT), [1.5, 0.25, 0.0])
    np.testing.assert_allclose(correction.apply(EMISSION), [1.0, -2.0, 3.0])


@pytest.mark.parametrize(
    ("item_biases", "input_weights"),
    [
        (np.zeros((2, 2), np.float32), np.zeros((2, 2), np.float32)),
        (np.zeros((2, 3), np.float32), np.zeros((2, 1), np.float32)),
        (np.full((2, 3), np.nan, np.float32), np.zeros((2, 2), np.float32)),
        (np.zeros((2, 3), np.float32), np.zeros((2, 2))),
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    item_biases: NDArray[np.float32], input_weights: NDArray[np.float32]
) -> None:
    with pytest.raises(ValueError, match="The correction is no finite float32"):
        Correction(2, CODES, item_biases, input_weights)
