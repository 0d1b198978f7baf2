"""Insight: everything that is known of one customer at a moment, and what a visit then would be offered."""

import msgspec

from state.domain.history import canonical_json
from state.domain.recommendation import Item, Model, NextPurchase, Recommendation, Trigger
from state.events.attributes import Attributes
from state.events.dates import to_iso
from state.settings import Settings
from state.store.protocol import CustomerUpdate, Store
from stream.pipeline.recommendations import Moment, recommend
from training.features.item_table import ItemTable
from training.serving.scorer import Scorer


class Visit(msgspec.Struct, frozen=True):
    """What the customer would be offered at ``at``, with the demand and the days gone by as of then."""

    at: str
    model: Model
    next_purchase: NextPurchase
    items: list[Item]


class CustomerReport(msgspec.Struct, frozen=True):
    """One customer: history in its canonical form, attributes, the answer last sent, and the one for a visit now."""

    customer_id: str
    history: msgspec.Raw
    attributes: Attributes
    sent: Recommendation | None
    visit: Visit | None


def build_report(
    customer_id: str, store: Store, scorer: Scorer, settings: Settings, at: int | None = None
) -> CustomerReport | None:
    """What is known of a customer, None of a stranger. ``at``: seconds since 1970, the newest event's unless given.

    Raises:
        StoreUnavailable: The store does not answer.
    """
    history = store.history(customer_id)
    if history is None:
        return None
    now = at if at is not None else store.now() or 0
    items = ItemTable(store.items().states.values())
    moment = Moment(
        now=now,
        generated_at=to_iso(now),
        model=Model(scorer.name, scorer.version),
        items=items,
        demand=items.demand(now),
        valid_days=settings.valid_days,
        most=settings.top_k,
    )
    prediction = scorer.predict([history], items, now, settings.top_k)[0]
    asked = CustomerUpdate(history=history, revision=0, published=0, changed=False, last=None, priors=[])
    answer = recommend(asked, prediction, Trigger(), moment)
    empty = msgspec.json.encode({"customer_id": customer_id, "baskets": []})
    return CustomerReport(
        customer_id=customer_id,
        history=msgspec.Raw(canonical_json(history) or empty),
        attributes=history.attributes,
        sent=store.recommendation(customer_id),
        visit=None if answer is None else Visit(to_iso(now), answer.model, answer.next_purchase, answer.items),
    )
