"""The log of purchases from several places as one: an event that is in two of them counts once."""

from collections.abc import Iterable

from msgspec.structs import replace

from state.history import CustomerHistory, HeldLine, take
from state.invoice import Invoice, Line


def merge(*logs: Iterable[Invoice]) -> list[Invoice]:
    """One log of all invoices, sorted by (date, invoice number), by the rules of a history.

    Parts of one invoice of a customer become one, dated at the earliest; a line counts once, however often and from
    wherever it came. Of two texts for one line the later place's wins. Anonymous invoices and those without lines are
    left out.
    """
    parts: dict[tuple[str, str], list[Invoice]] = {}
    for log in logs:
        for invoice in log:
            if invoice.customer_id is not None and invoice.lines:
                parts.setdefault((invoice.customer_id, invoice.invoice_no), []).append(invoice)
    merged = [each[0] if len(each) == 1 else _one(each) for each in parts.values()]
    merged.sort(key=lambda invoice: (invoice.date, invoice.invoice_no, invoice.customer_id))
    return merged


def _one(parts: list[Invoice]) -> Invoice:
    """Parts of one invoice as one; histories know no description of a line, so those are looked up again."""
    first = parts[0]
    history = CustomerHistory(str(first.customer_id))
    said: dict[HeldLine, Line] = {}
    for part in parts:
        history = take(history, part, window=1).history
        for line in part.lines:
            held = HeldLine(line.stock_code, line.quantity, line.unit_price, line.line_id)
            before = said.get(held, line)
            said[held] = replace(
                line,
                description=line.description or before.description,
                attributes=line.attributes or before.attributes,
            )
    (invoice,) = history.invoices
    return Invoice(
        first.invoice_no,
        first.customer_id,
        invoice.date,
        tuple(said[line] for line in invoice.lines),
        next((part.attributes for part in parts if part.attributes == history.attributes), history.attributes),
    )
