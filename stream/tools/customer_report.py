"""A report on one customer: everything the state has, and the recommendation for a visit."""

import msgspec

from state.domain.history import CustomerHistory, canonical_json
from state.domain.recommendation import AppliedRules, Item, ModelVersion, NextPurchase, Recommendation, Trigger
from state.domain.rules import Merchandising
from state.domain.selection import DEPTH, Absence
from state.events.attributes import Attributes
from state.events.dates import to_iso
from state.settings import Settings
from state.store.protocol import CustomerUpdate, Store
from stream.pipeline.recommendations import BatchContext, recommend
from stream.pipeline.selector import Selector, needs_further, ranking_depth, selector_for
from training.features.item_table import ItemTable
from training.serving.scorer import Scorer, predict


class Visit(msgspec.Struct, frozen=True, omit_defaults=True):
    """The recommendation for a visit at ``at``, with the item demand and the days since each purchase as of then.

    ``rules``: what acted on the list, None where nothing did.
    """

    at: str
    model: ModelVersion
    next_purchase: NextPurchase
    items: list[Item]
    rules: AppliedRules | None = None


class WhyNot(msgspec.Struct, frozen=True):
    """Why an item is not in the list for a visit.

    ``absence`` has the verdict, ``length`` is that of the list. ``sold``: whether the item was ever sold.
    ``in_catalogue``: whether the catalogue has it.
    """

    stock_code: str
    absence: Absence
    length: int
    sold: bool
    in_catalogue: bool


class CustomerReport(msgspec.Struct, frozen=True, omit_defaults=True):
    """One customer: history in its canonical form, attributes, the recommendation last sent, and that for a visit.

    ``visit`` is None where nothing was ever sold, or no item is allowed. ``why_not`` explains one item.
    """

    customer_id: str
    history: msgspec.Raw
    attributes: Attributes
    sent: Recommendation | None
    visit: Visit | None
    why_not: WhyNot | None = None


def build_customer_report(
    customer_id: str,
    store: Store,
    scorer: Scorer,
    settings: Settings,
    at: int | None = None,
    *,
    clock: int | None = None,
    merchandising: Merchandising | None = None,
    why_not: str | None = None,
    items: ItemTable | None = None,
) -> CustomerReport | None:
    """Build the report on a customer.

    Args:
        customer_id: The customer.
        store: Histories, items and recommendations.
        scorer: The model for the visit.
        settings: How many items are recommended, and for how long a recommendation is valid.
        at: Date of the visit in seconds since 1970; by default that of the newest event.
        clock: The clock, where the visit is now; it decides which rules are in force.
        merchandising: The catalogue and the rules, None where there are none.
        why_not: A stock code to explain.
        items: All items, where they were read already.

    Returns:
        The report, or None for an unknown customer.

    Raises:
        StoreUnavailable: The store does not answer.
    """
    history = store.history(customer_id)
    if history is None:
        (customer_id,) = store.current_ids([customer_id])
        history = store.history(customer_id)
    if history is None:
        return None
    now = at if at is not None else store.now() or 0
    if items is None:
        items = ItemTable(store.items().states.values())
    demand = items.decayed_demand(now)
    context = BatchContext(
        now=now,
        generated_at=to_iso(now),
        items=items,
        demand=demand,
        valid_days=settings.valid_days,
        top_k=settings.top_k,
        selector=selector_for(merchandising, now, items, demand, clock),
    )
    depth, further = ranking_depth(settings.top_k, merchandising), needs_further(merchandising)
    prediction = predict(scorer, [history], items, now, depth, further=further)[0]
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
        else Visit(
            to_iso(now),
            recommendation.model,
            recommendation.next_purchase,
            recommendation.items,
            recommendation.rules,
        ),
        why_not=None if why_not is None else _why_not(why_not, history, scorer, context, merchandising, clock),
    )


def _why_not(
    stock_code: str,
    history: CustomerHistory,
    scorer: Scorer,
    context: BatchContext,
    merchandising: Merchandising | None,
    clock: int | None,
) -> WhyNot:
    depth, further = max(DEPTH, context.top_k), needs_further(merchandising)
    (ranked,) = predict(scorer, [history], context.items, context.now, depth, further=further)
    merchandising = merchandising or Merchandising()
    selector = Selector(merchandising.at(context.now, clock), context.items, context.demand)
    return WhyNot(
        stock_code=stock_code,
        absence=selector.why_not(stock_code, ranked.candidates, history, context.top_k, further=ranked.further),
        length=context.top_k,
        sold=stock_code in context.items.rows,
        in_catalogue=stock_code in merchandising.catalogue,
    )
