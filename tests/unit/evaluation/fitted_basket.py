"""A fitted ``basket_lstm`` without training: a random network on the statistics of a small shop."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Self

from state.events.invoice import Invoice
from tests.unit.serving.test_basket_scorer import arrays
from tests.unit.serving.test_return_curve import arrays as return_arrays
from training.features.basket_lstm.retrieval import Retrieval
from training.features.basket_lstm.view import CANDIDATE_INPUTS
from training.models.candidate_views.statistics_history import StatisticsHistory
from training.serving.basket_lstm.calibration import BasketCalibration
from training.serving.basket_lstm.correction import Correction
from training.serving.basket_lstm.network import NumpyNetwork
from training.serving.basket_lstm.scorer import BasketScorer, input_sizes
from training.serving.return_time.network import NumpyReturnNetwork


class FittedBasket:
    """A ``FittedWithCorrection`` whose correction is empty; it records the dates that scorers are asked for."""

    def __init__(self, log: Sequence[Invoice], until: int, *, rate_scale: float = 1.0) -> None:
        self.until = until
        self.correction_rate_scale = rate_scale
        self.statistics_history = StatisticsHistory(log, until)
        self.scorer = BasketScorer(
            "unpublished",
            network=NumpyNetwork(arrays(), input_sizes()),
            correction=Correction(len(CANDIDATE_INPUTS)),
            statistics=self.statistics_history.at(until),
            calibration=BasketCalibration(-0.3, 0.9, 0.8),
            return_time=NumpyReturnNetwork(return_arrays()),
            retrieval=Retrieval(),
        )
        self.dates: list[int] = []
        """The dates that scorers were asked for, of this model and its copies."""

    def scorer_at(self, date: int) -> BasketScorer:
        self.dates.append(date)
        return replace(self.scorer, statistics=self.statistics_history.at(date))

    def copy(self) -> Self:
        found = copy.copy(self)
        found.statistics_history = self.statistics_history.copy()
        return found

    def extend(self, invoices: Sequence[Invoice], until: int) -> None:
        self.statistics_history.extend(invoices, until)
