"""Scores: the last recommendation before an invoice, compared with what was bought (docs/reference/events.md).

The recommendation was made right after the customer's previous invoice, so a score is an evaluation at emission.
"""

from typing import Any

import msgspec

from state.domain.ranking_metrics import hit_at, ndcg_at, recall_at
from state.events.struct_schema import struct_schema
from state.store.protocol import CustomerUpdate, PriorRecommendation


class Score(msgspec.Struct, frozen=True):
    """One recommendation compared with one purchase invoice, as far as the lines of the invoice have arrived.

    ``items`` is the number of distinct stock codes bought; recall and NDCG are 0 to 1. A later score with the same
    ``rec_id`` and ``invoice_no`` replaces this one: more lines of the invoice have arrived.
    """

    rec_id: str
    customer_id: str
    revision: int
    model: str
    invoice_no: str
    items: int
    hit_at_1: int
    hit_at_10: int
    recall_at_10: float
    ndcg_at_10: float
    scored_at: str


def score_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a score, for subscribers to validate against."""
    return struct_schema(Score, "Score, version 1")


def scores(update: CustomerUpdate, *, scored_at: str) -> list[Score]:
    """One score for each invoice of the update that has a prior recommendation.

    Everything bought counts, also what was returned later.
    """
    found = (_score(update, prior, scored_at) for prior in update.priors)
    return [score for score in found if score is not None]


def _score(update: CustomerUpdate, prior: PriorRecommendation, scored_at: str) -> Score | None:
    invoices = update.history.invoices
    invoice = next((invoice for invoice in invoices if invoice.invoice_no == prior.invoice_no), None)
    if invoice is None or not (bought := invoice.purchased_codes):
        return None
    ranking = prior.stock_codes
    return Score(
        rec_id=prior.rec_id,
        customer_id=update.history.customer_id,
        revision=update.revision,
        model=prior.model,
        invoice_no=prior.invoice_no,
        items=len(bought),
        hit_at_1=int(hit_at(ranking, bought, 1)),
        hit_at_10=int(hit_at(ranking, bought, 10)),
        recall_at_10=round(recall_at(ranking, bought, 10), 6),
        ndcg_at_10=round(ndcg_at(ranking, bought, 10), 6),
        scored_at=scored_at,
    )
