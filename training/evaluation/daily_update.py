"""The scorers of an evaluation: what a trainer that runs every day would fit again follows the log.

The scorers that serve are pure and know nothing of this; the classes here wrap them.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from state.domain.history import CustomerHistory
from state.events.invoice import Invoice
from training.data.walk import StateReplay
from training.evaluation.outcome_feedback import FittedWithCorrection, OutcomeFeedbackScorer
from training.features.item_table import ItemTable
from training.models.base import Fitted, FittedOverTime
from training.models.baselines.model import FittedBaseline
from training.serving.baselines.neighbours import CustomerNeighbourhood, VectorCache
from training.serving.baselines.scorer import BaselineScorer
from training.serving.scorer import Prediction, Scorer


class EvaluationScorer(Protocol):
    """What an evaluation asks for predictions.

    It is a ``Scorer`` but for purity: predictions may depend on the updates and predictions made so far.
    """

    @property
    def name(self) -> str:
        """Name of the model."""
        ...

    @property
    def version(self) -> str:
        """Version of the bundle."""
        ...

    def predict(self, histories: Sequence[CustomerHistory], items: ItemTable, now: int, k: int) -> list[Prediction]:
        """Rank up to ``k`` items for each customer; see ``Scorer``."""
        ...


@runtime_checkable
class DailyUpdated(Protocol):
    """An ``EvaluationScorer`` that follows the log of an evaluation; ``evaluate`` updates it when a day begins."""

    def update(self, invoices: Sequence[Invoice], until: int) -> None:
        """Use what is dated before ``until``, and nothing else.

        Args:
            invoices: The log of the evaluation, sorted by date.
            until: Start of the day, seconds since 1970; never before that of an earlier update.
        """
        ...


def evaluation_scorer(fitted: Fitted, *, daily_updates: bool) -> EvaluationScorer:
    """The scorer of a fitted model for an evaluation.

    In either case a prediction dated before the model was fitted reads the global statistics of that date, as an
    emission often is: item-to-item weights fitted on the very basket that they are to predict score its items too high.

    Args:
        fitted: A model that was fitted on the invoices before the evaluation span.
        daily_updates: Whether what is cheap to fit follows the log, as if a trainer ran every day: the neighbours of
            ``tifu_knn`` and ``up_cf``, the global statistics of ``basket_lstm`` and ``lightgbm``, the correction of
            ``basket_lstm`` and the rate of its probabilities. Such a scorer is ``DailyUpdated``, for one evaluation.
            Otherwise the model stays as it was fitted.
    """
    if isinstance(fitted, FittedOverTime):
        if not daily_updates:
            return PointInTimeScorer(fitted)
        if isinstance(fitted, FittedWithCorrection):
            return OutcomeFeedbackScorer(fitted)
        return DailyStatisticsScorer(fitted)
    if daily_updates and isinstance(fitted, FittedBaseline):
        neighbourhood = fitted.scorer.fitted
        if isinstance(neighbourhood, CustomerNeighbourhood):
            return DailyNeighboursScorer(fitted.scorer, neighbourhood, fitted.window)
    return fitted.scorer


class PointInTimeScorer:
    """A model as it was fitted; an earlier prediction reads what was known at its date."""

    def __init__(self, fitted: FittedOverTime[Scorer]) -> None:
        self.name, self.version = fitted.scorer.name, fitted.scorer.version
        self._fitted = fitted.copy()  # since the statistics of a date depend on what the copy was asked for before

    def predict(self, histories: Sequence[CustomerHistory], items: ItemTable, now: int, k: int) -> list[Prediction]:
        """Rank up to ``k`` items for each customer; see ``EvaluationScorer``."""
        return self._fitted.scorer_at(min(now, self._fitted.until)).predict(histories, items, now, k)


class DailyStatisticsScorer:
    """A model whose global statistics follow the log."""

    def __init__(self, fitted: FittedOverTime[Scorer]) -> None:
        self.name, self.version = fitted.scorer.name, fitted.scorer.version
        self._fitted = fitted.copy()  # so that no other evaluation of the model sees what this one adds
        self._known_until = fitted.until

    def update(self, invoices: Sequence[Invoice], until: int) -> None:
        """Use the statistics of what is dated before ``until``; see ``DailyUpdated``."""
        self._fitted.extend(invoices, until)
        self._known_until = until

    def predict(self, histories: Sequence[CustomerHistory], items: ItemTable, now: int, k: int) -> list[Prediction]:
        """Rank up to ``k`` items for each customer; see ``EvaluationScorer``."""
        return self._fitted.scorer_at(min(now, self._known_until)).predict(histories, items, now, k)


class DailyNeighboursScorer:
    """``tifu_knn`` or ``up_cf`` with the vectors of all customers as of the start of the day."""

    def __init__(self, scorer: BaselineScorer, neighbourhood: CustomerNeighbourhood, window: int) -> None:
        """Start with the fitted model; ``window`` is the number of invoices that a history holds."""
        self.name, self.version = scorer.name, scorer.version
        self._scorer = scorer
        self._method = neighbourhood.method
        self._replay = StateReplay(window)
        self._vectors: VectorCache = {}
        self._position = 0

    def update(self, invoices: Sequence[Invoice], until: int) -> None:
        """Fit the vectors; only those of customers who bought since the last update are computed."""
        while self._position < len(invoices) and invoices[self._position].date < until:
            self._replay.apply(invoices[self._position])
            self._position += 1
        histories = self._replay.histories.values()
        self._scorer = BaselineScorer(
            self.name,
            self.version,
            calibration=self._scorer.calibration,
            return_time=self._scorer.return_time,
            fitted=CustomerNeighbourhood.fit(self._method, histories, self._replay.items, self._vectors),
        )

    def predict(self, histories: Sequence[CustomerHistory], items: ItemTable, now: int, k: int) -> list[Prediction]:
        """Rank up to ``k`` items for each customer; see ``EvaluationScorer``."""
        return self._scorer.predict(histories, items, now, k)
