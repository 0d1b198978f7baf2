"""``basket_lstm`` as a scorer: view, network, correction, calibration, explanations; and its bundle. NumPy only."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from state.domain.history import CustomerHistory
from state.domain.items import HALF_LIVES
from training.features.basket_lstm.candidates import explaining_items
from training.features.basket_lstm.customer_inputs import BASKET_INPUTS, CUSTOMER_INPUTS
from training.features.basket_lstm.global_statistics import BASKETS, I2I_VARIANTS, GlobalStatistics
from training.features.basket_lstm.retrieval import RETRIEVAL_INPUTS, Retrieval
from training.features.basket_lstm.view import CANDIDATE_INPUTS, STEP_INPUTS, View, build_view
from training.features.basket_lstm.weekly_demand import WeeklyDemand
from training.features.item_table import ItemTable
from training.features.item_to_item import Neighbours
from training.features.largest_first import largest_first
from training.features.text import load_text
from training.registry import read_vocabulary, write_vocabulary
from training.serving.baselines.scorer import BaselineScorer
from training.serving.basket_lstm import bundle_names
from training.serving.basket_lstm.calibration import BasketCalibration, Ranked, rank
from training.serving.basket_lstm.correction import CandidateLogits, Correction
from training.serving.basket_lstm.network import DAYS_SINCE_LAST, NumpyNetwork
from training.serving.bundle_files import read_arrays, refusing
from training.serving.return_time.network import NumpyReturnNetwork
from training.serving.scorer import Candidate, Prediction

NAME = "basket_lstm"

SETTINGS = "basket_lstm.json"
NETWORK = "network.npz"
STATISTICS = "item_to_item.npz"
RETURNS = "return_network.npz"
CORRECTION = "correction.npz"

CUSTOMERS_PER_BATCH = 64
"""Customers in one view: bounds the memory of a large batch."""

_WEEK = HALF_LIVES.index(7.0)
_NO_LOGITS = np.zeros(0, np.float32)


@dataclass(frozen=True)
class BasketScorer:
    """The network as a ``Scorer``. Immutable; ``dataclasses.replace`` makes one with other parts.

    A customer without baskets gets the ranking of ``count_demand``. A list shorter than ``k`` is filled up by demand
    with items that are no candidates.
    """

    version: str
    network: NumpyNetwork
    correction: Correction
    statistics: GlobalStatistics
    calibration: BasketCalibration
    return_time: NumpyReturnNetwork
    retrieval: Retrieval

    @property
    def name(self) -> str:
        """Name of the model."""
        return NAME

    @cached_property
    def _fallback(self) -> BaselineScorer:
        return BaselineScorer("count_demand", self.version)

    def predict(self, histories: Sequence[CustomerHistory], items: ItemTable, now: int, k: int) -> list[Prediction]:
        """Rank up to ``k`` items for each customer; see ``Scorer``."""
        return self._predict(histories, items, now, k, further=False)

    def predict_further(
        self, histories: Sequence[CustomerHistory], items: ItemTable, now: int, k: int
    ) -> list[Prediction]:
        """Rank all candidates of each customer; see ``FurtherCandidates``."""
        return self._predict(histories, items, now, k, further=True)

    def _predict(
        self, histories: Sequence[CustomerHistory], items: ItemTable, now: int, k: int, *, further: bool
    ) -> list[Prediction]:
        predictions: list[Prediction] = []
        for start in range(0, len(histories), CUSTOMERS_PER_BATCH):
            batch = histories[start : start + CUSTOMERS_PER_BATCH]
            view = self.view(batch, items, now)
            logits = self._corrected_logits(view, items)
            predictions += self._predictions(view, logits, batch, items, now, k, further=further)
        return predictions

    def view(self, histories: Sequence[CustomerHistory], items: ItemTable, now: int) -> View:
        """The network's inputs for some customers."""
        return build_view(histories, items, now, self.statistics, self.retrieval)

    def predictions(
        self,
        view: View,
        candidates: Sequence[CandidateLogits],
        histories: Sequence[CustomerHistory],
        items: ItemTable,
        now: int,
        k: int,
    ) -> list[Prediction]:
        """Rankings from logits that the network has computed.

        Args:
            view: Of the histories.
            candidates: As ``score_candidates`` returns them for the view, one a customer.
            histories: At least one.
            items: The item table as of ``now``.
            now: Time of the prediction, seconds since 1970.
            k: Greatest length of a ranking.
        """
        logits = np.concatenate([self.correction.apply(each) for each in candidates])
        return self._predictions(view, logits, histories, items, now, k, further=False)

    def _corrected_logits(self, view: View, items: ItemTable) -> NDArray[np.float32]:
        """The network's logits with the correction of the bundle, float32 ``[candidates]``."""
        if self.correction.codes is not self.statistics.codes:
            candidates = score_candidates(view, candidate_codes(view, items), self.network)
            return np.concatenate([_NO_LOGITS, *(self.correction.apply(each) for each in candidates)])
        inputs, logits = self.network.inputs_and_logits(view)
        emission = (view.customer_inputs[:, DAYS_SINCE_LAST] <= 0.0).astype(np.int64)[view.customer]
        biases = self.correction.biases_by_index
        logits += biases.ravel().take(emission * biases.shape[1] + view.item_index)
        by_moment = self.correction.input_weights @ inputs.T
        logits += np.where(emission, by_moment[1], by_moment[0])
        return logits

    def _predictions(
        self,
        view: View,
        logits: NDArray[np.float32],
        histories: Sequence[CustomerHistory],
        items: ItemTable,
        now: int,
        k: int,
        *,
        further: bool,
    ) -> list[Prediction]:
        """``predictions`` from corrected logits; with ``further`` those of ``predict_further``."""
        ranked = rank(view, logits)
        curves = [tuple(curve) for curve in self.return_time.curve(histories, now).tolist()]
        ends = view.customer_items.customer.searchsorted(np.arange(len(histories) + 1))
        predictions = []
        without_baskets = (view.length == 0).nonzero()[0].tolist()
        by_demand = iter(self._fallback.predict([histories[customer] for customer in without_baskets], items, now, k))
        for customer in range(len(histories)):
            if view.length[customer] == 0:
                predictions.append(Prediction(next(by_demand).candidates, curves[customer]))
                continue
            best = ranked[customer]
            depth = max(k, len(best.position)) if further else k
            order = largest_first(best.log_softmax, depth, partial(_ranked_code, best, view, items))
            position = best.position[order]
            probabilities = self.calibration.probabilities(best.first(depth), view.customer_inputs[customer])
            sources = self._source_items(view, position, slice(ends[customer], ends[customer + 1]), items)
            codes = _codes(view.row[position], view, items)
            listed = list(map(Candidate, codes, probabilities.tolist(), sources))
            if len(listed) < k:
                lowest = float(probabilities[-1]) if len(probabilities) else 0.0
                listed += _fill_by_demand(view.row[best.position], items, now, k - len(listed), lowest)
            beyond = listed[k:] if further else []
            predictions.append(Prediction(listed[:k] if beyond else listed, curves[customer], beyond))
        return predictions

    def bought_together(self, stock_codes: Sequence[str]) -> dict[str, float]:
        """Item-to-item score of the items that go with a basket; see ``ItemToItem``."""
        codes = self.statistics.codes
        scores: dict[str, float] = {}
        neighbours, weights = self.statistics.neighbours[BASKETS]
        for index in self.statistics.indexes(stock_codes):
            for other, weight in zip(neighbours[index].tolist(), weights[index].tolist(), strict=True):
                scores[codes[other]] = scores.get(codes[other], 0.0) + weight
        basket = set(stock_codes)
        return {code: score for code, score in scores.items() if score and code not in basket}

    def return_curves(self, histories: Sequence[CustomerHistory], now: int) -> NDArray[np.float64]:
        """When customers return; see ``ReturnCurves``."""
        return self.return_time.curve(histories, now)

    def return_survival(self, histories: Sequence[CustomerHistory]) -> NDArray[np.float64]:
        """What the curve follows from; see ``ReturnSurvival``."""
        return self.return_time.log_survival(histories)

    def _source_items(
        self, view: View, position: NDArray[np.int64], of_customer: slice, items: ItemTable
    ) -> list[str | None]:
        """For each candidate the stock code of the customer's item that explains it, None where none does."""
        best = explaining_items(
            view.item_index[position],
            view.customer_item_index[of_customer],
            view.customer_items.decayed_count[of_customer],
            self.statistics,
        )
        found = best >= 0
        codes = iter(_codes(view.customer_items.row[of_customer][best[found]], view, items))
        return [next(codes) if is_found else None for is_found in found.tolist()]

    def save(self, folder: Path) -> None:
        """Write the files that ``load`` reads into an empty folder."""
        write_vocabulary(folder, self.statistics.codes)
        names = bundle_names.stored_retrieval_inputs(RETRIEVAL_INPUTS)
        settings = _Settings(
            self.calibration,
            dict(zip(names, self.retrieval.weights, strict=True)),
            self.retrieval.max_repeat_candidates,
            self.retrieval.max_new_candidates,
            bundle_names.stored_inputs(INPUTS),
        )
        (folder / SETTINGS).write_bytes(msgspec.json.encode(settings))
        np.savez(folder / NETWORK, **bundle_names.stored_network(self.network.arrays))  # type: ignore[arg-type]  # numpy's stub takes allow_pickle for an array
        correction = {
            "item_biases": self.correction.item_biases(self.statistics.codes),
            "input_weights": self.correction.input_weights,
        }
        np.savez(folder / CORRECTION, **bundle_names.stored_correction(correction))  # type: ignore[arg-type]  # as above
        arrays: dict[str, NDArray[np.generic]] = {
            "item_statistics": self.statistics.item_statistics,
            "weeks_first": np.asarray(self.statistics.weeks.first),
            "weeks_demand": self.statistics.weeks.demand,
        }
        for name, neighbours in self.statistics.neighbours.items():
            arrays[f"{name}_neighbour"], arrays[f"{name}_weight"] = neighbours
        self.statistics.text.save(folder)
        np.savez_compressed(folder / STATISTICS, **bundle_names.stored_statistics(arrays))  # type: ignore[arg-type]  # as above
        np.savez(folder / RETURNS, **self.return_time.arrays)  # type: ignore[arg-type]  # as above


class _Settings(msgspec.Struct, frozen=True):
    """Contents of ``basket_lstm.json``.

    ``retrieval``: weights by name, and the two greatest numbers of candidates, as in ``Retrieval``; ``inputs``: the
    names of the inputs the network was trained on, by group.
    """

    calibration: BasketCalibration
    retrieval: dict[str, float]
    max_repeat_candidates: int = msgspec.field(name="own")
    max_new_candidates: int = msgspec.field(name="new")
    inputs: dict[str, list[str]]


INPUTS: dict[str, tuple[str, ...]] = {
    "candidate": CANDIDATE_INPUTS,
    "customer": CUSTOMER_INPUTS,
    "step": STEP_INPUTS,
    "basket": BASKET_INPUTS,
}
"""The network's inputs by group."""


def input_sizes() -> dict[str, int]:
    """Width of each group of inputs, for ``NumpyNetwork``."""
    return {group: len(names) for group, names in INPUTS.items()}


def load(folder: Path, version: str) -> BasketScorer:
    """Read the files that ``BasketScorer.save`` wrote; the manifest of a published bundle is not read.

    Raises:
        BundleRefused: A file is missing or damaged, or the network was trained on other inputs than this version
            computes.
    """
    with refusing(folder):
        settings = msgspec.json.decode((folder / SETTINGS).read_bytes(), type=_Settings)
        if settings.inputs != bundle_names.stored_inputs(INPUTS):
            raise ValueError("its network was trained on other inputs than this version computes")
        arrays = bundle_names.loaded_statistics(read_arrays(folder / STATISTICS))
        neighbours = {
            name: Neighbours(arrays[f"{name}_neighbour"].astype(np.int32), arrays[f"{name}_weight"].astype(np.float32))
            for name in I2I_VARIANTS
        }
        statistics = GlobalStatistics(
            read_vocabulary(folder),
            neighbours,
            arrays["item_statistics"].astype(np.float32),
            WeeklyDemand(int(arrays["weeks_first"]), arrays["weeks_demand"].astype(np.float32)),
            load_text(folder),
        )
        network = NumpyNetwork(bundle_names.loaded_network(read_arrays(folder / NETWORK)), input_sizes())
        if not (folder / CORRECTION).exists():
            raise ValueError(f"it has no {CORRECTION}, which this version needs: train it anew")
        corrections = bundle_names.loaded_correction(read_arrays(folder / CORRECTION))
        correction = Correction(
            len(CANDIDATE_INPUTS), statistics.codes, corrections["item_biases"], corrections["input_weights"]
        )
        return_time = NumpyReturnNetwork(read_arrays(folder / RETURNS))
        if list(settings.retrieval) != bundle_names.stored_retrieval_inputs(RETRIEVAL_INPUTS):
            raise ValueError("its candidates were found by other inputs than this version computes")
        if (
            min(settings.max_repeat_candidates, settings.max_new_candidates) < 0
            or not np.isfinite(list(settings.retrieval.values())).all()
        ):
            raise ValueError("its candidates cannot be found: a number is below 0 or not finite")
        return BasketScorer(
            version,
            network=network,
            correction=correction,
            statistics=statistics,
            calibration=settings.calibration,
            return_time=return_time,
            retrieval=Retrieval(
                tuple(settings.retrieval.values()), settings.max_repeat_candidates, settings.max_new_candidates
            ),
        )


def candidate_codes(view: View, items: ItemTable) -> list[str]:
    """The stock code of each candidate."""
    return _codes(view.row, view, items)


def score_candidates(view: View, codes: Sequence[str], network: NumpyNetwork) -> list[CandidateLogits]:
    """The network's logits of each customer's candidates; ``codes`` are the stock codes of all candidates."""
    inputs, logits = network.inputs_and_logits(view)
    visits = (view.customer_inputs[:, DAYS_SINCE_LAST] > 0.0).tolist()
    ends = view.customer.searchsorted(np.arange(len(visits) + 1)).tolist()
    return [
        CandidateLogits(visit, codes[start:end], inputs[start:end], logits[start:end])
        for visit, (start, end) in zip(visits, pairwise(ends), strict=True)
    ]


def _ranked_code(ranked: Ranked, view: View, items: ItemTable, index: int) -> str:
    """The stock code at an index of a ranking."""
    (code,) = _codes(view.row[ranked.position[index : index + 1]], view, items)
    return code


def _codes(rows: NDArray[np.int64], view: View, items: ItemTable) -> list[str]:
    """The stock code of each row of the view."""
    if not view.unknown:
        return list(map(items.codes.__getitem__, rows.tolist()))
    size = len(items)
    return [items.codes[row] if row < size else view.unknown[row - size] for row in rows.tolist()]


def _fill_by_demand(
    candidates: NDArray[np.int64], items: ItemTable, now: int, n: int, lowest: float
) -> list[Candidate]:
    """Items that are no candidates, by falling demand; their probabilities are ``lowest`` × log demand / greatest."""
    demand = np.log1p(items.demand(now)[:, _WEEK].astype(np.float64))
    others = np.setdiff1d(np.arange(len(items)), candidates)
    order = others[
        largest_first(demand[others], n, lambda index: (-items.sold[others[index]], items.codes[others[index]]))
    ]
    share = demand[order] / max(float(demand.max(initial=0.0)), 1e-9)
    return [
        Candidate(items.codes[row], probability)
        for row, probability in zip(order.tolist(), (lowest * share).tolist(), strict=True)
    ]
