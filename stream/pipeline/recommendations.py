"""From a prediction to a recommendation: slots, reasons, due dates, and whether it differs from the last one."""

import hashlib
from collections.abc import Callable, Collection, Sequence, Set
from typing import NamedTuple

from state.domain.history import CustomerHistory
from state.domain.items import HALF_LIVES
from state.domain.recommendation import AppliedRules, Item, ModelVersion, NextPurchase, Reason, Recommendation, Trigger
from state.events.dates import DAY, LAST, to_iso
from state.store.protocol import CustomerUpdate
from stream.pipeline.selector import Selector
from training.features.invoice_columns import invoice_columns
from training.features.item_table import DecayedDemand, ItemTable
from training.serving.scorer import HORIZONS, Candidate, Prediction

REPLENISH = "replenish"
DISCOVER = "discover"

BOUGHT_REGULARLY = "bought_regularly"
BOUGHT_BEFORE = "bought_before"
BOUGHT_TOGETHER = "bought_together"
IN_DEMAND = "in_demand"

MIN_REGULAR_PURCHASES = 3
"""An item on at least so many invoices of the customer counts as bought regularly."""

DUE_CHANCES = (0.1, 0.5, 0.9)
"""``earliest``, ``median`` and ``latest`` are the dates at which the chance of a return reaches these values."""

WEEKLY = HALF_LIVES.index(7.0)
"""Index of the half-life of a week."""


class BatchContext(NamedTuple):
    """Values that are the same for all recommendations of one batch.

    ``now`` is event time in seconds since 1970, ``generated_at`` the clock. ``demand`` is that of ``items`` as of
    ``now``. ``selector`` applies the catalogue and the rules, None where there are none.
    """

    now: int
    generated_at: str
    items: ItemTable
    demand: DecayedDemand
    valid_days: int
    top_k: int
    selector: Selector | None = None


def recommend(
    update: CustomerUpdate,
    prediction: Prediction,
    model: ModelVersion,
    trigger: Trigger,
    context: BatchContext,
    exclude: Set[str] = frozenset(),
    wanted: Callable[[str], bool] | None = None,
    fill_from: Collection[str] | None = None,
) -> Recommendation | None:
    """The recommendation for one customer, without the stock codes in ``exclude`` and those that are not ``wanted``.

    ``fill_from``: the only stock codes that a list too short is filled from, where not all are.

    None where there is nothing to recommend, as no item was ever sold. Where the catalogue and the rules allow none, it
    has no items, so that it takes the place of a list that they did allow.
    """
    history = update.history
    candidates, rules = _listed(prediction, history, context, exclude, wanted, fill_from)
    if not candidates and rules is None:
        return None
    counts = purchase_counts(history, {candidate.stock_code for candidate in candidates})
    return Recommendation(
        rec_id=rec_id(history.customer_id, update.revision, model.version),
        customer_id=history.customer_id,
        revision=update.revision,
        generated_at=context.generated_at,
        valid_until=to_iso(min(LAST, context.now + context.valid_days * DAY)),
        trigger=trigger,
        model=model,
        next_purchase=next_purchase(prediction.return_curve, context.now),
        items=[_item(candidate, counts.get(candidate.stock_code), context) for candidate in candidates],
        rules=rules,
    )


def _listed(
    prediction: Prediction,
    history: CustomerHistory,
    context: BatchContext,
    exclude: Set[str],
    wanted: Callable[[str], bool] | None,
    fill_from: Collection[str] | None,
) -> tuple[Sequence[Candidate], AppliedRules | None]:
    if context.selector is None:
        candidates = prediction.candidates
        if exclude or wanted is not None:
            candidates = [
                each
                for each in candidates
                if each.stock_code not in exclude and (wanted is None or wanted(each.stock_code))
            ]
        return candidates[: context.top_k], None
    selection = context.selector.select(
        prediction.candidates, history, context.top_k, exclude, wanted, prediction.further, fill_from
    )
    version = context.selector.in_force.version
    return selection.items, AppliedRules(version, selection.acted) if selection.acted else None


def rec_id(customer_id: str, revision: int, version: str) -> str:
    """The id of a recommendation; a message that is sent twice has the same id."""
    return hashlib.blake2b(f"{customer_id}\0{revision}\0{version}".encode(), digest_size=12).hexdigest()


def purchase_counts(history: CustomerHistory, codes: set[str]) -> dict[str, tuple[int, int]]:
    """The number of invoices, and the date of the newest, for each of ``codes`` that was bought, returned or not."""
    found: dict[str, tuple[int, int]] = {}
    for invoice in history.invoices:
        for code in codes.intersection(invoice_columns(invoice).codes):
            times, _ = found.get(code, (0, 0))
            found[code] = (times + 1, invoice.date)  # invoices are ordered by date
    return found


def next_purchase(curve: Sequence[float], now: int) -> NextPurchase:
    """The chance of a return within each of ``HORIZONS`` days of ``now``, and the dates of ``DUE_CHANCES``.

    The chance is 0 at ``now`` and linear between horizons. A date is None where the curve does not reach its chance.
    """
    earliest, median, latest = (_date(days_until(curve, chance), now) for chance in DUE_CHANCES)
    chances = {str(days): round(float(chance), 4) for days, chance in zip(HORIZONS, curve, strict=True)}
    return NextPurchase(chances, earliest, median, latest)


def days_until(curve: Sequence[float], chance: float) -> float | None:
    """Days until the curve reaches a chance, None where it does not; linear from (0, 0) and between ``HORIZONS``."""
    left_days, left = 0.0, 0.0
    for days, value in zip(HORIZONS, curve, strict=True):
        if value >= chance:
            return left_days + (days - left_days) * (chance - left) / (value - left) if value > left else left_days
        left_days, left = float(days), value
    return None


def is_unchanged(new: Recommendation, last: Recommendation | None, now: int) -> bool:
    """Whether the last recommendation has the same items in the same order, due dates and model, and is still valid."""
    return (
        last is not None
        and [item.stock_code for item in last.items] == [item.stock_code for item in new.items]
        and (last.next_purchase.earliest, last.next_purchase.median, last.next_purchase.latest)
        == (new.next_purchase.earliest, new.next_purchase.median, new.next_purchase.latest)
        and last.model == new.model
        and last.valid_until > to_iso(now)
    )


def _item(candidate: Candidate, bought: tuple[int, int] | None, context: BatchContext) -> Item:
    code = candidate.stock_code
    return Item(
        stock_code=code,
        description=_description(code, context),
        probability=round(float(candidate.probability), 6),
        slot=REPLENISH if bought else DISCOVER,
        reason=_replenish_reason(*bought) if bought else _discovery_reason(candidate, context),
    )


def _description(stock_code: str, context: BatchContext) -> str | None:
    selector = context.selector
    return context.items.description(stock_code) if selector is None else selector.description(stock_code)


def _replenish_reason(purchases: int, last: int) -> Reason:
    code = BOUGHT_REGULARLY if purchases >= MIN_REGULAR_PURCHASES else BOUGHT_BEFORE
    return Reason(code, {"times": purchases, "last": to_iso(last)})


def _discovery_reason(candidate: Candidate, context: BatchContext) -> Reason:
    items = context.items
    if candidate.source_item is not None:
        evidence: dict[str, int | float | str] = {"with": candidate.source_item}
        if description := items.description(candidate.source_item):
            evidence["description"] = description
        return Reason(BOUGHT_TOGETHER, evidence)
    row = items.rows.get(candidate.stock_code)
    demand = 0.0 if row is None else context.demand.of(row)
    return Reason(IN_DEMAND, {"baskets": round(demand, 1), "half_life_days": int(HALF_LIVES[WEEKLY])})


def _date(days: float | None, now: int) -> str | None:
    return None if days is None else to_iso(min(LAST, now + int(days * DAY)))[:10]
