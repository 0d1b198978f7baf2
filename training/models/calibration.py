"""Calibration: Platt's scaling of scores into probabilities, by a logistic regression on what was bought."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from state.domain.history import CustomerHistory
from state.events.invoice import Invoice
from training.data.purchases import purchases_of
from training.data.walk import prediction_points, walk_points
from training.features.item_table import ItemTable
from training.serving.baselines.scorer import PlattCalibration
from training.serving.scorer import CALIBRATION_DEPTH

MIN_CALIBRATION_CASES = 50
"""With fewer predictions the default calibration is used."""
MAX_CALIBRATION_CASES = 1_000
"""Of more predictions evenly spaced ones are used."""
MIN_SLOPE = 1e-3


class Ranker(Protocol):
    """What is needed of a scorer to fit its calibration."""

    def rank(
        self, history: CustomerHistory, items: ItemTable, now: int, k: int
    ) -> tuple[list[str], NDArray[np.float64], int]:
        """Stock codes, best first, their scores, and the number of baskets."""
        ...


def fit_calibrations(
    scorers: Mapping[str, Ranker], invoices: Sequence[Invoice], start: int, end: int, window: int
) -> dict[str, PlattCalibration | None]:
    """Platt's scaling of each scorer's scores by what was bought in [``start``, ``end``), at both moments.

    Source: Platt, "Probabilistic outputs for support vector machines", 1999; the number of baskets is a second input.
    None where too few predictions lie in the span, or all came out alike; of many, evenly spaced ones are taken.
    """
    seen: dict[str, list[tuple[NDArray[np.float64], int, list[bool]]]] = {name: [] for name in scorers}
    purchases = purchases_of(invoices)
    dates = purchases.date[purchases.invoice]
    spacing = -(-int(((dates >= start) & (dates < end)).sum()) * 2 // MAX_CALIBRATION_CASES)
    points = prediction_points(purchases, moment="both", start=start, end=end)
    for point in walk_points(invoices, purchases, points.of(slice(None, None, max(spacing, 1))), window):
        wanted = point.target.purchased_codes
        for name, scorer in scorers.items():
            codes, scores, n_baskets = scorer.rank(point.history, point.items, point.now, CALIBRATION_DEPTH)
            seen[name].append((scores, n_baskets, [code in wanted for code in codes]))
    return {name: _calibration(cases) if len(cases) >= MIN_CALIBRATION_CASES else None for name, cases in seen.items()}


def _calibration(cases: Sequence[tuple[NDArray[np.float64], int, list[bool]]]) -> PlattCalibration | None:
    bought = np.concatenate([np.asarray(hits, np.float64) for _, _, hits in cases])
    if bought.min() == bought.max():
        return None
    epsilon = PlattCalibration().epsilon
    score = np.log(np.maximum(np.concatenate([scores for scores, _, _ in cases]), 0.0) + epsilon)
    size = np.concatenate([np.full(len(scores), np.log1p(n_baskets)) for scores, n_baskets, _ in cases])
    bias, slope, per_basket = logistic(np.stack([np.ones_like(score), score, size], axis=1), bought)
    if slope < MIN_SLOPE:  # the scores do not rank purchases: only the base rate is left, and the order must stay
        bias, slope, per_basket = float(np.log(bought.mean() / (1.0 - bought.mean()))), MIN_SLOPE, 0.0
    return PlattCalibration(bias, slope, per_basket, epsilon)


def logistic(inputs: NDArray[np.float64], bought: NDArray[np.float64]) -> tuple[float, ...]:
    """Weights of a logistic regression with a penalty of ½ ‖w‖², which keeps them finite where the classes separate.

    Args:
        inputs: ``[n, inputs]``, a column of ones for the bias among them.
        bought: 0 or 1 ``[n]``.
    """
    # Two rows of zeros, which move no weight: scikit-learn refuses outcomes that are all alike.
    rows = np.concatenate([inputs, np.zeros((2, inputs.shape[1]))])
    outcomes = np.concatenate([bought, [0.0, 1.0]])
    # The bias is one of the columns, since it is penalised too. The tolerance leaves 1e-8 of a probability open.
    model = LogisticRegression(C=1.0, fit_intercept=False, solver="newton-cholesky", tol=1e-10)
    return tuple(model.fit(rows, outcomes).coef_[0].tolist())
