"""From a prediction to the recommendation that leaves: slots, reasons, due dates, and whether it says anything new."""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from state.domain.history import CustomerHistory
from state.domain.items import HALF_LIVES
from state.domain.recommendation import Item, Model, NextPurchase, Reason, Recommendation, Trigger
from state.events.dates import DAY, LAST, to_iso
from state.store.protocol import CustomerUpdate
from training.features.item_table import ItemTable
from training.serving.scorer import HORIZONS, Candidate, Prediction

REPLENISH = "replenish"
DISCOVER = "discover"

BOUGHT_REGULARLY = "bought_regularly"
BOUGHT_BEFORE = "bought_before"
BOUGHT_TOGETHER = "bought_together"
IN_DEMAND = "in_demand"

REGULARLY = 3
"""Invoices with an item from which it counts as bought regularly."""

DUE = (0.1, 0.5, 0.9)
"""The chances of a return whose dates are ``earliest``, ``median`` and ``latest``."""

WEEK = HALF_LIVES.index(7.0)


class Moment(NamedTuple):
    """What all recommendations of one batch share.

    ``now`` is event time, ``generated_at`` the clock. ``demand`` is that of ``items`` as of ``now``, float32
    ``[items, half-lives]``.
    """

    now: int
    generated_at: str
    model: Model
    items: ItemTable
    demand: NDArray[np.float32]
    valid_days: int
    most: int


def recommend(
    touched: CustomerUpdate, prediction: Prediction, trigger: Trigger, moment: Moment
) -> Recommendation | None:
    """The recommendation for one customer, or None where there is nothing to recommend (no item was ever sold)."""
    candidates = prediction.candidates[: moment.most]
    if not candidates:
        return None
    history = touched.history
    codes = {candidate.stock_code for candidate in candidates}
    bought = purchases(history, codes)
    return Recommendation(
        rec_id=rec_id(history.customer_id, touched.revision, moment.model.version),
        customer_id=history.customer_id,
        revision=touched.revision,
        generated_at=moment.generated_at,
        valid_until=to_iso(min(LAST, moment.now + moment.valid_days * DAY)),
        trigger=trigger,
        model=moment.model,
        next_purchase=next_purchase(prediction.return_curve, moment.now),
        items=[_item(candidate, bought.get(candidate.stock_code), moment) for candidate in candidates],
    )


def rec_id(customer_id: str, revision: int, version: str) -> str:
    """The identity of a recommendation: a message that is sent twice has the same."""
    return hashlib.blake2b(f"{customer_id}\0{revision}\0{version}".encode(), digest_size=12).hexdigest()


def purchases(history: CustomerHistory, codes: set[str]) -> dict[str, tuple[int, int]]:
    """How many invoices bought each of these items, and the date of the newest; returned later or not."""
    found: dict[str, tuple[int, int]] = {}
    for invoice in history.invoices:
        for code in invoice.purchased_codes & codes:
            times, last = found.get(code, (0, invoice.date))
            found[code] = (times + 1, max(last, invoice.date))
    return found


def next_purchase(curve: Sequence[float], now: int) -> NextPurchase:
    """Chances of a return within each of ``HORIZONS`` days of ``now``, and the dates where they pass 10, 50 and 90 %.

    Between horizons the chance rises in a straight line, from 0 at ``now``. A date is None where it never gets there.
    """
    earliest, median, latest = (_date(days_until(curve, chance), now) for chance in DUE)
    chances = {str(days): round(float(chance), 4) for days, chance in zip(HORIZONS, curve, strict=True)}
    return NextPurchase(chances, earliest, median, latest)


def days_until(curve: Sequence[float], chance: float) -> float | None:
    """Days until the curve, straight between ``HORIZONS`` and from (0, 0), reaches a chance; None: it never does."""
    before_days, before = 0.0, 0.0
    for days, value in zip(HORIZONS, curve, strict=True):
        if value >= chance:
            return (
                before_days + (days - before_days) * (chance - before) / (value - before)
                if value > before
                else before_days
            )
        before_days, before = float(days), value
    return None


def is_unchanged(new: Recommendation, last: Recommendation | None, now: int) -> bool:
    """Whether the last answer still stands: same items in the same order, same due dates, same model, still valid."""
    return (
        last is not None
        and [item.stock_code for item in last.items] == [item.stock_code for item in new.items]
        and (last.next_purchase.earliest, last.next_purchase.median, last.next_purchase.latest)
        == (new.next_purchase.earliest, new.next_purchase.median, new.next_purchase.latest)
        and last.model == new.model
        and last.valid_until > to_iso(now)
    )


def _item(candidate: Candidate, bought: tuple[int, int] | None, moment: Moment) -> Item:
    code = candidate.stock_code
    return Item(
        stock_code=code,
        description=moment.items.description(code),
        probability=round(float(candidate.probability), 6),
        slot=REPLENISH if bought else DISCOVER,
        reason=_bought(*bought) if bought else _new(candidate, moment),
    )


def _bought(times: int, last: int) -> Reason:
    return Reason(BOUGHT_REGULARLY if times >= REGULARLY else BOUGHT_BEFORE, {"times": times, "last": to_iso(last)})


def _new(candidate: Candidate, moment: Moment) -> Reason:
    items = moment.items
    if candidate.because is not None:
        evidence: dict[str, int | float | str] = {"with": candidate.because}
        if description := items.description(candidate.because):
            evidence["description"] = description
        return Reason(BOUGHT_TOGETHER, evidence)
    row = items.rows.get(candidate.stock_code)
    demand = 0.0 if row is None else float(moment.demand[row, WEEK])
    return Reason(IN_DEMAND, {"baskets": round(demand, 1), "half_life_days": int(HALF_LIVES[WEEK])})


def _date(days: float | None, now: int) -> str | None:
    return None if days is None else to_iso(min(LAST, now + int(days * DAY)))[:10]
