"""How good a ranking is. Plain functions on plain values; each states its formula, its edge cases and its source.

A ranking is a sequence of distinct stock codes, best first, of the whole catalogue: nothing is sampled. A basket is the
set of distinct stock codes that were bought. The mean over invoices is taken by the caller, never here.
"""

import math
from collections.abc import Sequence, Set
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

BINS = 15
"""Bins of equal mass for the expected calibration error."""


def hit_at(ranking: Sequence[str], basket: Set[str], k: int) -> float:
    """1 when any of the first ``k`` items was bought, else 0.

    hit@k = [|top_k ∩ basket| > 0]. An empty ranking or basket gives 0.
    """
    return float(any(code in basket for code in ranking[:k]))


def recall_at(ranking: Sequence[str], wanted: Set[str], k: int) -> float:
    """Share of the wanted items that are among the first ``k``.

    recall@k = |top_k ∩ wanted| / |wanted|: over all that was bought, so with more than ``k`` items it cannot reach 1.
    Over the repeat or the new items alone it is the same formula with those as wanted; the other items of the
    ranking keep their places. NaN where nothing is wanted, so that such invoices are left out of the mean.
    """
    if not wanted:
        return float("nan")
    return sum(code in wanted for code in ranking[:k]) / len(wanted)


def ndcg_at(ranking: Sequence[str], basket: Set[str], k: int) -> float:
    """Normalised discounted cumulative gain with binary relevance.

    DCG@k = Σ over ranks r = 1…k of [item r bought] / log2(r + 1); NDCG@k = DCG@k / the DCG of a perfect ranking, which
    puts min(k, |basket|) bought items first. NaN for an empty basket. Source: Järvelin and Kekäläinen, "Cumulated
    gain-based evaluation of IR techniques", ACM TOIS 20 (2002).
    """
    if not basket:
        return float("nan")
    gain = sum(1.0 / math.log2(rank + 2) for rank, code in enumerate(ranking[:k]) if code in basket)
    ideal = sum(1.0 / math.log2(rank + 2) for rank in range(min(k, len(basket))))
    return gain / ideal


def coverage(rankings: Sequence[Sequence[str]], catalogue: int, k: int) -> float:
    """Share of the catalogue that stands among anybody's first ``k``.

    coverage@k = |∪ top_k| / ``catalogue``, the number of items ever sold before the span's end. 0 without a catalogue.
    """
    shown = {code for ranking in rankings for code in ranking[:k]}
    return len(shown) / catalogue if catalogue else 0.0


class Bin(NamedTuple):
    """Predictions of like size: their mean probability, the share that came true, and how many they are."""

    said: float
    came: float
    n: int


def reliability(probabilities: NDArray[np.float64], outcomes: NDArray[np.float64], bins: int = BINS) -> list[Bin]:
    """What was promised against what happened, in bins of equal mass.

    Predictions are sorted and cut into ``bins`` runs whose sizes differ by one at most (ties stay in their order), so
    every bin counts the same. Bins that would be empty are left out.
    """
    order = np.argsort(probabilities, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    return [Bin(float(probabilities[part].mean()), float(outcomes[part].mean()), len(part)) for part in parts]


def expected_calibration_error(
    probabilities: NDArray[np.float64], outcomes: NDArray[np.float64], bins: int = BINS
) -> float:
    """Mean distance between promised and observed frequency, weighted by the number of predictions in a bin.

    ECE = Σ over bins of (n_bin / n) |mean probability − share that came true|, bins of equal mass. NaN without any
    prediction. Source: Naeini, Cooper and Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning",
    AAAI 2015; equal mass after Nixon et al., "Measuring calibration in deep learning", 2019.
    """
    if not len(probabilities):
        return float("nan")
    parts = reliability(probabilities, outcomes, bins)
    return sum(part.n * abs(part.said - part.came) for part in parts) / len(probabilities)
