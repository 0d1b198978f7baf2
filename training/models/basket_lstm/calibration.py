"""Calibration and online correction of a network on the validation set."""

import logging
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.features.basket_lstm.view import CANDIDATE_INPUTS, View
from training.models.calibration import logistic
from training.models.online_correction import RATE_SCALES, update
from training.serving.basket_lstm.calibration import BasketCalibration, rank
from training.serving.basket_lstm.correction import Correction
from training.serving.basket_lstm.network import NumpyNetwork
from training.serving.basket_lstm.scorer import score_candidates
from training.serving.scorer import CALIBRATION_DEPTH

logger = logging.getLogger(__name__)

MIN_SLOPE = 1e-3


class ValidationCase(NamedTuple):
    """The view of one customer, the codes of its candidates, and whether they were bought on ``date``."""

    date: int
    view: View
    codes: list[str]
    bought: NDArray[np.bool_]


class ValidationFit(NamedTuple):
    """What is fitted on the validation set: ``rate_scale`` is the scale of the learning rates of the correction."""

    calibration: BasketCalibration
    correction: Correction
    rate_scale: float


def calibrate_on_validation(
    network: NumpyNetwork, cases: Sequence[ValidationCase], *, rate_scales: Sequence[float] = RATE_SCALES
) -> ValidationFit:
    """Calibrate and correct a network on cases it was not trained on, in the order of their dates.

    The correction is the one of ``rate_scales`` with the least loss, where each case is scored before its outcome
    updates the correction; the first of them where there are no cases.

    The calibration is Platt's scaling of the corrected scores of the first items of each ranking; without outcomes of
    both kinds it is the default. Source: Platt, "Probabilistic outputs for support vector machines", 1999.
    """
    corrections = [Correction(len(CANDIDATE_INPUTS)) for _ in rate_scales]
    losses = np.zeros(len(corrections))
    inputs: list[list[NDArray[np.float64]]] = [[] for _ in corrections]
    outcomes = [[np.zeros(0)] for _ in corrections]
    for _, view, codes, bought in sorted(cases, key=lambda each: each.date):
        (candidates,) = score_candidates(view, codes, network)
        for number, (correction, rate_scale) in enumerate(zip(corrections, rate_scales, strict=True)):
            best = rank(view, correction.apply(candidates))[0]
            inputs[number].append(BasketCalibration.inputs(best, view.customer_inputs[0])[:CALIBRATION_DEPTH])
            outcomes[number].append(bought[best.position[:CALIBRATION_DEPTH]].astype(np.float64))
            corrections[number], loss = update(correction, candidates, bought, rate_scale)
            losses[number] += loss
    chosen = int(np.argmin(losses))
    correction, chosen_scale = corrections[chosen], rate_scales[chosen]
    with_purchase = max(sum(bool(case.bought.any()) for case in cases), 1)
    means = [f"{scale:g} {loss / with_purchase:.4f}" for scale, loss in zip(rate_scales, losses, strict=True)]
    logger.info("online correction at %g of the full rate; mean loss by rate: %s", chosen_scale, ", ".join(means))
    outcome = np.concatenate(outcomes[chosen])
    if not outcome.any() or outcome.all():
        return ValidationFit(BasketCalibration(), correction, chosen_scale)
    weights = logistic(np.concatenate(inputs[chosen]), outcome)
    if weights[1] <= MIN_SLOPE:
        logger.warning("the scores do not rank the purchases of the validation set; probabilities are rough")
        return ValidationFit(BasketCalibration(), correction, chosen_scale)
    return ValidationFit(BasketCalibration(*weights), correction, chosen_scale)
