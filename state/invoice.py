"""Invoice and Line: the purchase event as the rest of the code knows it."""

import msgspec

THOUSAND = 1000
"""Quantities are whole thousandths everywhere inside, so that sums are exact in any order."""


class Line(msgspec.Struct, frozen=True):
    """One product sale or return of an invoice.

    ``quantity`` is in thousandths of a unit (12 pieces: 12,000), negative for a return; ``unit_price`` in the
    shop's currency, above 0. ``line_id`` identifies the line within its invoice where the shop gives one.
    """

    stock_code: str
    quantity: int
    unit_price: float
    description: str | None = None
    line_id: str | None = None


class Invoice(msgspec.Struct, frozen=True):
    """A decoded event: an invoice, or the part of one that this event carries.

    ``date`` is in seconds since 1970, UTC (negative before). ``customer_id`` is None for an anonymous sale. ``lines``
    holds product sales and returns only; ``left_out`` counts the other lines by reason.
    """

    invoice_no: str
    customer_id: str | None
    date: int
    lines: tuple[Line, ...]
    country: str | None = None
    left_out: dict[str, int] = {}
