"""What a store holds that is dated ahead of every clock, and how it would be without it.

An invoice of the future moves "now" there for all customers: all demand decays to nothing, and so do all chances.
"""

from collections.abc import Iterable, Mapping

import msgspec

from state.domain.history import CustomerHistory, HeldInvoice
from state.domain.items import HALF_LIVES, SHARE_HALF_LIVES, ItemState
from state.events.invoice import Invoice, Line
from state.settings import Settings
from state.store.memory import MemoryStore
from state.store.protocol import Store

_WHOLE_HISTORIES = {"window": 10_000, "max_history_lines": 1_000_000_000}


class AheadOfClock(msgspec.Struct, frozen=True):
    """What is dated after a bound.

    ``now``: the greatest date accepted. ``right``: the greatest date of an invoice that is not ahead, None where there
    is none. ``invoices``: the numbers of those that are ahead, by customer. ``items``: the states of the items that
    have a date that is.
    """

    now: int | None
    right: int | None
    invoices: Mapping[str, tuple[str, ...]]
    items: Mapping[str, ItemState]

    def __bool__(self) -> bool:
        return bool(self.invoices or self.items) or (self.now or 0) > (self.right or 0)


def find_ahead(store: Store, bound: int) -> AheadOfClock:
    """What a store holds that is dated after a date, in seconds since 1970; reads all histories."""
    changes = store.items()
    invoices: dict[str, tuple[str, ...]] = {}
    right: int | None = None
    for history in store.histories():
        if ahead := tuple(one.invoice_no for one in history.invoices if one.date > bound):
            invoices[history.customer_id] = ahead
        dates = [one.date for one in history.invoices if one.date <= bound]
        right = max([*dates, *([] if right is None else [right])], default=None)
    items = {
        code: state
        for code, state in changes.states.items()
        if max(state.as_of, state.last, state.first, state.price_date, state.description_date) > bound
    }
    if changes.now is not None and changes.now <= bound:
        right = max(changes.now, right or changes.now)  # of an invoice that has left its history
    return AheadOfClock(changes.now, right, invoices, items)


def items_without(
    histories: Iterable[CustomerHistory], ahead: AheadOfClock, bound: int, settings: Settings
) -> list[ItemState]:
    """The items of ``ahead`` as they are without the invoices after the bound, counted from the histories.

    Purchases that have left the window of their history are not counted any more. Description, and price where no
    purchase is left, stay.
    """
    store = MemoryStore(settings.model_copy(update=_WHOLE_HISTORIES))
    for history in histories:
        some = [
            _event(history.customer_id, one)
            for one in history.invoices
            if one.date <= bound and any(line.stock_code in ahead.items for line in one.lines)
        ]
        if some:
            store.apply(some, clock_ms=0)
    counted = store.items().states
    now = ahead.right or bound
    return [_merged(before, counted.get(code), now, bound) for code, before in ahead.items.items()]


def _event(customer_id: str, invoice: HeldInvoice) -> Invoice:
    lines = tuple(Line(one.stock_code, one.quantity, one.unit_price, None, one.line_id) for one in invoice.lines)
    return Invoice(invoice.invoice_no, customer_id, invoice.date, lines)


def _merged(before: ItemState, counted: ItemState | None, now: int, bound: int) -> ItemState:
    described = before.description_date if before.description_date <= bound else now
    attributes = {key: (min(date, now), value) for key, (date, value) in before.dated_attributes.items()}
    if counted is None:  # sold in the invoices of the future only
        return msgspec.structs.replace(
            before,
            as_of=now,
            demand=(0.0,) * len(HALF_LIVES),
            shares=(0.0,) * len(SHARE_HALF_LIVES),
            sold=0,
            first=min(before.first, now),
            last=now,
            price_date=min(before.price_date, now),
            description_date=described,
            dated_attributes=attributes,
        )
    return msgspec.structs.replace(
        counted,
        sold=max(counted.sold, 0),
        first=min(before.first, counted.first),
        description=before.description,
        description_date=described,
        dated_attributes=attributes,
    )
