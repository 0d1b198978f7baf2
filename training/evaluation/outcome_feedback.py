"""``basket_lstm`` in an evaluation: each outcome updates the correction and the rates of the probabilities.

It stands for a shop whose trainer runs every day, but for the network, which stays as it was fitted. Global statistics
are at most ``REFIT_DAYS`` old, the correction takes a step for every list whose outcome is known, and probabilities are
multiplied by the rate at which earlier lists came true, visits and emissions apart.
"""

import dataclasses
from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import msgspec
import numpy as np

from state.domain.history import CustomerHistory, baskets
from state.events.invoice import Invoice
from training.features.item_table import ItemTable
from training.models.base import FittedOverTime
from training.models.online_correction import update
from training.serving.basket_lstm.correction import CandidateLogits
from training.serving.basket_lstm.scorer import CUSTOMERS_PER_BATCH, BasketScorer, candidate_codes, score_candidates
from training.serving.scorer import CALIBRATION_DEPTH, Prediction

PRIOR = 100.0
"""Rates are shrunk to 1 as if so many purchases had been expected and made before the first outcome."""
DECAY = 0.998
"""Weight that is left of earlier outcomes after each new one of the same kind: half of it after 350."""


class PurchaseRate:
    """Purchases made over purchases expected, the newest outcomes above all."""

    def __init__(self) -> None:
        self._expected = self._made = 0.0

    def update(self, expected: float, made: int) -> None:
        """Add an outcome: the sum of a list's probabilities, and how many of its items were bought."""
        self._expected = DECAY * self._expected + expected
        self._made = DECAY * self._made + made

    @property
    def value(self) -> float:
        """1 where as many purchases were made as expected."""
        return (PRIOR + self._made) / (PRIOR + self._expected)


class PendingList(NamedTuple):
    """A list whose outcome is not known yet.

    Attributes:
        now: When it was made, seconds since 1970.
        visit: Whether at a visit, not at an emission.
        codes: The first ``CALIBRATION_DEPTH`` stock codes.
        expected: Sum of their probabilities.
        candidates: What the network computed; None where the correction is not updated: for a customer without
            baskets, and where the correction has a learning rate of 0.
    """

    now: int
    visit: bool
    codes: list[str]
    expected: float
    candidates: CandidateLogits | None


@runtime_checkable
class FittedWithCorrection(FittedOverTime[BasketScorer], Protocol):
    """A fitted ``basket_lstm``."""

    @property
    def correction_rate_scale(self) -> float:
        """Scale of the learning rates of the correction; at 0 outcomes do not update it."""
        ...


class OutcomeFeedbackScorer:
    """``basket_lstm`` with statistics, correction and rates that follow the log; for one evaluation."""

    def __init__(self, fitted: FittedWithCorrection) -> None:
        """Start with the model as it was fitted."""
        self.name, self.version = fitted.scorer.name, fitted.scorer.version
        self.correction = fitted.scorer.correction
        self._fitted = fitted.copy()  # so that no other evaluation of the model sees what this one adds
        self._known_until = self._read_until = fitted.until
        self._rates = {True: PurchaseRate(), False: PurchaseRate()}  # by whether the list was made at a visit
        self._pending: dict[str, list[PendingList]] = {}

    def update(self, invoices: Sequence[Invoice], until: int) -> None:
        """Learn from the outcomes before ``until``, and use the statistics of that date; see ``DailyUpdated``."""
        self._fitted.extend(invoices, until)
        position = bisect_left(invoices, self._read_until, key=lambda invoice: invoice.date)
        while position < len(invoices) and invoices[position].date < until:
            self._learn(invoices[position])
            position += 1
        self._known_until = self._read_until = max(until, self._fitted.until)

    def predict(self, histories: Sequence[CustomerHistory], items: ItemTable, now: int, k: int) -> list[Prediction]:
        """Rank up to ``k`` items for each customer, and await the outcome; see ``EvaluationScorer``."""
        scorer = self._fitted.scorer_at(min(now, self._known_until))
        if now >= self._fitted.until:
            scorer = dataclasses.replace(scorer, correction=self.correction)
        predictions: list[Prediction] = []
        for start in range(0, len(histories), CUSTOMERS_PER_BATCH):
            batch = histories[start : start + CUSTOMERS_PER_BATCH]
            view = scorer.view(batch, items, now)
            candidates = score_candidates(view, candidate_codes(view, items), scorer.network)
            ranked = scorer.predictions(view, candidates, batch, items, now, k)
            predictions += [self._await(*each, now) for each in zip(batch, candidates, ranked, strict=True)]
        return predictions

    def _await(
        self, history: CustomerHistory, candidates: CandidateLogits, prediction: Prediction, now: int
    ) -> Prediction:
        """Remember a list until its outcome is known; returns it with probabilities at the rate of earlier lists."""
        top = prediction.candidates[:CALIBRATION_DEPTH]
        visit = bool(history.invoices) and history.invoices[-1].date < now
        expected = sum(candidate.probability for candidate in top)
        updates_correction = self._fitted.correction_rate_scale > 0 and bool(baskets(history))
        # Half the digits are enough for an update, and thousands of emissions wait for their outcome.
        inputs = candidates._replace(inputs=candidates.inputs.astype(np.float16)) if updates_correction else None
        pending = PendingList(now, visit, [candidate.stock_code for candidate in top], expected, inputs)
        self._pending.setdefault(history.customer_id, []).append(pending)
        rate = self._rates[visit].value
        return msgspec.structs.replace(
            prediction,
            candidates=[
                msgspec.structs.replace(candidate, probability=min(rate * candidate.probability, 1.0))
                for candidate in prediction.candidates
            ],
        )

    def _learn(self, invoice: Invoice) -> None:
        """Update with the lists that were made for the customer before an invoice."""
        customer = invoice.customer_id
        if customer is None or customer not in self._pending or not invoice.is_purchase:
            return
        bought = invoice.purchased_codes
        still_pending = []
        for each in self._pending[customer]:
            if not (each.now < invoice.date or (each.visit and each.now == invoice.date)):
                still_pending.append(each)  # made right after this invoice
                continue
            self._rates[each.visit].update(each.expected, sum(code in bought for code in each.codes))
            if each.candidates is not None:
                codes = each.candidates.codes
                was_bought = np.fromiter((code in bought for code in codes), np.bool_, len(codes))
                self.correction, _ = update(
                    self.correction, each.candidates, was_bought, self._fitted.correction_rate_scale
                )
        self._pending[customer] = still_pending
