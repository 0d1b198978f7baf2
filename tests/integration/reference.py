"""An independent, slow implementation of the rules of histories and demand, to compare the results with.

It imports nothing of the package under test, so that a mistake would have to be made twice to go unnoticed.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple

DAY = 86_400


@dataclass(frozen=True)
class Row:
    """One line as sent. ``date`` in seconds since 1970, UTC; ``product``: whether the dialect has it as a product."""

    invoice_no: str
    customer_id: str | None
    date: int
    stock_code: str
    description: str | None
    quantity: Decimal
    price: float
    line_id: str | None = None
    country: str = "United Kingdom"
    product: bool = True


@dataclass
class _Invoice:
    date: int
    lines: dict[object, Row] = field(default_factory=dict)


def _text(row: Row) -> str:
    """The canonical text of a line: its content, then its id where it has one."""
    thousandths = int(row.quantity * 1000)
    content = [row.stock_code, thousandths, row.price] + ([] if row.line_id is None else [row.line_id])
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False)


def _invoices(rows: Iterable[Row]) -> dict[str, dict[str, _Invoice]]:
    """Customer to invoice number to invoice."""
    customers: dict[str, dict[str, _Invoice]] = {}
    for row in rows:
        if row.customer_id is None or not row.product or row.quantity == 0 or row.price <= 0:
            continue
        invoices = customers.setdefault(row.customer_id, {})
        invoice = invoices.setdefault(row.invoice_no, _Invoice(row.date))
        invoice.date = min(invoice.date, row.date)
        identity = row.line_id if row.line_id is not None else (row.stock_code, row.quantity, row.price)
        known = invoice.lines.get(identity)
        if known is None or _text(row) < _text(known):
            invoice.lines[identity] = row
    return customers


def bought(rows: Iterable[Row]) -> dict[tuple[str, str], set[str]]:
    """The stock codes of each invoice that buys something: (customer, invoice number) to codes."""
    return {
        (customer, number): codes
        for customer, invoices in _invoices(rows).items()
        for number, invoice in invoices.items()
        if (codes := {row.stock_code for row in invoice.lines.values() if row.quantity > 0})
    }


def _number(quantity: Decimal) -> int | float:
    return int(quantity) if quantity == quantity.to_integral_value() else float(quantity)


def histories(rows: Iterable[Row], window: int) -> list[bytes]:
    """The lines that ``nextbasket export histories`` must print for these rows."""
    lines = []
    for customer, invoices in sorted(_invoices(rows).items()):
        held = sorted((invoice.date, number) for number, invoice in invoices.items())[-window:]
        left: dict[str, dict[str, Decimal]] = {}
        for _, number in held:
            left[number] = {}
            for row in invoices[number].lines.values():
                if row.quantity > 0:
                    left[number][row.stock_code] = left[number].get(row.stock_code, Decimal(0)) + row.quantity
        for date, number in held:
            for row in invoices[number].lines.values():
                open_quantity = -row.quantity
                for earlier_date, earlier in reversed(held):
                    if open_quantity > 0 and earlier_date <= date and left[earlier].get(row.stock_code, 0) > 0:
                        reduction = min(open_quantity, left[earlier][row.stock_code])
                        left[earlier][row.stock_code] -= reduction
                        open_quantity -= reduction
        baskets = []
        for date, number in held:
            items = {code: _number(left[number][code]) for code in sorted(left[number]) if left[number][code] > 0}
            if items:
                when = datetime.fromtimestamp(date, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
                baskets.append({"invoice_no": number, "invoice_date": when, "items": items})
        if baskets:
            form = {"customer_id": customer, "baskets": baskets}
            lines.append(json.dumps(form, separators=(",", ":"), ensure_ascii=False).encode())
    return lines


def customers(rows: Iterable[Row]) -> set[str]:
    """The customers with at least one product line."""
    return set(_invoices(rows))


def demand(rows: Iterable[Row], window: int, now: int, half_life_days: float) -> dict[str, float]:
    """Stock code to demand at ``now``: each invoice that buys the item counts 0.5^(days ago / half-life).

    Items of customers with more invoices than the window are left out: whether an invoice outside the window was
    counted depends on when it arrived.
    """
    return {
        code: sum(0.5 ** ((now - date) / DAY / half_life_days) for date in dates)
        for code, dates in purchases(rows, window).certain.items()
    }


class Purchases(NamedTuple):
    """Stock code to the dates of the invoices that buy it, and the codes that are left out, see ``demand``."""

    certain: dict[str, list[int]]
    uncertain: set[str]


def purchases(rows: Iterable[Row], window: int) -> Purchases:
    """The purchases of each item; each invoice counts once for each of its codes."""
    dates: dict[str, list[int]] = {}
    uncertain: set[str] = set()
    for invoices in _invoices(rows).values():
        for invoice in invoices.values():
            bought = {row.stock_code for row in invoice.lines.values() if row.quantity > 0}
            if len(invoices) > window:
                uncertain |= bought
            for code in bought:
                dates.setdefault(code, []).append(invoice.date)
    return Purchases({code: its for code, its in dates.items() if code not in uncertain}, uncertain)
