"""The baseline beside the worker: GP-TopFreq at the same moments, on the same invoices."""

from collections.abc import Iterable

from state.events.invoice import Invoice
from training.data.walk import StateReplay
from training.serving.scorer import Scorer

AT = 10


class BaselineRanker:
    """Ranks a customer right after each of the customer's invoices, as the worker does, with another scorer.

    It keeps histories and demand of its own (``StateReplay``), so that nothing the worker does can help or hinder it.
    """

    def __init__(self, scorer: Scorer, window: int) -> None:
        self._scorer = scorer
        self._replay = StateReplay(window)
        self._standing: dict[str, list[str]] = {}

    def learn(self, invoices: Iterable[Invoice]) -> None:
        """Take the past in."""
        for invoice in invoices:
            self._replay.apply(invoice)

    def rank(self, customers: Iterable[str]) -> None:
        """Rank for these customers as of now; strangers have no ranking yet."""
        now = self._replay.now
        known = [self._replay.histories[customer] for customer in customers if customer in self._replay.histories]
        if now is None or not known:
            return
        for history, prediction in zip(known, self._scorer.predict(known, self._replay.items, now, AT), strict=True):
            self._standing[history.customer_id] = [candidate.stock_code for candidate in prediction.candidates]

    def meet(self, invoice: Invoice) -> tuple[float, float] | None:
        """Score the ranking that stood against an invoice, take the invoice in and rank anew.

        Returns:
            hit@10 (0 or 1) and recall@10, or None for a stranger and for an invoice that bought nothing.
        """
        bought = invoice.purchased_codes
        standing = self._standing.get(invoice.customer_id or "")
        self._replay.apply(invoice)
        if invoice.customer_id is not None:
            self.rank([invoice.customer_id])
        if standing is None or not bought:
            return None
        hits = sum(code in bought for code in standing[:AT])
        return float(hits > 0), hits / len(bought)
