"""Merging the histories of two customers that turned out to be one person."""

import msgspec

from state.domain.attributes import NO_DATED_ATTRIBUTES, DatedAttributes, merge_attributes
from state.domain.history import CustomerHistory, HeldInvoice, add_invoice
from state.events.invoice import Invoice, Line


def merge_histories(old: CustomerHistory, new: CustomerHistory, window: int) -> CustomerHistory:
    """The history of ``new``'s id with the invoices of both, as if all events had come under that id.

    An invoice that both have is one invoice with the lines of both. Which of the two is ``old`` decides the id only.
    """
    merged, _ = add_history(new, old, window)
    if old.watermark is not None:
        merged = raise_watermark(merged, old.watermark)
    dated = merged.dated_attributes
    for key, (date, value) in old.dated_attributes.items():
        dated = merge_attributes(dated, {key: value}, date)
    return msgspec.structs.replace(merged, dated_attributes=dated)


def add_history(new: CustomerHistory, old: CustomerHistory, window: int) -> tuple[CustomerHistory, frozenset[str]]:
    """The history with the invoices of another one, and the numbers of those that are behind its watermark."""
    behind: set[str] = set()
    for invoice in old.invoices:
        added = add_invoice(new, held_event(invoice, new.customer_id), window)
        new = added.history
        if added.behind_watermark:
            behind.add(invoice.invoice_no)
    return new, frozenset(behind)


def raise_watermark(history: CustomerHistory, watermark: tuple[int, str]) -> CustomerHistory:
    """The history with at least this watermark: what left the window of a merged customer stays out of the other's."""
    if history.watermark is not None and history.watermark >= watermark:
        return history
    return msgspec.structs.replace(history, watermark=watermark)


def held_event(invoice: HeldInvoice, customer_id: str) -> Invoice:
    """An invoice of a history as an event of a customer, without descriptions and attributes."""
    lines = tuple(Line(one.stock_code, one.quantity, one.unit_price, None, one.line_id) for one in invoice.lines)
    return Invoice(invoice.invoice_no, customer_id, invoice.date, lines)


def held_events(
    history: CustomerHistory, customer_id: str, known: DatedAttributes = NO_DATED_ATTRIBUTES
) -> list[Invoice]:
    """The invoices of a history as events of another customer, with the attributes of the history.

    An attribute goes with the newest invoice that is no later than it, dated as the attribute: an invoice has the
    earliest of its dates, so it keeps its date. One that is older than every invoice of the window gets the date of the
    oldest of them, unless the other customer has a newer value (``known``).
    """
    invoices = [held_event(invoice, customer_id) for invoice in history.invoices]
    events = list(invoices)
    for key, (date, value) in history.dated_attributes.items():
        carrier = next((each for each in reversed(invoices) if each.date <= date), None)
        if carrier is not None:
            events.append(msgspec.structs.replace(carrier, date=date, attributes={key: value}))
        elif invoices and ((other := known.get(key)) is None or other < (date, value)):
            events.append(msgspec.structs.replace(invoices[0], attributes={key: value}))
    return events
