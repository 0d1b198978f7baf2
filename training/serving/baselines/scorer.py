"""The baselines as scorers: a formula, a calibration, a return-time model; and their bundles. NumPy only."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from state.domain.history import CustomerHistory
from training.features.item_table import LEADERS, ItemTable
from training.features.largest_first import largest_first
from training.registry import write_vocabulary
from training.serving.baselines.ease import EaseWeights
from training.serving.baselines.formulas import (
    FORMULAS,
    HISTORY_ONLY,
    SMALL,
    WEEK,
    CustomerPurchases,
    Floats,
    FormulaInputs,
    customer_purchases,
    share_of_max,
)
from training.serving.baselines.neighbours import CustomerNeighbourhood
from training.serving.baselines.vocabulary import Ints
from training.serving.bundle_files import read_arrays, refusing
from training.serving.return_time.gap_shares import GapShareCurves
from training.serving.scorer import Candidate, Prediction

_TIE = 1e-9
_LARGE = 10_000
"""Tables of more items are not walked for those who bought nothing."""

BASELINE = "baseline.json"
CURVES = "returns.npz"


class PlattCalibration(msgspec.Struct, frozen=True):
    """From a score to the probability that the item is in the next basket: Platt scaling with the number of baskets.

    p = σ(bias + slope log(score + ε) + per_basket log(1 + baskets)); ``slope`` is above 0, so the order stays. The
    defaults were fitted to ``count_demand`` on Online Retail before 2011-10-05; they serve where nothing is fitted yet.
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
    """The fitted part of a baseline, applied to the rows of any item table."""

    @property
    def codes(self) -> list[str]:
        """The stock codes of its vocabulary, which is that of the bundle."""
        ...

    def scores(self, purchases: CustomerPurchases, items: ItemTable) -> Floats:
        """Score of every row, ``[rows]``."""
        ...

    def source_rows(self, rows: Ints, purchases: CustomerPurchases, items: ItemTable) -> Ints:
        """For each of some rows the row of the customer's item that explains it, −1 where none does, ``[n]``."""
        ...

    def save(self, folder: Path) -> None:
        """Write the arrays into a bundle's folder."""
        ...


FITTED_SCORES: dict[str, Callable[[Path], FittedScores]] = {
    "ease": EaseWeights.load,
    "ease_count_demand": EaseWeights.load,
    "tifu_knn": CustomerNeighbourhood.load,
    "up_cf": CustomerNeighbourhood.load,
}
"""For baselines with a fitted part, how it is loaded from a bundle's folder."""


class BaselineScorer:
    """A baseline as a ``Scorer``."""

    def __init__(
        self,
        name: str,
        version: str,
        *,
        calibration: PlattCalibration | None = None,
        return_time: GapShareCurves | None = None,
        fitted: FittedScores | None = None,
    ) -> None:
        """Combines the parts of a scorer.

        Args:
            name: Of the formula.
            version: Of the bundle; ``unpublished`` before there is one.
            calibration: From scores to probabilities; the default one unless given.
            return_time: Probabilities of a return; the default curves unless given.
            fitted: The fitted part, for the baselines of ``FITTED_SCORES``.

        Raises:
            ValueError: There is no such formula, or its fitted part is missing.
        """
        if name not in FORMULAS or (name in FITTED_SCORES and fitted is None):
            raise ValueError(f"{name!r} is no baseline, or its fitted part is missing.")
        self.name = name
        self.version = version
        self.calibration = calibration or PlattCalibration()
        self.return_time = return_time or GapShareCurves.default()
        self.fitted = fitted

    def predict(self, histories: Sequence[CustomerHistory], items: ItemTable, now: int, k: int) -> list[Prediction]:
        """Rank up to ``k`` items for each customer; see ``Scorer``."""
        walked = [number for number, history in enumerate(histories) if history.invoices]
        nothing_bought = self._predict_by_leaders(items, now, k) if len(walked) < len(histories) else None
        if nothing_bought is None:
            walked = list(range(len(histories)))
        predictions = [nothing_bought or Prediction([], ())] * len(histories)
        demand = items.demand(now).astype(np.float64) if walked else np.zeros(0)
        for number in walked:
            predictions[number] = self._predict(customer_purchases(histories[number], items), items, demand, now, k)
        return predictions

    def rank(self, history: CustomerHistory, items: ItemTable, now: int, k: int) -> tuple[list[str], Floats, int]:
        """Stock codes, best first, their scores, and the number of baskets: the inputs of a calibration."""
        purchases = customer_purchases(history, items)
        ranked = self._rank(purchases, items, items.demand(now).astype(np.float64), k)
        return [_code(row, purchases, items) for row in ranked.rows.tolist()], ranked.scores, len(purchases.dates)

    def bought_together(self, stock_codes: Sequence[str]) -> dict[str, float]:
        """Item-to-item score of the items that go with a basket; see ``ItemToItem``. Empty without EASE's weights."""
        return self.fitted.bought_together(stock_codes) if isinstance(self.fitted, EaseWeights) else {}

    def return_curves(self, histories: Sequence[CustomerHistory], now: int) -> Floats:
        """When customers return; see ``ReturnCurves``."""
        return self.return_time.curves_of([history.purchase_dates for history in histories], now)

    def _predict(self, purchases: CustomerPurchases, items: ItemTable, demand: Floats, now: int, k: int) -> Prediction:
        ranked = self._rank(purchases, items, demand, k)
        probabilities = self.calibration.probabilities(ranked.scores, len(purchases.dates))
        sources = np.full(len(ranked.rows), -1, np.int64)
        if self.fitted is not None:
            sources = self.fitted.source_rows(ranked.rows, purchases, items)
        candidates = [
            Candidate(_code(row, purchases, items), p, None if source < 0 else _code(source, purchases, items))
            for row, p, source in zip(ranked.rows.tolist(), probabilities.tolist(), sources.tolist(), strict=True)
        ]
        return Prediction(candidates, self.return_time.curve(purchases.dates, now))

    def _predict_by_leaders(self, items: ItemTable, now: int, k: int) -> Prediction | None:
        """The prediction for everybody who bought nothing, without a walk over a large table; equals that with one.

        None where the table is small, the formula is not ``count_demand``, or an item that does not lead may be among
        the first ``k``.
        """
        if len(items) <= _LARGE or not 0 < k <= LEADERS or self.name not in {"count_demand", *HISTORY_ONLY}:
            return None
        rows = items.leaders()
        max_demand, _, max_sold = items.greatest(now)
        demand = np.log1p(items.demand(now, rows)[:, WEEK].astype(np.float64))
        q = demand / (np.log1p(float(max_demand[WEEK])) or 1.0)
        scores = SMALL * q + _TIE * (items.sold[rows] / (max_sold or 1))
        best = largest_first(scores, k, lambda position: items.codes[rows[position]])
        # All others have less demand than the last leader by demand, and at most the share 1 of the baskets ever.
        if scores[best[-1]] <= SMALL * np.partition(q, -LEADERS)[-LEADERS] + _TIE:
            return None
        probabilities = self.calibration.probabilities(scores[best], 0)
        codes = map(items.codes.__getitem__, rows[best].tolist())
        return Prediction(list(map(Candidate, codes, probabilities.tolist())), self.return_time.curve([], now))

    def _rank(self, purchases: CustomerPurchases, items: ItemTable, demand: Floats, k: int) -> "_Ranked":
        size = len(purchases.times)
        unknown = size - len(items)
        demand = np.pad(demand, ((0, unknown), (0, 0)))
        sold = np.pad(items.sold.astype(np.float64), (0, unknown))
        fitted_scores = np.zeros(size) if self.fitted is None else self.fitted.scores(purchases, items)
        formula = FORMULAS[self.name if purchases.dates or self.name not in HISTORY_ONLY else "count_demand"]
        inputs = FormulaInputs(purchases, demand, share_of_max(np.log1p(demand[:, WEEK])), sold, fitted_scores)
        # The number of baskets ever breaks ties, and ranks where no item has any demand left.
        scores = formula(inputs) + _TIE * share_of_max(sold)
        best = largest_first(scores, k, lambda row: _code(row, purchases, items))
        if purchases.dates and self.name == "p_topfreq":
            best = best[purchases.times[best] > 0.0]
        return _Ranked(best, scores[best])

    def save(self, folder: Path) -> None:
        """Write the files that ``load`` reads into an empty folder."""
        write_vocabulary(folder, self.fitted.codes if self.fitted else [])
        (folder / BASELINE).write_bytes(msgspec.json.encode(_Saved(self.name, self.calibration)))
        np.savez_compressed(folder / CURVES, curves=self.return_time.curves)
        if self.fitted is not None:
            self.fitted.save(folder)


class _Ranked(NamedTuple):
    """Rows of the item table, best first, and their scores."""

    rows: NDArray[np.int64]
    scores: Floats


class _Saved(msgspec.Struct, frozen=True):
    """Contents of ``baseline.json``."""

    name: str
    calibration: PlattCalibration


def load(folder: Path, version: str) -> BaselineScorer:
    """Read the files that ``BaselineScorer.save`` wrote; the manifest of a published bundle is not read.

    Raises:
        BundleRefused: A file is missing, damaged, or of another kind.
    """
    with refusing(folder):
        saved = msgspec.json.decode((folder / BASELINE).read_bytes(), type=_Saved)
        return_time = GapShareCurves(read_arrays(folder / CURVES)["curves"].astype(np.float64))
        fitted = FITTED_SCORES[saved.name](folder) if saved.name in FITTED_SCORES else None
        return BaselineScorer(
            saved.name, version, calibration=saved.calibration, return_time=return_time, fitted=fitted
        )


def _code(row: int, purchases: CustomerPurchases, items: ItemTable) -> str:
    return items.codes[row] if row < len(items.codes) else purchases.unknown[row - len(items.codes)]
