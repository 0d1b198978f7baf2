"""``lightgbm``: boosted trees over the inputs of ``basket_lstm``, for comparison with its network.

LambdaRank (Burges, "From RankNet to LambdaRank to LambdaMART", 2010) by LightGBM, which is an extra of its own:
this model is fitted and evaluated like any other, but it is not part of the service and cannot be published.
"""

import copy
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, Self

import numpy as np
from numpy.typing import NDArray

from state.domain.history import CustomerHistory
from state.events.invoice import Invoice
from training import progress
from training.data.walk import customer_purchase_dates
from training.errors import TooLittleData, TrainingError
from training.features.basket_lstm.global_statistics import GlobalStatistics
from training.features.basket_lstm.retrieval import Retrieval
from training.features.basket_lstm.view import View, build_view
from training.features.item_table import ItemTable
from training.models.calibration import logistic
from training.models.candidate_views.labelled_views import labelled_views, target_dates
from training.models.candidate_views.retrieval import fit_retrieval
from training.models.candidate_views.statistics_history import StatisticsHistory
from training.serving.baselines.scorer import BaselineScorer
from training.serving.return_time.gap_shares import GapShareCurves, gaps
from training.serving.scorer import CALIBRATION_DEPTH, Candidate, Prediction

NAME = "lightgbm"

NEWEST_STEPS = 3
"""Trees see the customer's inputs of so many of the newest baskets, side by side; they cannot read a sequence."""

MIN_TARGETS = 30
VALIDATION_FRACTION = 0.1
"""The newest views select the number of rounds and fit the calibration."""
EARLY_STOPPING_ROUNDS = 30

PARAMETERS: dict[str, Any] = {
    "objective": "lambdarank",
    "metric": "ndcg",
    "eval_at": [10],
    "lambdarank_truncation_level": 30,
    "learning_rate": 0.06,
    "num_leaves": 31,
    "min_data_in_leaf": 60,
    "feature_fraction": 0.6,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "max_bin": 127,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}


class LightGbm:
    """The trees as a model."""

    seeded = True

    def __init__(
        self, name: str = NAME, *, rounds: int = 300, max_moments: int = 60_000, threads: int = 1, window: int = 100
    ) -> None:
        """Choose how to train.

        Args:
            name: What the model is called.
            rounds: Trees at most; boosting stops where the validation set gains no more.
            max_moments: Learn from the newest views only, this many at most; each invoice gives two, of about 100 kB.
            threads: Of LightGBM.
            window: Number of invoices that a history holds, as in the stream.

        Raises:
            TrainingError: LightGBM is not installed.
        """
        if find_spec("lightgbm") is None:
            raise TrainingError(
                "LightGBM is not installed: it is a yardstick for development, not a part of the service. "
                "Install it with pip install 'nextbasket[lightgbm]', or leave the model lightgbm out."
            )
        self.name = name
        self._rounds = rounds
        self._max_moments = max_moments
        self._threads = threads
        self._window = window

    def fit(self, invoices: Sequence[Invoice], *, until: int, seed: int = 7) -> "FittedLightGbm":
        """Learn from what is dated before ``until``; see ``Model``.

        Raises:
            TooLittleData: Too few customers bought again.
        """
        import lightgbm

        statistics_history = StatisticsHistory(invoices, until)
        retrieval = fit_retrieval(
            invoices,
            statistics_history,
            until,
            self._window,
            np.random.default_rng(seed),
            max(self._max_moments // 2, 1),
        )
        training_set, validation_set = self._collect(invoices, until, statistics_history, retrieval)

        def boost(parts: Sequence[Part], rounds: int, note: str, validation: Sequence[Part] = ()) -> Any:
            data = _dataset(parts)
            callbacks = [lambda each: progress.update(1000 + each.iteration, 1000 + self._rounds, note)]
            if validation:
                callbacks.append(lightgbm.early_stopping(EARLY_STOPPING_ROUNDS, verbose=False))
            return lightgbm.train(
                PARAMETERS | {"seed": seed, "num_threads": self._threads},
                data,
                num_boost_round=rounds,
                valid_sets=[_dataset(validation, reference=data)] if validation else [],
                callbacks=callbacks,
            )

        booster = boost(training_set, self._rounds, "boosting", validation_set)
        calibration = calibrate([np.asarray(booster.predict(part.inputs)) for part in validation_set], validation_set)
        # The trees that rank are fitted on the validation set too, for as many rounds as were best without it.
        booster = boost([*training_set, *validation_set], booster.best_iteration, "boosting with the newest weeks")
        return_time = GapShareCurves.fit(gaps(customer_purchase_dates(invoices), until))
        scorer = TreesScorer(booster, statistics_history.at(until), retrieval, calibration, return_time)
        progress.update(1000 + self._rounds, 1000 + self._rounds, "calibrated")
        return FittedLightGbm(scorer, statistics_history)

    def _collect(
        self,
        invoices: Sequence[Invoice],
        until: int,
        statistics_history: StatisticsHistory,
        retrieval: Retrieval,
    ) -> tuple[list["Part"], list["Part"]]:
        """The training and the validation set, oldest first."""
        dates = target_dates(invoices, until, max(self._max_moments // 2, 1))
        if len(dates) < MIN_TARGETS:
            raise TooLittleData(
                f"Only {len(dates)} invoices have an earlier one of the same customer; at least {MIN_TARGETS} are "
                f"needed to train {self.name}. Give it a longer history."
            )
        cut = dates[int(len(dates) * (1 - VALIDATION_FRACTION))]
        training_set: list[Part] = []
        validation_set: list[Part] = []
        seen = labelled_views(invoices, statistics_history, dates[0], until, self._window, retrieval)
        for number, (date, view, bought, _) in enumerate(seen):
            progress.update(500 * number // len(dates), 1000 + self._rounds, "reading histories")
            if not bought.any():
                continue
            # All candidates: a sample cannot be corrected for here, and drew known and new items together.
            (validation_set if date >= cut else training_set).append(Part(flat(view), bought))
        if not training_set or not validation_set:
            raise TooLittleData(
                f"Too few of {len(dates)} invoices hold an item that could have been foreseen to train {self.name}. "
                "Give it a longer history."
            )
        return training_set, validation_set


class Part(NamedTuple):
    """Candidates of one view: ``inputs`` float32 ``[candidates, inputs]``, ``bought`` bool ``[candidates]``."""

    inputs: NDArray[np.float32]
    bought: NDArray[np.bool_]


def _dataset(parts: Sequence[Part], reference: Any = None) -> Any:
    """The views as LightGBM reads them, one by one: concatenated they would be in memory twice."""
    import lightgbm

    return lightgbm.Dataset(
        [part.inputs for part in parts],
        np.concatenate([part.bought for part in parts]),
        group=[len(part.bought) for part in parts],
        reference=reference,
        free_raw_data=True,
    )


def flat(view: View) -> NDArray[np.float32]:
    """The inputs of every candidate side by side, ``[candidates, inputs]``: its own, the customer's, newest baskets."""
    steps = view.step_inputs[:, -NEWEST_STEPS:]
    return np.concatenate(
        [view.candidate_inputs, view.customer_inputs[view.customer], steps.reshape(len(steps), -1)],
        axis=1,
        dtype=np.float32,
    )


def calibrate(scores: Sequence[NDArray[np.float64]], parts: Sequence[Part]) -> tuple[float, float]:
    """Platt's scaling of scores by what was bought, on the first items of each ranking: bias and slope, above 0.

    Source: Platt, "Probabilistic outputs for support vector machines", 1999.
    """
    top_scores, outcomes = [], []
    for score, part in zip(scores, parts, strict=True):
        best = np.argsort(-score, kind="stable")[:CALIBRATION_DEPTH]
        top_scores.append(score[best])
        outcomes.append(part.bought[best])
    top = np.concatenate(top_scores)
    bias, slope = logistic(np.stack([np.ones_like(top), top], axis=1), np.concatenate(outcomes).astype(np.float64))
    return bias, max(slope, 1e-3)


@dataclass(frozen=True)
class TreesScorer:
    """The trees as a ``Scorer``, for evaluation only.

    Customers without a basket get the ranking of ``count_demand``, and so does the end of a list.

    Attributes:
        booster: LightGBM's trees.
        statistics: Global statistics that the inputs read.
        retrieval: Chooses the candidates.
        calibration: Bias and slope from a score to a logit.
        return_time: Chances of a return.
    """

    booster: Any
    statistics: GlobalStatistics
    retrieval: Retrieval
    calibration: tuple[float, float]
    return_time: GapShareCurves

    name = NAME
    version = "unpublished"

    @cached_property
    def _by_demand(self) -> BaselineScorer:
        return BaselineScorer("count_demand", self.version, return_time=self.return_time)

    def predict(self, histories: Sequence[CustomerHistory], items: ItemTable, now: int, k: int) -> list[Prediction]:
        """Rank up to ``k`` items for each customer; see ``Scorer``."""
        return [self._predict(history, items, now, k) for history in histories]

    def _predict(self, history: CustomerHistory, items: ItemTable, now: int, k: int) -> Prediction:
        view = build_view([history], items, now, self.statistics, self.retrieval)
        rest = self._by_demand.predict([history], items, now, k)[0]
        if not view.length[0]:
            return rest
        scores = np.asarray(self.booster.predict(flat(view), num_threads=1))
        best = np.argsort(-scores, kind="stable")[:k]
        bias, slope = self.calibration
        chances = 1.0 / (1.0 + np.exp(-np.clip(bias + slope * scores[best], -30.0, 30.0)))
        codes = [items.codes[row] if row < len(items) else view.unknown[row - len(items)] for row in view.row[best]]
        found = [Candidate(code, chance) for code, chance in zip(codes, chances.tolist(), strict=True)]
        taken, least = set(codes), float(chances[-1])
        found += [
            Candidate(c.stock_code, min(c.probability, least)) for c in rest.candidates if c.stock_code not in taken
        ]
        return Prediction(found[:k], rest.return_curve)


class FittedLightGbm:
    """Trees that can be evaluated, but not published; a ``FittedOverTime``."""

    def __init__(self, scorer: TreesScorer, statistics_history: StatisticsHistory) -> None:
        self.scorer = scorer
        self._statistics_history = statistics_history

    @property
    def until(self) -> int:
        """End, not included, of the data that the model was fitted on, seconds since 1970."""
        return self._statistics_history.fitted_until

    def scorer_at(self, date: int) -> TreesScorer:
        """The scorer with the statistics of a date; see ``FittedOverTime``."""
        return dataclasses.replace(self.scorer, statistics=self._statistics_history.at(date))

    def copy(self) -> Self:
        """The same model with a log of its own; see ``FittedOverTime``."""
        found = copy.copy(self)
        found._statistics_history = self._statistics_history.copy()
        return found

    def extend(self, invoices: Sequence[Invoice], until: int) -> None:
        """Add what is dated before ``until`` to the log; see ``FittedOverTime``."""
        self._statistics_history.extend(invoices, until)

    def save(self, folder: Path) -> NoReturn:
        """Refuse: workers do not have LightGBM.

        Raises:
            TrainingError: Always.
        """
        raise TrainingError(
            f"The model {NAME} is a yardstick for evaluate and cannot be published, since no worker has LightGBM. "
            "Train basket_lstm instead."
        )
