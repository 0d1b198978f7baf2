"""The simple models as they answer in the stream: a formula, a calibration, chances of a return. Numpy only."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from state.domain.history import CustomerHistory
from training.features.item_table import ItemTable
from training.registry import write_vocabulary
from training.serving.baselines.ease import EaseWeights
from training.serving.baselines.formulas import (
    FORMULAS,
    HISTORY_ONLY,
    WEEK,
    CustomerPurchases,
    Floats,
    FormulaInputs,
    customer_purchases,
    share,
)
from training.serving.baselines.neighbours import CustomerNeighbourhood
from training.serving.baselines.vocabulary import Ints
from training.serving.bundle_files import read_arrays, refusing
from training.serving.return_time.gap_shares import GapShareCurves
from training.serving.scorer import Candidate, Prediction

_TIE = 1e-9

BASELINE = "baseline.json"
CURVES = "returns.npz"


class PlattCalibration(msgspec.Struct, frozen=True):
    """From a score to the probability that the item is in the next basket (Platt scaling, with the number of baskets).

    p = σ(bias + slope log(score + ε) + per_basket log(1 + baskets)); ``slope`` is above 0, so the order stays. The
    defaults were fitted to count × demand on Online Retail before 2011-10-05, for a shop of which nothing is known.
    """

    bias: float = 0.0
    slope: float = 1.0
    per_basket: float = -0.9
    epsilon: float = 1e-4

    def __post_init__(self) -> None:
        numbers = (self.bias, self.slope, self.per_basket, self.epsilon)
        if not np.isfinite(numbers).all() or self.slope <= 0.0 or self.epsilon <= 0.0:
            raise ValueError("A calibration needs finite numbers, and a slope and an epsilon above 0.")

    def probabilities(self, scores: Floats, n_baskets: int) -> Floats:
        """Probability of each item, in the order of the scores ``[n]``."""
        logit = self.bias + self.slope * np.log(np.maximum(scores, 0.0) + self.epsilon)
        p: Floats = 1.0 / (1.0 + np.exp(-(logit + self.per_basket * np.log1p(n_baskets))))
        return p


class FittedScores(Protocol):
    """What a simple model learns beforehand, read for the rows of any item table."""

    @property
    def codes(self) -> list[str]:
        """The stock codes that it knows: the vocabulary of the bundle."""
        ...

    def scores(self, bought: CustomerPurchases, items: ItemTable) -> Floats:
        """What it says of every row, ``[rows]``."""
        ...

    def because(self, rows: Ints, bought: CustomerPurchases, items: ItemTable) -> Ints:
        """The row of the customer's item that speaks most for each of some rows, -1 where none does, ``[n]``."""
        ...

    def save(self, folder: Path) -> None:
        """Write its arrays into a bundle's folder."""
        ...


FITTED_SCORES: dict[str, Callable[[Path], FittedScores]] = {
    "ease": EaseWeights.load,
    "ease_count_demand": EaseWeights.load,
    "tifu_knn": CustomerNeighbourhood.load,
    "up_cf": CustomerNeighbourhood.load,
}
"""For the models that learn something beforehand, how it is read from a bundle's folder."""


class BaselineScorer:
    """A simple model as a ``Scorer``."""

    def __init__(
        self,
        name: str,
        version: str,
        *,
        calibration: PlattCalibration | None = None,
        returns: GapShareCurves | None = None,
        learnt: FittedScores | None = None,
    ) -> None:
        """Put a scorer together.

        Args:
            name: Which formula.
            version: Of the bundle; ``unpublished`` before it is one.
            calibration: From scores to probabilities; that of an unknown shop unless given.
            returns: Chances of a return; those of an unknown shop unless given.
            learnt: What the model learnt beforehand, for those of ``FITTED_SCORES``.

        Raises:
            ValueError: No such formula, or one that needs something learnt without it.
        """
        if name not in FORMULAS or (name in FITTED_SCORES and learnt is None):
            raise ValueError(f"{name!r} is no baseline, or one that must have learnt something.")
        self.name = name
        self.version = version
        self.calibration = calibration or PlattCalibration()
        self.returns = returns or GapShareCurves.usual()
        self.learnt = learnt

    def predict(self, histories: Sequence[CustomerHistory], items: ItemTable, now: int, k: int) -> list[Prediction]:
        """Rank up to ``k`` items for each customer; see ``Scorer``."""
        demand = items.demand(now).astype(np.float64)
        return [self._predict(customer_purchases(history, items), items, demand, now, k) for history in histories]

    def rank(self, history: CustomerHistory, items: ItemTable, now: int, k: int) -> tuple[list[str], Floats, int]:
        """Stock codes, best first, their scores, and the number of baskets: what a calibration is fitted on."""
        bought = customer_purchases(history, items)
        ranked = self._rank(bought, items, items.demand(now).astype(np.float64), k)
        return [_code(row, bought, items) for row in ranked.rows.tolist()], ranked.scores, len(bought.dates)

    def _predict(self, bought: CustomerPurchases, items: ItemTable, demand: Floats, now: int, k: int) -> Prediction:
        ranked = self._rank(bought, items, demand, k)
        chances = self.calibration.probabilities(ranked.scores, len(bought.dates))
        because = np.full(len(ranked.rows), -1, np.int64)
        if self.learnt is not None:
            because = self.learnt.because(ranked.rows, bought, items)
        candidates = [
            Candidate(_code(row, bought, items), chance, None if by < 0 else _code(by, bought, items))
            for row, chance, by in zip(ranked.rows.tolist(), chances.tolist(), because.tolist(), strict=True)
        ]
        return Prediction(candidates, self.returns.curve(bought.dates, now))

    def _rank(self, bought: CustomerPurchases, items: ItemTable, demand: Floats, k: int) -> "_Ranked":
        size = len(bought.times)
        behind = size - len(items)
        demand = np.pad(demand, ((0, behind), (0, 0)))
        sold = np.pad(items.sold.astype(np.float64), (0, behind))
        learnt = np.zeros(size) if self.learnt is None else self.learnt.scores(bought, items)
        formula = FORMULAS[self.name if bought.dates or self.name not in HISTORY_ONLY else "count_demand"]
        # What sold most ever breaks ties, and leads where nothing has any demand left.
        scores = formula(FormulaInputs(bought, demand, share(np.log1p(demand[:, WEEK])), sold, learnt)) + _TIE * share(
            sold
        )
        k = min(k, size)
        best = np.argpartition(scores, size - k)[size - k :] if k < size else np.arange(size)
        best = best[np.lexsort((best, -scores[best]))]
        if bought.dates and self.name == "p_topfreq":
            best = best[bought.times[best] > 0.0]
        return _Ranked(best, scores[best])

    def save(self, folder: Path) -> None:
        """Write everything a bundle needs but its manifest into an empty folder."""
        write_vocabulary(folder, self.learnt.codes if self.learnt else [])
        (folder / BASELINE).write_bytes(msgspec.json.encode(_Saved(self.name, self.calibration)))
        np.savez_compressed(folder / CURVES, curves=self.returns.curves)
        if self.learnt is not None:
            self.learnt.save(folder)


class _Ranked(NamedTuple):
    """Rows of the item table, best first, and their scores."""

    rows: NDArray[np.int64]
    scores: Floats


class _Saved(msgspec.Struct, frozen=True):
    """What ``baseline.json`` holds."""

    name: str
    calibration: PlattCalibration


def load(folder: Path, version: str) -> BaselineScorer:
    """Read what ``BaselineScorer.save`` wrote; the manifest of a published bundle is not looked at.

    Raises:
        BundleRefused: A file is missing, damaged, or holds something else.
    """
    with refusing(folder):
        saved = msgspec.json.decode((folder / BASELINE).read_bytes(), type=_Saved)
        returns = GapShareCurves(read_arrays(folder / CURVES)["curves"].astype(np.float64))
        learnt = FITTED_SCORES[saved.name](folder) if saved.name in FITTED_SCORES else None
        return BaselineScorer(saved.name, version, calibration=saved.calibration, returns=returns, learnt=learnt)


def _code(row: int, bought: CustomerPurchases, items: ItemTable) -> str:
    return items.codes[row] if row < len(items.codes) else bought.unknown[row - len(items.codes)]
