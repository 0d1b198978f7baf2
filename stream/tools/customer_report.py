"""A report on one customer: everything the state has, and the recommendation for a visit."""

import msgspec

from state.domain.history import canonical_json
from state.domain.recommendation import Item, ModelVersion, NextPurchase, Recommendation, Trigger
from state.events.attributes import Attributes
from state.events.dates import to_iso
from state.settings import Settings
from state.store.protocol import CustomerUpdate, Store
from stream.pipeline.recommendations import BatchContext, recommend
from training.features.item_table import ItemTable
from training.serving.scorer import Scorer


class Visit(msgspec.Struct, frozen=True):
    """The recommendation for a visit at ``at``, with the item demand and the days since each purchase as of then."""

    at: str
    model: ModelVersion
    next_purchase: NextPurchase
    items: list[Item]


class CustomerReport(msgspec.Struct, frozen=True):
    """One customer: history in its canonical form, attributes, the recommendation last sent, and that for a visit.

    ``visit`` is None where nothing was ever sold.
    """

    customer_id: str
    history: msgspec.Raw
    attributes: Attributes
    sent: Recommendation | None
    visit: Visit | None


def build_customer_report(
    customer_id: str, store: Store, scorer: Scorer, settings: Settings, at: int | None = None
) -> CustomerReport | None:
    """Build the report on a customer.

    Args:
        customer_id: The customer.
        store: Histories, items and recommendations.
        scorer: The model for the visit.
        settings: How many items are recommended, and for how long a recommendation is valid.
        at: Date of the visit in seconds since 1970; by default that of the newest event.

    Returns:
        The report, or None for an unknown customer.

    Raises:
        StoreUnavailable: The store does not answer.
    """
    history = store.history(customer_id)
    if history is None:
        return None
    now = at if at is not None else store.now() or 0
    items = ItemTable(store.items().states.values())
    context = BatchContext(
        now=now,
        generated_at=to_iso(now),
        items=items,
        demand=items.demand(now),
        valid_days=settings.valid_days,
        top_k=settings.top_k,
    )
    prediction = scorer.predict([history], items, now, settings.top_k)[0]
    update = CustomerUpdate(history=history, revision=0, published=0, changed=False, last=None, priors=[])
    recommendation = recommend(update, prediction, ModelVersion(scorer.name, scorer.version), Trigger(), context)
    empty = msgspec.json.encode({"customer_id": customer_id, "baskets": []})
    return CustomerReport(
        customer_id=customer_id,
        history=msgspec.Raw(canonical_json(history) or empty),
        attributes=history.attributes,
        sent=store.recommendation(customer_id),
        visit=None
        if recommendation is None
        else Visit(to_iso(now), recommendation.model, recommendation.next_purchase, recommendation.items),
    )
