"""The demo's baseline: GP-TopFreq, ranked after the same invoices as the worker and scored on the same ones."""

from collections.abc import Iterable

from state.domain.ranking_metrics import hit_at, recall_at
from state.events.invoice import Invoice
from training.data.walk import StateReplay
from training.serving.scorer import Scorer

TOP_K = 10


class BaselineRanker:
    """Ranks items for a customer right after each of their invoices, as the worker does, with another scorer.

    It has its own histories and item demand, apart from the worker's store.
    """

    def __init__(self, scorer: Scorer, window: int) -> None:
        self._scorer = scorer
        self._replay = StateReplay(window)
        self._rankings: dict[str, list[str]] = {}

    def apply(self, invoices: Iterable[Invoice]) -> None:
        """Add invoices to the histories without ranking."""
        for invoice in invoices:
            self._replay.apply(invoice)

    def rank(self, customers: Iterable[str]) -> None:
        """Rank items for these customers as of the newest invoice; customers without a history are left out."""
        now = self._replay.now
        histories = [self._replay.histories[customer] for customer in customers if customer in self._replay.histories]
        if now is None or not histories:
            return
        predictions = self._scorer.predict(histories, self._replay.items, now, TOP_K)
        for history, prediction in zip(histories, predictions, strict=True):
            self._rankings[history.customer_id] = [candidate.stock_code for candidate in prediction.candidates]

    def score_and_apply(self, invoice: Invoice) -> tuple[float, float] | None:
        """Score the customer's last ranking on an invoice, then add the invoice and rank anew.

        Returns:
            hit@10 (0 or 1) and recall@10, or None for a customer without a ranking and an invoice without purchases.
        """
        bought = invoice.purchased_codes
        ranking = self._rankings.get(invoice.customer_id or "")
        self._replay.apply(invoice)
        if invoice.customer_id is not None:
            self.rank([invoice.customer_id])
        if ranking is None or not bought:
            return None
        return hit_at(ranking, bought, TOP_K), recall_at(ranking, bought, TOP_K)
