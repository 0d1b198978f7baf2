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
from training.features.item_to_item import Neighbours
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

    bias: float = -1.0
    slope: float = 0.5
    per_basket: float = -0.5
    epsilon: float = 1e-4

    def probabilities(self, scores: Floats, n_baskets: int) -> Floats:
        """Probability of each item, in the order of the scores ``[n]``."""
        logit = self.bias + self.slope * np.log(np.maximum(scores, 0.0) + self.epsilon)
        p: Floats = 1.0 / (1.0 + np.exp(-(logit + self.per_basket * np.log1p(n_baskets))))
        return p


class Related:
    """EASE's neighbours over a vocabulary, read for the rows of any item table."""

    def __init__(self, codes: Sequence[str], neighbours: Neighbours) -> None:
        """Take neighbours over, one row for each stock code.

        Raises:
            ValueError: They are of another size, point outside, or are no finite numbers.
        """
        index, weight = neighbours
        if index.ndim != 2 or index.shape != weight.shape or len(index) != len(codes):
            raise ValueError(f"{len(codes)} stock codes do not go with neighbours of shape {index.shape}.")
        if index.size and (index.min() < 0 or index.max() >= len(codes) or not np.isfinite(weight).all()):
            raise ValueError("Neighbours point outside the vocabulary or have weights that are no numbers.")
        self.codes = list(codes)
        self.neighbours = neighbours
        self._place = {code: place for place, code in enumerate(self.codes)}
        self._table: ItemTable | None = None
        self._place_of_row: NDArray[np.int64] = np.zeros(0, np.int64)
        self._row_of_place: NDArray[np.int64] = np.zeros(0, np.int64)

    def scores(self, bought: Bought, items: ItemTable) -> tuple[Floats, NDArray[np.int64]]:
        """Get z of every row ``[rows]``, and the row that speaks most for it (-1: none) ``[rows]``."""
        self._bind(items)
        size = len(bought.times)
        scores, best = np.zeros(size), np.full(size, -1, np.int64)
        mine = np.flatnonzero(bought.faded[: len(items)])
        mine = mine[self._place_of_row[mine] >= 0]
        if not len(mine):
            return scores, best
        faded = bought.faded[mine]
        places = self._place_of_row[mine]
        index, weight = self.neighbours
        rows = self._row_of_place[index[places]]
        speaks = faded[:, None] * weight[places]
        seen = (rows >= 0) & (speaks != 0.0)
        rows, speaks = rows[seen], speaks[seen]
        source = np.broadcast_to(mine[:, None], seen.shape)[seen]
        scores += np.bincount(rows, weights=speaks, minlength=size)
        scores /= np.linalg.norm(faded)
        order = np.argsort(speaks, kind="stable")  # the strongest is written last
        order = order[speaks[order] > 0.0]
        best[rows[order]] = source[order]
        return scores, best

    def _bind(self, items: ItemTable) -> None:
        """Rows to places and back; a table only grows, so what is bound stays."""
        if self._table is items and len(self._place_of_row) == len(items):
            return
        place = np.asarray([self._place.get(code, -1) for code in items.codes], np.int64)
        row_of_place = np.full(len(self.codes), -1, np.int64)
        known = place >= 0
        row_of_place[place[known]] = np.flatnonzero(known)
        self._table, self._place_of_row, self._row_of_place = items, place, row_of_place


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
        return [_code(row, bought, items) for row in ranked.rows], ranked.scores, len(bought.dates)

    def _predict(self, bought: Bought, items: ItemTable, demand: Floats, now: int, k: int) -> Prediction:
        ranked = self._rank(bought, items, demand, k)
        chances = self.calibration.probabilities(ranked.scores, len(bought.dates))
        candidates = [
            Candidate(_code(row, bought, items), chance, None if because < 0 else _code(because, bought, items))
            for row, chance, because in zip(ranked.rows, chances.tolist(), ranked.because, strict=True)
        ]
        return Prediction(candidates, self.returns.curve(bought.dates, now))

    def _rank(self, bought: Bought, items: ItemTable, demand: Floats, k: int) -> "_Ranked":
        size = len(bought.times)
        behind = size - len(items)
        demand = np.pad(demand, ((0, behind), (0, 0)))
        sold = np.pad(items.sold.astype(np.float64), (0, behind))
        related, because = np.zeros(size), np.full(size, -1, np.int64)
        if self.related is not None:
            related, because = self.related.scores(bought, items)
        own_only = self.name in OWN_ONLY and bool(bought.dates)
        formula = FORMULAS[self.name if own_only or self.name not in OWN_ONLY else "recent_g_topfreq"]
        scores = formula(Sight(bought, demand, share(np.log1p(demand[:, WEEK])), sold, related))
        # What sold most ever breaks ties, and leads where nothing has any demand left.
        order = scores + _TIE * share(sold)
        k = min(k, size)
        best = np.argpartition(order, size - k)[size - k :] if k < size else np.arange(size)
        best = best[np.lexsort((best, -order[best]))]
        if own_only and self.name == "p_topfreq":
            best = best[bought.times[best] > 0.0]
        return _Ranked(best.tolist(), scores[best], because[best].tolist())

    def save(self, folder: Path) -> None:
        """Write everything a bundle needs but its manifest into an empty folder."""
        write_vocabulary(folder, self.related.codes if self.related else [])
        (folder / BASELINE).write_bytes(msgspec.json.encode(_Saved(self.name, self.calibration)))
        np.savez_compressed(folder / CURVES, curves=self.returns.curves)
        if self.related is not None:
            index, weight = self.related.neighbours
            np.savez_compressed(folder / EASE, index=index, weight=weight)


class _Ranked(NamedTuple):
    """Rows, best first, with score and the row that speaks most for each (-1: none)."""

    rows: list[int]
    scores: Floats
    because: list[int]


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
                neighbours = Neighbours(arrays["index"], arrays["weight"])
            related = Related(read_vocabulary(folder), neighbours)
        return BaselineScorer(saved.name, version, calibration=saved.calibration, returns=returns, related=related)
    except (OSError, KeyError, ValueError, zipfile.BadZipFile, msgspec.MsgspecError) as error:
        raise BundleRefused(f"The bundle {folder} cannot be read ({error}). Publish it again.") from None


def _code(row: int, bought: Bought, items: ItemTable) -> str:
    return items.codes[row] if row < len(items.codes) else bought.unknown[row - len(items.codes)]
