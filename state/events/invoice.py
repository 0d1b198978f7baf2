"""Invoice and Line: the purchase event as the rest of the code knows it."""

import msgspec

from state.events.attributes import Attributes, no_attributes

THOUSAND = 1000
"""Quantities are whole thousandths everywhere inside, so that sums are exact in any order."""


class Line(msgspec.Struct, frozen=True):
    """One product sale or return of an invoice.

    ``quantity`` is in thousandths of a unit (12 pieces: 12,000), negative for a return; ``unit_price`` in the
    shop's currency, above 0. ``line_id`` identifies the line within its invoice where the shop gives one.
    ``attributes`` are those of the item, as this line says them.
    """

    stock_code: str
    quantity: int
    unit_price: float
    description: str | None = None
    line_id: str | None = None
    attributes: Attributes = msgspec.field(default_factory=no_attributes)


class Invoice(msgspec.Struct, frozen=True):
    """A decoded event: an invoice, or the part of one that this event carries.

    ``date`` is in seconds since 1970, UTC (negative before). ``customer_id`` is None for an anonymous sale. ``lines``
    holds product sales and returns only; ``left_out`` counts the other lines by reason. ``attributes`` are those of the
    customer, as this event says them, the country of the invoice among them under ``country``.
    """

    invoice_no: str
    customer_id: str | None
    date: int
    lines: tuple[Line, ...]
    attributes: Attributes = msgspec.field(default_factory=no_attributes)
    left_out: dict[str, int] = {}
