"""CustomerHistory, and the pure functions that add invoices to it and derive baskets from it.

A history holds the invoices of the window, each with its earliest date and its distinct lines. Baskets are derived and
never stored, so the same events give the same history in any order and with any repetition.
Invoices that an event does not change are the same objects before and after it.
"""

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import NamedTuple

import msgspec

from state.domain.attributes import DatedAttributes, attribute_values, merge_attributes, no_dated_attributes
from state.events.attributes import Attributes
from state.events.dates import to_iso
from state.events.invoice import THOUSAND, Invoice, Line

MAX_SHARED_CODES = 1_000
"""An invoice with more distinct codes has the shares of one with so many: one code more changes no other share then."""

_encode = msgspec.json.Encoder().encode


class HeldLine(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A line in a history: quantity in thousandths, negative for a return; price above 0."""

    stock_code: str
    quantity: int
    unit_price: float
    line_id: str | None = None


class HeldInvoice(msgspec.Struct, frozen=True, dict=True):
    """An invoice in a history: its earliest date (seconds since 1970) and its lines, ordered by ``line_text``.

    What is derived from an invoice may be stored in its ``__dict__``, which is no part of its value.
    """

    invoice_no: str
    date: int
    lines: tuple[HeldLine, ...]

    @cached_property
    def is_purchase(self) -> bool:
        """Whether at least one line is a purchase."""
        return any(line.quantity > 0 for line in self.lines)

    @cached_property
    def net_value(self) -> float:
        """Sum of quantity times price, returns negative, in thousandths of the currency."""
        return float(sum([line.quantity * line.unit_price for line in self.lines]))

    @property
    def purchased_codes(self) -> frozenset[str]:
        """The stock codes of the purchase lines."""
        return frozenset(line.stock_code for line in self.lines if line.quantity > 0)

    @property
    def purchased_codes_in_order(self) -> tuple[str, ...]:
        """The stock codes of the purchase lines, each once, in the order of their first lines."""
        return tuple(dict.fromkeys(line.stock_code for line in self.lines if line.quantity > 0))


class CustomerHistory(msgspec.Struct, frozen=True):
    """The invoices and attributes of one customer.

    ``invoices`` are ordered by (date, invoice number as text), returns included. ``watermark`` is the greatest
    (date, invoice number) that fell out of the window, None before the first. ``dated_attributes`` are
    the customer's attributes with their dates (see ``state.domain.attributes``); the window does not limit them.
    """

    customer_id: str
    invoices: tuple[HeldInvoice, ...] = ()
    watermark: tuple[int, str] | None = None
    dated_attributes: DatedAttributes = msgspec.field(default_factory=no_dated_attributes)

    @property
    def attributes(self) -> Attributes:
        """The customer's attributes, ordered by key."""
        return attribute_values(self.dated_attributes)

    @property
    def purchase_dates(self) -> list[int]:
        """The dates of the invoices with a purchase, oldest first, in seconds since 1970."""
        return [invoice.date for invoice in self.invoices if invoice.is_purchase]

    @property
    def returned_codes(self) -> frozenset[str]:
        """The stock codes of the return lines, wherever the purchase is."""
        return frozenset(line.stock_code for invoice in self.invoices for line in invoice.lines if line.quantity < 0)


class Basket(msgspec.Struct, frozen=True):
    """An invoice net of returns: stock code to quantity in thousandths, above 0, sorted by stock code."""

    invoice_no: str
    date: int
    items: dict[str, int]


class DemandChange(NamedTuple):
    """A change of the demand of some items at a date.

    ``times`` is 1 for one more invoice with the items, -1 for one less, 0 where only their share changes. ``share`` is
    the change of their share: 1 / √k for the k purchased stock codes of the invoice now, minus 1 / √k for those before,
    with k at most ``MAX_SHARED_CODES``.
    """

    date: int
    times: int
    share: float
    stock_codes: tuple[str, ...]


class AddedInvoice(NamedTuple):
    """The history after ``add_invoice``, and what the invoice changed.

    ``new_lines`` are the lines that the history did not have, ``known_lines`` counts the others. ``behind_watermark``:
    the invoice lies at or before the watermark and changed attributes at most. ``before`` and ``after``: the invoice
    before and after the change; ``after`` is None where it did not change.
    """

    history: CustomerHistory
    new_lines: list[Line]
    known_lines: int
    behind_watermark: bool
    before: HeldInvoice | None = None
    after: HeldInvoice | None = None

    @property
    def demand_changes(self) -> list[DemandChange]:
        """The changes of the items: each purchased stock code counts once an invoice, at the invoice's date."""
        return demand_changes(self.before, self.after) if self.after else []


def line_text(stock_code: str, quantity: int, unit_price: float, line_id: str | None = None) -> str:
    """The canonical text of a line, ``["22613",12000,0.85]``, with its id as fourth element where it has one."""
    content = (stock_code, quantity, unit_price)
    return _encode(content if line_id is None else (*content, line_id)).decode()


def line_order(line: HeldLine | Line) -> bytes:
    """What the lines of an invoice are ordered by: ``line_text`` in UTF-8."""
    if line.line_id is None:
        return _encode((line.stock_code, line.quantity, line.unit_price))
    return _encode((line.stock_code, line.quantity, line.unit_price, line.line_id))


def line_count(history: CustomerHistory) -> int:
    """The number of lines of a history."""
    return sum([len(invoice.lines) for invoice in history.invoices])


CODE_BYTES = 16
"""Bytes of a stock code that count as a line of a history."""
MOST_LINES_OF_A_CODE = 32
"""What a line counts as at most, so that a history with few lines need not be counted: codes have 100 characters."""


def size_in_lines(history: CustomerHistory) -> int:
    """The number of lines of a history, where one with a stock code of more than 15 bytes counts as several.

    What a change of a whole invoice writes is bounded by the bytes of its codes.
    """
    return sum([lines_with_codes(invoice.lines) for invoice in history.invoices])


def lines_with_codes(lines: Iterable[HeldLine | Line]) -> int:
    """The number of lines, counted as in ``size_in_lines``."""
    return sum([1 + min(len(line.stock_code.encode()) // CODE_BYTES, MOST_LINES_OF_A_CODE - 1) for line in lines])


def add_invoice(history: CustomerHistory, invoice: Invoice, window: int) -> AddedInvoice:
    """Adds an invoice, or a part of one, to a history of at most ``window`` invoices.

    A line is identified by its ``line_id``, else by its content. Of two contents with the same ``line_id`` the smaller
    canonical text wins, so that the order of arrival does not matter. An invoice without lines changes nothing; the
    attributes of any other invoice are merged, also of one behind the watermark.
    """
    if not invoice.lines:
        return AddedInvoice(history, [], 0, False)
    dated = history.dated_attributes
    if invoice.attributes:
        dated = merge_attributes(dated, invoice.attributes, invoice.date)
    index = _index_of(history.invoices, invoice.invoice_no)
    held = None if index is None else history.invoices[index]
    if held is None and history.watermark is not None and (invoice.date, invoice.invoice_no) <= history.watermark:
        if dated is not history.dated_attributes:
            history = msgspec.structs.replace(history, dated_attributes=dated)
        return AddedInvoice(history, [], 0, True)
    lines, new = _merge(held.lines if held else (), invoice.lines)
    date = invoice.date if held is None else min(held.date, invoice.date)
    if held is not None and date == held.date and lines is held.lines and dated is history.dated_attributes:
        return AddedInvoice(history, [], len(invoice.lines), False)
    updated = HeldInvoice(invoice.invoice_no, date, lines)
    invoices = history.invoices
    if index is not None:
        invoices = (*invoices[:index], *invoices[index + 1 :])
    if held is None or held.date != date:
        index = bisect_left(invoices, _position(updated), key=_position)
    invoices = (*invoices[:index], updated, *invoices[index:])
    watermark = history.watermark
    if len(invoices) > window:
        newest_dropped = _position(invoices[-window - 1])
        watermark = newest_dropped if watermark is None else max(watermark, newest_dropped)
        invoices = invoices[-window:]
    changed = CustomerHistory(history.customer_id, invoices, watermark, dated)
    return AddedInvoice(changed, new, len(invoice.lines) - len(new), False, held, updated)


def _index_of(invoices: Sequence[HeldInvoice], invoice_no: str) -> int | None:
    """The index of an invoice; most events are of the newest ones."""
    for index in range(len(invoices) - 1, -1, -1):
        if invoices[index].invoice_no == invoice_no:
            return index
    return None


def _position(invoice: HeldInvoice) -> tuple[int, str]:
    return invoice.date, invoice.invoice_no


def _merge(held: tuple[HeldLine, ...], lines: Sequence[Line]) -> tuple[tuple[HeldLine, ...], list[Line]]:
    """The union of the held lines and those of an event, and the new ones; ``held`` itself where nothing changed.

    Costs little for few lines of an event, however many are held.
    """
    by_id: dict[str, HeldLine] = {}
    if any(line.line_id is not None for line in lines):
        by_id = {line.line_id: line for line in held if line.line_id is not None}
    added: dict[bytes, HeldLine] = {}
    removed: set[bytes] = set()
    new: list[Line] = []
    for line in lines:
        order = line_order(line)
        if line.line_id is None:
            if order in added or _has(held, order):
                continue
            new.append(line)
        elif (known := by_id.get(line.line_id)) is None:
            new.append(line)
        else:
            if (known_order := line_order(known)) <= order:
                continue
            if added.pop(known_order, None) is None:
                removed.add(known_order)
        added[order] = HeldLine(line.stock_code, line.quantity, line.unit_price, line.line_id)
        if line.line_id is not None:
            by_id[line.line_id] = added[order]
    return (_replaced(held, removed, added) if added else held), new


def _has(held: tuple[HeldLine, ...], order: bytes) -> bool:
    index = bisect_left(held, order, key=line_order)
    return index < len(held) and line_order(held[index]) == order


def _replaced(held: tuple[HeldLine, ...], removed: set[bytes], added: dict[bytes, HeldLine]) -> tuple[HeldLine, ...]:
    """The held lines in order, without those of some orders and with some others."""
    merged: list[HeldLine] = []
    start = 0
    for order in sorted(removed | added.keys()):
        index = bisect_left(held, order, lo=start, key=line_order)
        merged += held[start:index]
        start = index + 1 if order in removed else index
        if order in added:
            merged.append(added[order])
    merged += held[start:]
    return tuple(merged)


def demand_changes(before: HeldInvoice | None, after: HeldInvoice | None) -> list[DemandChange]:
    """The changes that keep demand at "each purchased stock code once an invoice, at the invoice's date".

    None stands for an invoice that is not there.

    Each of an invoice's k purchased stock codes has a share of 1 / √k, so one code more or less changes all shares.
    """
    old = before.purchased_codes if before else frozenset()
    new = after.purchased_codes if after else frozenset()
    old_share, new_share = _share(len(old)), _share(len(new))
    removed, remaining, added = old - new, old & new, new - old
    if before is not None and after is not None and before.date != after.date:
        removed, remaining, added = old, frozenset(), new
    changes = []
    if before is not None and removed:
        changes.append(DemandChange(before.date, -1, -old_share, tuple(sorted(removed))))
    if after is not None and added:
        changes.append(DemandChange(after.date, 1, new_share, tuple(sorted(added))))
    if after is not None and remaining and new_share != old_share:
        changes.append(DemandChange(after.date, 0, new_share - old_share, tuple(sorted(remaining))))
    return changes


def _share(codes: int) -> float:
    return 1.0 / math.sqrt(min(codes, MAX_SHARED_CODES)) if codes else 0.0


def baskets(history: CustomerHistory) -> list[Basket]:
    """The invoices net of returns, ordered by date then invoice number; empty baskets are left out.

    A return reduces the purchases of that item dated at or before it, the latest first (by date, then invoice number as
    text), its own invoice included; a quantity that exceeds them has no effect. Returns are applied in order of (date,
    invoice number).
    """
    bought = [_quantities(line for line in invoice.lines if line.quantity > 0) for invoice in history.invoices]
    returns: dict[str, list[tuple[int, int]]] = {}
    for invoice in history.invoices:
        for code, quantity in _quantities(line for line in invoice.lines if line.quantity < 0).items():
            returns.setdefault(code, []).append((invoice.date, -quantity))
    for code, of_code in returns.items():
        positions = [position for position, quantities in enumerate(bought) if code in quantities]
        purchases = [(history.invoices[position].date, bought[position][code]) for position in positions]
        for position, quantity in zip(positions, net_quantities(purchases, of_code), strict=True):
            bought[position][code] = quantity
    result = []
    for invoice, quantities in zip(history.invoices, bought, strict=True):
        items = {code: quantities[code] for code in sorted(quantities) if quantities[code] > 0}
        if items:
            result.append(Basket(invoice.invoice_no, invoice.date, items))
    return result


def net_quantities(purchases: Sequence[tuple[int, int]], returns: Iterable[tuple[int, int]]) -> list[int]:
    """The quantities of one item's purchases net of its returns, as ``baskets`` nets them, in the order of purchases.

    Args:
        purchases: Date and quantity of each, by date, then invoice number.
        returns: Date and quantity (above 0) of each, likewise.
    """
    left = [quantity for _, quantity in purchases]
    for date, open_quantity in returns:
        for position in range(len(left) - 1, -1, -1):
            if purchases[position][0] > date:
                continue
            reduction = min(left[position], open_quantity)
            left[position] -= reduction
            open_quantity -= reduction
            if open_quantity == 0:
                break
    return left


def _quantities(lines: Iterable[HeldLine]) -> dict[str, int]:
    """The summed quantity of each stock code."""
    quantities: dict[str, int] = {}
    for line in lines:
        quantities[line.stock_code] = quantities.get(line.stock_code, 0) + line.quantity
    return quantities


def canonical_json(history: CustomerHistory) -> bytes | None:
    """The history's canonical form: one line of compact JSON in UTF-8 without a newline, None where no basket is left.

    Two histories are equal when these bytes are; ``export histories`` writes them.
    """
    lines = [
        {
            "invoice_no": basket.invoice_no,
            "invoice_date": to_iso(basket.date),
            "items": {code: msgspec.Raw(_units(quantity)) for code, quantity in basket.items.items()},
        }
        for basket in baskets(history)
    ]
    return msgspec.json.encode({"customer_id": history.customer_id, "baskets": lines}) if lines else None


def _units(thousandths: int) -> bytes:
    """A quantity above 0 as a JSON number: ``1.5``, and ``12`` without a decimal point."""
    whole, rest = divmod(thousandths, THOUSAND)
    return f"{whole}.{rest:03d}".rstrip("0").encode() if rest else str(whole).encode()
