"""Invoice and Line: a decoded invoice event."""

import msgspec

from state.events.attributes import Attributes, no_attributes

THOUSAND = 1000
"""Quantities are whole thousandths internally, so that sums are exact in any order."""


class Line(msgspec.Struct, frozen=True):
    """One product sale or return of an invoice.

    ``quantity`` is in thousandths of a unit (12 pieces: 12,000), negative for a return; ``unit_price`` in the
    retailer's currency, above 0. ``line_id`` identifies the line within its invoice, where the retailer gives one.
    ``attributes`` are those of the item in this line.
    """

    stock_code: str
    quantity: int
    unit_price: float
    description: str | None = None
    line_id: str | None = None
    attributes: Attributes = msgspec.field(default_factory=no_attributes)


class Invoice(msgspec.Struct, frozen=True):
    """A decoded event: an invoice, or a part of one.

    ``date`` is in seconds since 1970, UTC (negative before). ``customer_id`` is None for an anonymous sale. ``lines``
    holds product sales and returns only; ``excluded_lines`` counts the other lines by reason. ``attributes`` are
    those of the customer in this event, with the country of the invoice under ``country``.
    """

    invoice_no: str
    customer_id: str | None
    date: int
    lines: tuple[Line, ...]
    attributes: Attributes = msgspec.field(default_factory=no_attributes)
    excluded_lines: dict[str, int] = {}

    @property
    def is_purchase(self) -> bool:
        """Whether at least one line is a purchase; an invoice of returns is no basket to predict."""
        return any(line.quantity > 0 for line in self.lines)

    @property
    def purchased_codes(self) -> frozenset[str]:
        """The stock codes of the purchase lines."""
        return frozenset(line.stock_code for line in self.lines if line.quantity > 0)

    @property
    def purchased_codes_in_order(self) -> tuple[str, ...]:
        """The stock codes of the purchase lines, each once, in the order of their first lines."""
        return tuple(dict.fromkeys(line.stock_code for line in self.lines if line.quantity > 0))
