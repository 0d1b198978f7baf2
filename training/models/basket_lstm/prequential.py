"""The scorer of ``basket_lstm`` as it is judged: at every moment it knows what was known then, and nothing else."""

import dataclasses
from bisect import bisect_left
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from msgspec.structs import replace

from state.domain.history import CustomerHistory, baskets
from state.events.invoice import Invoice
from training.features.basket_lstm.global_statistics import GlobalStatistics
from training.features.basket_lstm.view import CANDIDATE_INPUTS
from training.features.item_table import ItemTable
from training.models.candidate_views.statistics_history import StatisticsHistory
from training.serving.basket_lstm.calibration import BasketCalibration
from training.serving.basket_lstm.correction import CandidateLogits, OnlineCorrection
from training.serving.basket_lstm.network import NumpyNetwork
from training.serving.basket_lstm.scorer import (
    CUSTOMERS_PER_BATCH,
    NAME,
    BasketScorer,
    candidate_codes,
    score_candidates,
)
from training.serving.scorer import Prediction

DEPTH = 20
"""The first items of each list tell what probabilities are worth, as in the calibration."""
PRIOR = 100.0
"""Rates of what came are shrunk to 1 as if so many purchases had been expected and had come."""
KEPT = 0.998
"""What is left of a rate after the next outcome of its moment: half of it after 350."""


class Rate:
    """How often what was promised came of late: purchases that came over purchases expected."""

    def __init__(self) -> None:
        self._expected = self._came = 0.0

    def learn(self, expected: float, came: int) -> None:
        """Take an outcome in."""
        self._expected = KEPT * self._expected + expected
        self._came = KEPT * self._came + came

    @property
    def value(self) -> float:
        """1 where as many came as were expected."""
        return (PRIOR + self._came) / (PRIOR + self._expected)


class _Promised(NamedTuple):
    """A list whose outcome is not known yet: made when, of what, and how many of its first were expected to come.

    ``said``: what the network said of the candidates; None where there is nothing to learn from it: the customer has
    nothing left to go by, or nothing is to be corrected.
    """

    now: int
    visit: bool
    codes: list[str]
    expected: float
    said: CandidateLogits | None


class PrequentialScorer:
    """The scorer as it is judged: at a moment before the end of the data it knows only what was known then.

    An emission that is judged was often made long before the weights were fitted. Item-to-item weights fitted on the
    very baskets they then read say too much of them, which neither training nor service ever sees.

    With ``refit`` it stands for a shop whose trainer runs every day, but for the network itself, which stays as it is:
    item-to-item weights are at most ``REFIT_DAYS`` old, the correction learns from what came, and probabilities follow
    the rate at which those promised before came true, visits and emissions apart.
    """

    name = NAME

    def __init__(self, version: str, *, until: int, statistics_history: StatisticsHistory, **fitted: Any) -> None:
        """Take over what was fitted; see ``BasketScorer``."""
        self.version = version
        self.served = BasketScorer(version, **fitted)
        self._until = self._now = until
        self._statistics_history = statistics_history
        self._rates = {True: Rate(), False: Rate()}
        self._promised: dict[str, list[_Promised]] | None = None
        self._read = until

    @property
    def network(self) -> NumpyNetwork:
        """That of the served scorer."""
        return self.served.network

    @property
    def statistics(self) -> GlobalStatistics:
        """Those of the served scorer."""
        return self.served.statistics

    @property
    def correction(self) -> OnlineCorrection:
        """That of the served scorer, with all updates so far."""
        return self.served.correction

    @property
    def calibration(self) -> BasketCalibration:
        """That of the served scorer."""
        return self.served.calibration

    def save(self, folder: Path) -> None:
        """Write the bundle of the served scorer."""
        self.served.save(folder)

    def refit(self, invoices: Sequence[Invoice], until: int) -> None:
        """Take what is known before ``until`` into account; see ``training.evaluation.prequential.Refits``."""
        self._statistics_history.extend(invoices, until)
        if self._promised is None:
            self._promised = {}
        self._now = max(until, self._until)
        position = bisect_left(invoices, self._read, key=lambda invoice: invoice.date)
        while position < len(invoices) and invoices[position].date < until:
            self._compare(invoices[position], self._promised)
            position += 1
        self._read = max(until, self._until)

    def knowledge_at(self, now: int) -> GlobalStatistics:
        """The knowledge fitted at or before ``now``, as in training."""
        if now >= self._until and self._now == self._until:
            return self.statistics
        return self._statistics_history.at(min(now, self._now))

    def predict(self, histories: Sequence[CustomerHistory], items: ItemTable, now: int, k: int) -> list[Prediction]:
        """Rank up to ``k`` items for each customer; see ``Scorer``."""
        scorer = dataclasses.replace(
            self.served,
            statistics=self.knowledge_at(now),
            # Before the weights were fitted there was nothing to correct.
            correction=self.correction if now >= self._until else OnlineCorrection(len(CANDIDATE_INPUTS)),
        )
        found: list[Prediction] = []
        for start in range(0, len(histories), CUSTOMERS_PER_BATCH):
            batch = histories[start : start + CUSTOMERS_PER_BATCH]
            view = scorer.view(batch, items, now)
            candidates = score_candidates(view, candidate_codes(view, items), scorer.network)
            predictions = scorer.predictions(view, candidates, batch, items, now, k)
            if self._promised is not None:
                promise = partial(self._promise, self._promised, now)
                predictions = list(map(promise, batch, candidates, predictions))
            found.extend(predictions)
        return found

    def _promise(
        self,
        promised: dict[str, list[_Promised]],
        now: int,
        history: CustomerHistory,
        candidates: CandidateLogits,
        prediction: Prediction,
    ) -> Prediction:
        """Remember a list until its outcome is known; its probabilities follow the rate of those before it."""
        first = prediction.candidates[:DEPTH]
        visit = bool(history.invoices) and history.invoices[-1].date < now
        expected = sum(each.probability for each in first)
        # Half the digits are enough to learn from, and thousands of emissions wait for their outcome.
        learns = self.correction.rate_scale > 0 and baskets(history)
        kept = candidates._replace(inputs=candidates.inputs.astype(np.float16)) if learns else None
        promised.setdefault(history.customer_id, []).append(
            _Promised(now, visit, [each.stock_code for each in first], expected, kept)
        )
        rate = self._rates[visit].value
        listed = [replace(each, probability=min(rate * each.probability, 1.0)) for each in prediction.candidates]
        return replace(prediction, candidates=listed)

    def _compare(self, invoice: Invoice, promised: dict[str, list[_Promised]]) -> None:
        """What an invoice makes of the lists that were made for its customer before it."""
        customer = invoice.customer_id
        if customer is None or customer not in promised or not invoice.is_purchase:
            return
        bought = invoice.purchased_codes
        still = []
        for each in promised[customer]:
            if each.now < invoice.date or (each.visit and each.now == invoice.date):
                self._rates[each.visit].learn(each.expected, sum(code in bought for code in each.codes))
                if each.said is not None:
                    came = np.fromiter((code in bought for code in each.said.codes), np.bool_, len(each.said.codes))
                    correction, _ = self.correction.updated(each.said, came)
                    self.served = dataclasses.replace(self.served, correction=correction)
            else:  # made right after this invoice
                still.append(each)
        promised[customer] = still
