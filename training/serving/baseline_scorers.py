"""The simple models as they answer in the stream: a formula, a calibration, chances of a return. Numpy only."""

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from state.history import CustomerHistory
from training.features.item_table import ItemTable
from training.registry import BundleRefused, read_vocabulary, write_vocabulary
from training.serving.baseline_formulas import (
    FORMULAS,
    OWN_ONLY,
    USES_EASE,
    WEEK,
    Bought,
    Floats,
    Sight,
    purchases,
    share,
)
from training.serving.returns import Returns
from training.serving.scorer import Candidate, Prediction

_TIE = 1e-9

BASELINE = "baseline.json"
CURVES = "returns.npz"
EASE = "ease.npz"


class Calibration(msgspec.Struct, frozen=True):
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


class Related:
    """EASE's weights over a vocabulary, read for the rows of any item table.

    All weights are kept, for and against: the figures of the protocol are those of the whole matrix.
    """

    def __init__(self, codes: Sequence[str], weights: NDArray[np.float32]) -> None:
        """Take weights over, float32 ``[codes, codes]``: how much each row's item speaks for each column's.

        Raises:
            ValueError: They are of another size, or no finite numbers.
        """
        if weights.shape != (len(codes), len(codes)) or not np.isfinite(weights).all():
            raise ValueError(f"{len(codes)} stock codes do not go with weights of shape {weights.shape}.")
        self.codes = list(codes)
        self.weights = weights
        self._place = {code: place for place, code in enumerate(self.codes)}
        self._table: ItemTable | None = None
        self._place_of_row: NDArray[np.int64] = np.zeros(0, np.int64)

    def scores(self, bought: Bought, items: ItemTable) -> Floats:
        """Get z of every row, 0 outside the vocabulary, ``[rows]``."""
        places = self._places(items)
        scores = np.zeros(len(bought.times))
        mine = self._speaking(bought, items)
        if len(mine):
            faded = bought.faded[mine].astype(np.float32)
            z = faded @ self.weights[places[mine]] / np.linalg.norm(faded)
            inside = np.flatnonzero(places >= 0)
            scores[inside] = z[places[inside]]
        return scores

    def because(self, rows: NDArray[np.int64], bought: Bought, items: ItemTable) -> NDArray[np.int64]:
        """The row of the customer's item that speaks most for each of some rows, -1 where none does, ``[n]``."""
        places = self._places(items)
        best = np.full(len(rows), -1, np.int64)
        mine = self._speaking(bought, items)
        inside = np.flatnonzero(rows < len(items))
        inside = inside[places[rows[inside]] >= 0]
        if len(mine) and len(inside):
            speaks = self.weights[np.ix_(places[mine], places[rows[inside]])] * bought.faded[mine, None]
            strongest = speaks.argmax(axis=0)
            best[inside] = np.where(speaks.max(axis=0) > 0.0, mine[strongest], -1)
        return best

    def _speaking(self, bought: Bought, items: ItemTable) -> NDArray[np.int64]:
        """The rows of the customer's items that the vocabulary has."""
        mine = np.flatnonzero(bought.faded[: len(items)])
        return mine[self._places(items)[mine] >= 0]

    def _places(self, items: ItemTable) -> NDArray[np.int64]:
        """Place in the vocabulary of each row, -1 outside; a table only grows, so what is known stays."""
        if self._table is not items:
            self._table, self._place_of_row = items, np.zeros(0, np.int64)
        known = len(self._place_of_row)
        if known < len(items):
            more = np.asarray([self._place.get(code, -1) for code in items.codes[known:]], np.int64)
            self._place_of_row = np.concatenate([self._place_of_row, more])
        return self._place_of_row


class BaselineScorer:
    """A simple model as a ``Scorer``."""

    def __init__(
        self,
        name: str,
        version: str,
        *,
        calibration: Calibration | None = None,
        returns: Returns | None = None,
        related: Related | None = None,
    ) -> None:
        """Put a scorer together.

        Args:
            name: Which formula.
            version: Of the bundle; ``unpublished`` before it is one.
            calibration: From scores to probabilities; that of an unknown shop unless given.
            returns: Chances of a return; those of an unknown shop unless given.
            related: EASE's neighbours, for the models that use them.

        Raises:
            ValueError: No such formula, or one that needs neighbours without them.
        """
        if name not in FORMULAS or (name in USES_EASE and related is None):
            raise ValueError(f"{name!r} is no baseline, or one that needs item-to-item neighbours.")
        self.name = name
        self.version = version
        self.calibration = calibration or Calibration()
        self.returns = returns or Returns.usual()
        self.related = related

    def predict(self, histories: Sequence[CustomerHistory], items: ItemTable, now: int, k: int) -> list[Prediction]:
        """Rank up to ``k`` items for each customer; see ``Scorer``."""
        demand = items.demand(now).astype(np.float64)
        return [self._predict(purchases(history, items), items, demand, now, k) for history in histories]

    def rank(self, history: CustomerHistory, items: ItemTable, now: int, k: int) -> tuple[list[str], Floats, int]:
        """Stock codes, best first, their scores, and the number of baskets: what a calibration is fitted on."""
        bought = purchases(history, items)
        ranked = self._rank(bought, items, items.demand(now).astype(np.float64), k)
        return [_code(row, bought, items) for row in ranked.rows.tolist()], ranked.scores, len(bought.dates)

    def _predict(self, bought: Bought, items: ItemTable, demand: Floats, now: int, k: int) -> Prediction:
        ranked = self._rank(bought, items, demand, k)
        chances = self.calibration.probabilities(ranked.scores, len(bought.dates))
        because = np.full(len(ranked.rows), -1, np.int64)
        if self.related is not None:
            because = self.related.because(ranked.rows, bought, items)
        candidates = [
            Candidate(_code(row, bought, items), chance, None if by < 0 else _code(by, bought, items))
            for row, chance, by in zip(ranked.rows.tolist(), chances.tolist(), because.tolist(), strict=True)
        ]
        return Prediction(candidates, self.returns.curve(bought.dates, now))

    def _rank(self, bought: Bought, items: ItemTable, demand: Floats, k: int) -> "_Ranked":
        size = len(bought.times)
        behind = size - len(items)
        demand = np.pad(demand, ((0, behind), (0, 0)))
        sold = np.pad(items.sold.astype(np.float64), (0, behind))
        related = np.zeros(size) if self.related is None else self.related.scores(bought, items)
        formula = FORMULAS[self.name if bought.dates or self.name not in OWN_ONLY else "count_demand"]
        # What sold most ever breaks ties, and leads where nothing has any demand left.
        scores = formula(Sight(bought, demand, share(np.log1p(demand[:, WEEK])), sold, related)) + _TIE * share(sold)
        k = min(k, size)
        best = np.argpartition(scores, size - k)[size - k :] if k < size else np.arange(size)
        best = best[np.lexsort((best, -scores[best]))]
        if bought.dates and self.name == "p_topfreq":
            best = best[bought.times[best] > 0.0]
        return _Ranked(best, scores[best])

    def save(self, folder: Path) -> None:
        """Write everything a bundle needs but its manifest into an empty folder."""
        write_vocabulary(folder, self.related.codes if self.related else [])
        (folder / BASELINE).write_bytes(msgspec.json.encode(_Saved(self.name, self.calibration)))
        np.savez_compressed(folder / CURVES, curves=self.returns.curves)
        if self.related is not None:
            np.savez(folder / EASE, weights=self.related.weights)


class _Ranked(NamedTuple):
    """Rows of the item table, best first, and their scores."""

    rows: NDArray[np.int64]
    scores: Floats


class _Saved(msgspec.Struct, frozen=True):
    """What ``baseline.json`` holds."""

    name: str
    calibration: Calibration


def load(folder: Path, version: str) -> BaselineScorer:
    """Read what ``BaselineScorer.save`` wrote; the manifest of a published bundle is not looked at.

    Raises:
        BundleRefused: A file is missing, damaged, or holds something else.
    """
    try:
        saved = msgspec.json.decode((folder / BASELINE).read_bytes(), type=_Saved)
        with np.load(folder / CURVES, allow_pickle=False) as arrays:
            returns = Returns(arrays["curves"].astype(np.float64))
        related = None
        if saved.name in USES_EASE:
            with np.load(folder / EASE, allow_pickle=False) as arrays:
                related = Related(read_vocabulary(folder), arrays["weights"].astype(np.float32, copy=False))
        return BaselineScorer(saved.name, version, calibration=saved.calibration, returns=returns, related=related)
    except (OSError, EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile, msgspec.MsgspecError) as error:
        raise BundleRefused(f"The bundle {folder} cannot be read ({error}). Publish it again.") from None


def _code(row: int, bought: Bought, items: ItemTable) -> str:
    return items.codes[row] if row < len(items.codes) else bought.unknown[row - len(items.codes)]
