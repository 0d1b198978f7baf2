"""Metrics over all rankings of an evaluation: coverage and calibration.

Those of a single ranking (hit, recall, NDCG) are in ``state.domain.ranking_metrics``. Each function states its formula,
its edge cases and its source.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BINS = 15
"""Bins of equal mass for the expected calibration error."""


def coverage(rankings: Sequence[Sequence[str]], catalogue_size: int, k: int) -> float:
    """Share of the catalogue that is among the first ``k`` of any ranking.

    coverage@k = |∪ top_k| / ``catalogue_size``, the number of items sold before the span's end. 0 for an empty
    catalogue.
    """
    shown = {code for ranking in rankings for code in ranking[:k]}
    return len(shown) / catalogue_size if catalogue_size else 0.0


class CalibrationBin(NamedTuple):
    """Predictions of similar probability: the mean probability, the share that came true, and their number."""

    predicted: float
    observed: float
    n: int


def reliability(probabilities: Floats, outcomes: Floats, bins: int = BINS) -> list[CalibrationBin]:
    """Predicted against observed frequency, in bins of equal mass.

    Predictions are sorted and cut into ``bins`` runs whose sizes differ by one at most (ties stay in their order), so
    every bin counts the same. Empty bins are left out.

    Args:
        probabilities: ``[n]``.
        outcomes: 1 where the prediction came true, else 0 ``[n]``.
        bins: Number of bins.
    """
    order = np.argsort(probabilities, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    return [
        CalibrationBin(float(probabilities[part].mean()), float(outcomes[part].mean()), len(part)) for part in parts
    ]


def expected_calibration_error(probabilities: Floats, outcomes: Floats, bins: int = BINS) -> float:
    """Mean distance between predicted and observed frequency, weighted by the number of predictions in a bin.

    ECE = Σ over bins of (n_bin / n) |mean probability − share that came true|, bins of equal mass. NaN without any
    prediction. Source: Naeini, Cooper and Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning",
    AAAI 2015; equal mass after Nixon et al., "Measuring calibration in deep learning", 2019.
    """
    if not len(probabilities):
        return float("nan")
    parts = reliability(probabilities, outcomes, bins)
    return sum(part.n * abs(part.predicted - part.observed) for part in parts) / len(probabilities)
