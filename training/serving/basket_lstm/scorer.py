"""``basket_lstm`` as it answers in the stream: view, network, calibration, reasons. Numpy only."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from state.domain.history import CustomerHistory
from state.domain.items import HALF_LIVES
from training.features.basket_lstm.candidates import because
from training.features.basket_lstm.customer_inputs import BASKET_INPUTS, CUSTOMER_INPUTS
from training.features.basket_lstm.flat_histories import Floats
from training.features.basket_lstm.global_statistics import I2I_VARIANTS, GlobalStatistics
from training.features.basket_lstm.retrieval import RETRIEVAL_INPUTS, Retrieval
from training.features.basket_lstm.view import CANDIDATE_INPUTS, STEP_INPUTS, View, build_view
from training.features.basket_lstm.weekly_demand import WeeklyDemand
from training.features.item_table import ItemTable
from training.features.item_to_item import Neighbours
from training.features.text import load_text
from training.registry import read_vocabulary, write_vocabulary
from training.serving.baselines.scorer import BaselineScorer
from training.serving.basket_lstm.correction import CandidateLogits, Correction
from training.serving.basket_lstm.network import DAYS_SINCE_LAST, NumpyNetwork
from training.serving.bundle_files import read_arrays, refusing
from training.serving.return_time.network import ReturnCurve
from training.serving.scorer import Candidate, Prediction

NAME = "basket_lstm"

SETTINGS = "basket_lstm.json"
NETWORK = "network.npz"
KNOWLEDGE = "item_to_item.npz"
RETURNS = "return_network.npz"
CORRECTION = "correction.npz"

AT_ONCE = 64
"""Customers seen in one view: bounds the memory of a large batch."""

_WEEK = HALF_LIVES.index(7.0)
_MEAN_SIZE = CUSTOMER_INPUTS.index("log_mean_size")
_BASKETS = CUSTOMER_INPUTS.index("log_baskets")


class Ranked(NamedTuple):
    """One customer's candidates, best first: positions in the view and log softmax, both ``[candidates]``.

    ``known_share``: how much of the softmax falls to items the customer kept before, 0 to 1.
    """

    position: NDArray[np.int64]
    log_softmax: NDArray[np.float64]
    known_share: float


class Calibration(msgspec.Struct, frozen=True):
    """From a softmax over candidates to the probability that an item is in the next basket.

    p = σ(bias + slope log softmax + per_size log(1 + mean basket size) + per_basket log(1 + baskets) + at_visit +
    per_known share): Platt's scaling, with the size of the customer's baskets, since a softmax shares out 1 however
    many items a basket holds; with their number, since it knows most of those who came often; with whether any time
    went by since the last one, since today's demand tells more of today's basket than of a later one; and with the
    share of the softmax that falls to items the customer kept before, since who comes for known ones takes more of the
    first of them. ``slope`` is above 0, so the order stays.
    """

    bias: float = 0.0
    slope: float = 1.0
    per_size: float = 0.5
    per_basket: float = 0.0
    at_visit: float = 0.0
    per_known: float = 0.0

    def __post_init__(self) -> None:
        if not np.isfinite(self._weights).all() or self.slope <= 0.0:
            raise ValueError("A calibration needs finite numbers and a slope above 0.")

    @property
    def _weights(self) -> NDArray[np.float64]:
        return np.asarray([self.bias, self.slope, self.per_size, self.per_basket, self.at_visit, self.per_known])

    @staticmethod
    def inputs(ranked: Ranked, person: NDArray[np.float32]) -> NDArray[np.float64]:
        """The columns that the weights belong to, ``[candidates, 6]``; ``person`` is the customer's row of the view."""
        columns = np.ones((len(ranked.log_softmax), 6))
        columns[:, 1] = ranked.log_softmax
        columns[:, 2:] = person[_MEAN_SIZE], person[_BASKETS], person[DAYS_SINCE_LAST] > 0.0, ranked.known_share
        return columns

    def probabilities(self, ranked: Ranked, person: NDArray[np.float32]) -> NDArray[np.float64]:
        """Probability of each candidate, best first ``[candidates]``."""
        logit = self.inputs(ranked, person) @ self._weights
        p: NDArray[np.float64] = 1.0 / (1.0 + np.exp(-np.clip(logit, -30.0, 30.0)))
        return p


def rank(view: View, logits: NDArray[np.float32]) -> list[Ranked]:
    """Each customer's candidates by falling logit; ties by row."""
    ends = np.searchsorted(view.customer, np.arange(len(view.length) + 1))
    ranked = []
    for start, end in pairwise(ends.tolist()):
        own = logits[start:end].astype(np.float64)
        if len(own):
            own -= own.max()
            own -= np.log(np.exp(own).sum())
        order = np.argsort(-own, kind="stable")
        ranked.append(Ranked(start + order, own[order], float(np.exp(own[view.known[start:end]]).sum())))
    return ranked


class BasketScorer:
    """The network as a ``Scorer``.

    A customer with nothing left in the history gets what is in demand, and behind the candidates the rest of the
    catalogue follows by demand, so that a list is as long as it may be.
    """

    name = NAME

    def __init__(
        self,
        version: str,
        *,
        network: NumpyNetwork,
        correction: Correction,
        statistics: GlobalStatistics,
        calibration: Calibration,
        returns: ReturnCurve,
        retrieval: Retrieval,
    ) -> None:
        """Put a scorer together from what was fitted; ``version`` is ``unpublished`` before it is a bundle."""
        self.version = version
        self.network = network
        self.correction = correction
        self.statistics = statistics
        self.calibration = calibration
        self.returns = returns
        self.retrieval = retrieval
        self._strangers = BaselineScorer("count_demand", version)

    def predict(self, histories: Sequence[CustomerHistory], items: ItemTable, now: int, k: int) -> list[Prediction]:
        """Rank up to ``k`` items for each customer; see ``Scorer``."""
        predictions: list[Prediction] = []
        for start in range(0, len(histories), AT_ONCE):
            predictions.extend(self._predict(histories[start : start + AT_ONCE], items, now, k))
        return predictions

    def knowledge_at(self, now: int) -> GlobalStatistics:
        """What everybody's baskets taught, as a prediction at ``now`` may use it: in service the newest there is."""
        return self.statistics

    def corrected(self, said: Sequence[CandidateLogits], histories: Sequence[CustomerHistory], now: int) -> Floats:
        """The logits that rank, of what the network says of each history's candidates, float32 ``[candidates]``."""
        return np.concatenate([self.correction.corrected(each) for each in said])

    def _predict(self, histories: Sequence[CustomerHistory], items: ItemTable, now: int, k: int) -> list[Prediction]:
        statistics = self.knowledge_at(now)
        view = build_view(histories, items, now, statistics, self.retrieval)
        ranked = rank(
            view, self.corrected(score_candidates(view, candidate_codes(view, items), self.network), histories, now)
        )
        curves = [tuple(curve) for curve in self.returns.curve(histories, now).tolist()]
        own_ends = np.searchsorted(view.own.customer, np.arange(len(histories) + 1))
        predictions = []
        for customer, history in enumerate(histories):
            if view.length[customer] == 0:
                (stranger,) = self._strangers.predict([history], items, now, k)
                predictions.append(Prediction(stranger.candidates, curves[customer]))
                continue
            best = ranked[customer]
            position = best.position[:k]
            chances = self.calibration.probabilities(best, view.person[customer])
            mine = slice(own_ends[customer], own_ends[customer + 1])
            said_by = because(view.place[position], view.own_place[mine], view.own.faded[mine], statistics)
            own_rows = view.own.row[mine]
            candidates = [
                Candidate(_code(row, view, items), chance, None if by < 0 else _code(int(own_rows[by]), view, items))
                for row, chance, by in zip(
                    view.row[position].tolist(), chances[:k].tolist(), said_by.tolist(), strict=True
                )
            ]
            if len(candidates) < k:
                least = float(chances[-1]) if len(chances) else 0.0
                candidates += _rest(view.row[best.position], items, now, k - len(candidates), least)
            predictions.append(Prediction(candidates, curves[customer]))
        return predictions

    def save(self, folder: Path) -> None:
        """Write what ``load`` reads into an empty folder."""
        write_vocabulary(folder, self.statistics.codes)
        weights = dict(zip(RETRIEVAL_INPUTS, self.retrieval.weights, strict=True))
        settings = _Settings(self.calibration, weights, self.retrieval.own, self.retrieval.new, _inputs())
        (folder / SETTINGS).write_bytes(msgspec.json.encode(settings))
        np.savez(folder / NETWORK, **self.network.arrays)  # type: ignore[arg-type]  # numpy's stub takes allow_pickle for an array
        learnt = {"item": self.correction.item(self.statistics.codes), "linear": self.correction.linear}
        np.savez(folder / CORRECTION, **learnt)  # type: ignore[arg-type]  # as above
        arrays: dict[str, NDArray[np.generic]] = {
            "habits": self.statistics.item_statistics,
            "weeks_first": np.asarray(self.statistics.weeks.first),
            "weeks_demand": self.statistics.weeks.demand,
        }
        for name, neighbours in self.statistics.neighbours.items():
            arrays[f"{name}_neighbour"], arrays[f"{name}_weight"] = neighbours
        self.statistics.text.save(folder)
        np.savez_compressed(folder / KNOWLEDGE, **arrays)  # type: ignore[arg-type]  # as above
        np.savez(folder / RETURNS, **self.returns.arrays)  # type: ignore[arg-type]  # as above


class _Settings(msgspec.Struct, frozen=True):
    """What ``basket_lstm.json`` holds.

    ``retrieval``: weights by name, and at most how many candidates are a customer's ``own`` and ``new`` ones;
    ``inputs``: the names of the inputs the network was trained on.
    """

    calibration: Calibration
    retrieval: dict[str, float]
    own: int
    new: int
    inputs: dict[str, list[str]]


def _inputs() -> dict[str, list[str]]:
    return {
        "candidate": list(CANDIDATE_INPUTS),
        "person": list(CUSTOMER_INPUTS),
        "step": list(STEP_INPUTS),
        "basket": list(BASKET_INPUTS),
    }


def input_sizes() -> dict[str, int]:
    """Width of each group of inputs, as ``NumpyNetwork`` wants it."""
    return {group: len(names) for group, names in _inputs().items()}


def load(folder: Path, version: str) -> BasketScorer:
    """Read what ``BasketScorer.save`` wrote; the manifest of a published bundle is not looked at.

    Raises:
        BundleRefused: A file is missing, damaged, holds something else, or the network was trained on other inputs than
            this version computes.
    """
    with refusing(folder):
        settings = msgspec.json.decode((folder / SETTINGS).read_bytes(), type=_Settings)
        if settings.inputs != _inputs():
            raise ValueError("its network was trained on other inputs than this version computes")
        learnt = read_arrays(folder / KNOWLEDGE)
        neighbours = {
            name: Neighbours(learnt[f"{name}_neighbour"].astype(np.int32), learnt[f"{name}_weight"].astype(np.float32))
            for name in I2I_VARIANTS
        }
        statistics = GlobalStatistics(
            read_vocabulary(folder),
            neighbours,
            learnt["habits"].astype(np.float32),
            WeeklyDemand(int(learnt["weeks_first"]), learnt["weeks_demand"].astype(np.float32)),
            load_text(folder),
        )
        network = NumpyNetwork(read_arrays(folder / NETWORK), input_sizes())
        if not (folder / CORRECTION).exists():
            raise ValueError(f"it has no {CORRECTION}, which this version needs: train it anew")
        corrected = read_arrays(folder / CORRECTION)
        correction = Correction(len(CANDIDATE_INPUTS), statistics.codes, corrected["item"], corrected["linear"])
        returns = ReturnCurve(read_arrays(folder / RETURNS))
        if list(settings.retrieval) != list(RETRIEVAL_INPUTS):
            raise ValueError("its candidates were found by other inputs than this version computes")
        if min(settings.own, settings.new) < 0 or not np.isfinite(list(settings.retrieval.values())).all():
            raise ValueError("its candidates cannot be found: a number is below 0 or not finite")
        return BasketScorer(
            version,
            network=network,
            correction=correction,
            statistics=statistics,
            calibration=settings.calibration,
            returns=returns,
            retrieval=Retrieval(tuple(settings.retrieval.values()), settings.own, settings.new),
        )


def candidate_codes(view: View, items: ItemTable) -> list[str]:
    """The stock code of each candidate."""
    return [_code(row, view, items) for row in view.row.tolist()]


def score_candidates(view: View, codes: Sequence[str], network: NumpyNetwork) -> list[CandidateLogits]:
    """What a network says of each customer's candidates, whose stock codes are ``codes``."""
    inputs, logits = network.candidate_inputs(view), network.logits(view)
    visits = (view.person[:, DAYS_SINCE_LAST] > 0.0).tolist()
    ends = np.searchsorted(view.customer, np.arange(len(visits) + 1)).tolist()
    return [
        CandidateLogits(visit, codes[start:end], inputs[start:end], logits[start:end])
        for visit, (start, end) in zip(visits, pairwise(ends), strict=True)
    ]


def _code(row: int, view: View, items: ItemTable) -> str:
    return items.codes[row] if row < len(items) else view.unknown[row - len(items)]


def _rest(taken: NDArray[np.int64], items: ItemTable, now: int, most: int, least: float) -> list[Candidate]:
    """What is no candidate, by demand: less likely than the last candidate, in proportion to the log of the demand."""
    demand = np.log1p(items.demand(now)[:, _WEEK].astype(np.float64))
    order = np.lexsort((np.arange(len(items)), -items.sold, -demand))
    order = order[~np.isin(order, taken)][:most]
    share = demand[order] / max(float(demand.max(initial=0.0)), 1e-9)
    return [
        Candidate(items.codes[row], chance)
        for row, chance in zip(order.tolist(), (least * share).tolist(), strict=True)
    ]
