"""The scorer of ``basket_lstm`` as it is judged: at every moment it knows what was known then, and nothing else."""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any, NamedTuple

from msgspec.structs import replace

from state.history import CustomerHistory
from state.invoice import Invoice
from training.data.walk import is_purchase
from training.features.item_table import ItemTable
from training.features.knowledge import Knowledge
from training.models.basket_lstm.examples import Staleness
from training.serving.basket_scorer import BasketScorer
from training.serving.scorer import Prediction

DEPTH = 20
"""The first items of each list tell what probabilities are worth, as in the calibration."""
PRIOR = 100.0
"""Rates of what came are shrunk to 1 as if so many purchases had been expected and had come."""


class _Rate:
    """How often what was promised came: purchases that came over purchases expected."""

    def __init__(self) -> None:
        self.expected = self.came = PRIOR


class _Promised(NamedTuple):
    """A list whose outcome is not known yet: made when, at the visit or the emission, of what."""

    now: int
    visit: bool
    codes: list[str]
    expected: float


class PrequentialScorer(BasketScorer):
    """The scorer as it is judged: at a moment before the end of the data it knows only what was known then.

    An emission that is judged was often made long before the weights were fitted. Item-to-item weights fitted on the
    very baskets they then read say too much of them, which neither training nor service ever sees.

    With ``refit`` it stands for a shop whose trainer runs every day, but for the network itself, which stays as it is:
    item-to-item weights are at most ``REFIT_DAYS`` old, and probabilities follow the rate at which those promised
    before came true, visits and emissions apart.
    """

    def __init__(self, version: str, *, until: int, staleness: Staleness, **fitted: Any) -> None:
        super().__init__(version, **fitted)
        self._until = self._now = until
        self._staleness = staleness
        self._rates = {True: _Rate(), False: _Rate()}
        self._promised: dict[str, list[_Promised]] | None = None
        self._read = until

    def refit(self, invoices: Sequence[Invoice], until: int) -> None:
        """Take what is known before ``until`` into account; see ``training.evaluation.prequential.Refits``."""
        self._staleness.follow(invoices, until)
        if self._promised is None:
            self._promised = {}
        self._now = max(until, self._until)
        position = bisect_left(invoices, self._read, key=lambda invoice: invoice.date)
        while position < len(invoices) and invoices[position].date < until:
            self._compare(invoices[position], self._promised)
            position += 1
        self._read = max(until, self._until)

    def knowledge_at(self, now: int) -> Knowledge:
        """The knowledge fitted at or before ``now``, as in training."""
        if now >= self._until and self._now == self._until:
            return self.knowledge
        return self._staleness.at(min(now, self._now))

    def predict(self, histories: Sequence[CustomerHistory], items: ItemTable, now: int, k: int) -> list[Prediction]:
        """Rank up to ``k`` items for each customer; see ``Scorer``."""
        found = super().predict(histories, items, now, k)
        if self._promised is None:
            return found
        for number, (history, prediction) in enumerate(zip(histories, found, strict=True)):
            first = prediction.candidates[:DEPTH]
            visit = bool(history.invoices) and history.invoices[-1].date < now
            expected = sum(each.probability for each in first)
            promised = _Promised(now, visit, [each.stock_code for each in first], expected)
            self._promised.setdefault(history.customer_id, []).append(promised)
            rate = self._rates[visit].came / self._rates[visit].expected
            candidates = [
                replace(each, probability=min(rate * each.probability, 1.0)) for each in prediction.candidates
            ]
            found[number] = replace(prediction, candidates=candidates)
        return found

    def _compare(self, invoice: Invoice, promised: dict[str, list[_Promised]]) -> None:
        """What an invoice makes of the lists that were made for its customer before it."""
        customer = invoice.customer_id
        if customer is None or customer not in promised or not is_purchase(invoice):
            return
        bought = {line.stock_code for line in invoice.lines if line.quantity > 0}
        still = []
        for each in promised[customer]:
            if each.now < invoice.date or (each.visit and each.now == invoice.date):
                rate = self._rates[each.visit]
                rate.expected += each.expected
                rate.came += sum(code in bought for code in each.codes)
            else:  # made right after this invoice
                still.append(each)
        promised[customer] = still
