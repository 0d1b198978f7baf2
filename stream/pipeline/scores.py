"""Scores: how the recommendation that stood before an invoice fared with it (docs/reference/events.md).

A score is a figure of the moment of emission: the recommendation was made right after the customer's previous invoice.
"""

import math
from collections.abc import Collection, Sequence
from typing import Any

import msgspec

from state.domain.history import HeldInvoice
from state.store.protocol import CustomerUpdate, PriorRecommendation

AT = 10
"""The length at which scores are taken."""


class Score(msgspec.Struct, frozen=True):
    """One recommendation against one purchase invoice, as far as its lines have come.

    ``items`` are the distinct stock codes bought; the rates are 0 to 1. A later score of the same ``rec_id`` and
    ``invoice_no`` replaces this one: more lines of the invoice have come.
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
    schema = msgspec.json.schema(Score)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Score, version 1", **schema}


def scores(touched: CustomerUpdate, *, scored_at: str) -> list[Score]:
    """The scores of the customer's invoices that a recommendation stands against.

    What was bought counts, returned later or not.
    """
    found = (_score(touched, standing, scored_at) for standing in touched.priors)
    return [score for score in found if score is not None]


def _score(touched: CustomerUpdate, standing: PriorRecommendation, scored_at: str) -> Score | None:
    bought = _bought(touched.history.invoices, standing.invoice_no)
    if not bought:
        return None
    ranked = standing.stock_codes[:AT]
    hits = [code in bought for code in ranked]
    return Score(
        rec_id=standing.rec_id,
        customer_id=touched.history.customer_id,
        revision=touched.revision,
        model=standing.model,
        invoice_no=standing.invoice_no,
        items=len(bought),
        hit_at_1=int(bool(hits) and hits[0]),
        hit_at_10=int(any(hits)),
        recall_at_10=round(sum(hits) / len(bought), 6),
        ndcg_at_10=round(ndcg(ranked, bought), 6),
        scored_at=scored_at,
    )


def ndcg(ranked: Sequence[str], bought: Collection[str]) -> float:
    """Normalised discounted cumulative gain at 10 with binary gains.

    Σ over hits at rank r (from 1) of 1 / log2(r + 1), divided by the same sum for min(10, |bought|) hits at the top.
    """
    gain = sum(1 / math.log2(place + 2) for place, code in enumerate(ranked[:AT]) if code in bought)
    ideal = sum(1 / math.log2(place + 2) for place in range(min(AT, len(bought))))
    return gain / ideal if ideal else 0.0


def _bought(invoices: Sequence[HeldInvoice], invoice_no: str) -> frozenset[str]:
    for invoice in invoices:
        if invoice.invoice_no == invoice_no:
            return invoice.purchased_codes
    return frozenset()
