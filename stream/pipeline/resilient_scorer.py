"""Predictions that never fail: the whole batch, else customer by customer, else a fallback, else an empty list.

A model can fail for any reason on one customer's data. One customer without a recommendation is bad; a partition that
stops is worse.
"""

import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from state.domain.history import CustomerHistory
from state.domain.recommendation import ModelVersion
from stream.monitoring import Metrics
from training.features.item_table import ItemTable
from training.serving.scorer import Prediction, ReturnSurvival, Scorer, predict

logger = logging.getLogger(__name__)


class ModelPrediction(NamedTuple):
    """A prediction, and the model that made it."""

    prediction: Prediction
    model: ModelVersion


class ResilientScorer:
    """Wraps the current scorer and a fallback.

    Args:
        scorer: Returns the scorer that serves now; called once a batch.
        fallback: Predicts for the customers that the scorer fails for.
        metrics: Counts the customers that got a fallback prediction.
    """

    def __init__(self, scorer: Callable[[], Scorer], fallback: Scorer, metrics: Metrics) -> None:
        self._scorer = scorer
        self._fallback = fallback
        self._metrics = metrics

    def predict(
        self, histories: Sequence[CustomerHistory], items: ItemTable, now: int, k: int, *, further: bool = False
    ) -> list[ModelPrediction]:
        """One prediction of at most ``k`` items for each history, in their order; see ``Scorer.predict``.

        With ``further`` each has the further candidates of its model.
        """
        scorer = self._scorer()
        model = _model(scorer)
        try:
            with self._metrics.stage("predict"):
                predictions = predict(scorer, histories, items, now, k, further=further)
            return [ModelPrediction(prediction, model) for _, prediction in zip(histories, predictions, strict=True)]
        except Exception:
            logger.exception("%s %s failed for a batch; predicting customer by customer", model.name, model.version)
        return [self._predict_one(scorer, history, items, now, k, further) for history in histories]

    def return_survival(self, histories: Sequence[CustomerHistory]) -> tuple[NDArray[np.floating] | None, str]:
        """What ``ReturnSurvival`` gives for some histories, None where the model does not or fails; and its version."""
        scorer = self._scorer()
        if not histories or not isinstance(scorer, ReturnSurvival):
            return None, scorer.version
        try:
            return scorer.return_survival(histories), scorer.version
        except Exception:
            logger.exception("%s %s failed to predict the return of a batch", scorer.name, scorer.version)
            return None, scorer.version

    def _predict_one(
        self, scorer: Scorer, history: CustomerHistory, items: ItemTable, now: int, k: int, further: bool
    ) -> ModelPrediction:
        try:
            return ModelPrediction(predict(scorer, [history], items, now, k, further=further)[0], _model(scorer))
        except Exception:
            logger.exception("%s %s failed for customer %s", scorer.name, scorer.version, history.customer_id)
        self._metrics.fallback()
        try:
            prediction = predict(self._fallback, [history], items, now, k, further=further)[0]
        except Exception:
            logger.exception("The fallback failed for customer %s too", history.customer_id)
            prediction = Prediction([], ())
        return ModelPrediction(prediction, _model(self._fallback))


def _model(scorer: Scorer) -> ModelVersion:
    return ModelVersion(scorer.name, scorer.version)
