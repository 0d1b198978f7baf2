"""CustomerHistory: facts in, baskets out; pure functions.

A history holds facts: the invoices of the window, each with the earliest date seen and its distinct lines. Baskets are
derived from them, never stored, so any order and any repetition of the same events ends in the same history.
``scripts/history.lua`` does to a history in Redis what ``take`` does here; the contract suite holds the two together.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from state.domain.attributes import Dated, merge, none_dated, values
from state.events.attributes import Attributes
from state.events.dates import to_iso
from state.events.invoice import THOUSAND, Invoice, Line


class HeldLine(msgspec.Struct, frozen=True, array_like=True):
    """A line as the history keeps it: quantity in thousandths, negative for a return; price above 0."""

    stock_code: str
    quantity: int
    unit_price: float
    line_id: str | None = None


class HeldInvoice(msgspec.Struct, frozen=True):
    """An invoice of the window: its earliest date seen (seconds since 1970) and its lines, ordered by ``line_text``."""

    invoice_no: str
    date: int
    lines: tuple[HeldLine, ...]


class CustomerHistory(msgspec.Struct, frozen=True):
    """The facts known of one customer.

    ``invoices`` are ordered by (date, invoice number as text), returns included. ``watermark`` is the greatest
    (date, invoice number) that fell out of the window, None as long as nothing did. ``dated`` is what is known of the
    customer beside the purchases, by the rule of ``state.domain.attributes``, whatever the window.
    """

    customer_id: str
    invoices: tuple[HeldInvoice, ...] = ()
    watermark: tuple[int, str] | None = None
    dated: Dated = msgspec.field(default_factory=none_dated)

    @property
    def attributes(self) -> Attributes:
        """The customer's attributes as they hold now, ordered by key."""
        return values(self.dated)


class Basket(msgspec.Struct, frozen=True):
    """What a customer kept of one invoice: stock code to net quantity in thousandths, above 0; sorted by stock code."""

    invoice_no: str
    date: int
    items: dict[str, int]


class Count(NamedTuple):
    """A change of demand at a date: the item counts once more (``times`` 1), once less (-1) or as often as before (0).

    ``share`` is what its shares gain: 1 / √k where its invoice now has k purchased stock codes, less 1 / √k of before.
    """

    stock_code: str
    date: int
    times: int
    share: float


class Taken(NamedTuple):
    """What ``take`` did with an invoice.

    ``new`` are the lines not held before, ``known`` counts the others. ``behind``: the invoice lies behind the
    watermark and changed no more than attributes. ``counts`` keeps demand and shares in step: each stock code counts
    once an invoice, at the invoice's date.
    """

    history: CustomerHistory
    new: list[Line]
    known: int
    behind: bool
    counts: list[Count]


def line_text(stock_code: str, quantity: int, unit_price: float, line_id: str | None = None) -> str:
    """The canonical text of a line, ``["22613",12000,0.85]``, with its id as fourth element where it has one."""
    content = (stock_code, quantity, unit_price)
    return msgspec.json.encode(content if line_id is None else (*content, line_id)).decode()


def take(history: CustomerHistory, invoice: Invoice, window: int) -> Taken:
    """Adds an invoice, or a part of one, to a history of at most ``window`` invoices.

    A line is known by its ``line_id``, else by its content. Where two contents claim one ``line_id``, the smaller
    canonical text wins, so that their order of arrival does not matter. An invoice without lines changes nothing; the
    attributes of any other are taken, also of one behind the watermark.
    """
    if not invoice.lines:
        return Taken(history, [], 0, False, [])
    dated = merge(history.dated, invoice.attributes, invoice.date) if invoice.attributes else history.dated
    held = next((other for other in history.invoices if other.invoice_no == invoice.invoice_no), None)
    if held is None and history.watermark is not None and (invoice.date, invoice.invoice_no) <= history.watermark:
        if dated is not history.dated:
            history = msgspec.structs.replace(history, dated=dated)
        return Taken(history, [], 0, True, [])
    lines, new = _merge(held.lines if held else (), invoice.lines)
    date = invoice.date if held is None else min(held.date, invoice.date)
    if held is not None and date == held.date and lines is held.lines and dated is history.dated:
        return Taken(history, [], len(invoice.lines), False, [])
    counts = _recount(held, lines, date)
    others = [other for other in history.invoices if other is not held]
    invoices = sorted([*others, HeldInvoice(invoice.invoice_no, date, lines)], key=_place)
    watermark = history.watermark
    if len(invoices) > window:
        fallen = _place(invoices[-window - 1])
        watermark = fallen if watermark is None else max(watermark, fallen)
        invoices = invoices[-window:]
    changed = CustomerHistory(history.customer_id, tuple(invoices), watermark, dated)
    return Taken(changed, new, len(invoice.lines) - len(new), False, counts)


def add(history: CustomerHistory, invoice: Invoice, window: int) -> tuple[CustomerHistory, list[Line], bool]:
    """``take`` for those who need no more than the history, the new lines and whether the invoice was behind."""
    taken = take(history, invoice, window)
    return taken.history, taken.new, taken.behind


def _place(invoice: HeldInvoice) -> tuple[int, str]:
    return invoice.date, invoice.invoice_no


def _merge(held: tuple[HeldLine, ...], lines: Iterable[Line]) -> tuple[tuple[HeldLine, ...], list[Line]]:
    """Held lines and those of an event as one set, and the new ones; the very tuple ``held`` where nothing changed."""
    merged: dict[object, HeldLine] = {_identity(line): line for line in held}
    new: list[Line] = []
    changed = False
    for line in lines:
        identity = _identity(line)
        known = merged.get(identity)
        candidate = HeldLine(line.stock_code, line.quantity, line.unit_price, line.line_id)
        if known is None:
            new.append(line)
        elif known == candidate or _text(known) < _text(candidate):
            continue
        merged[identity] = candidate
        changed = True
    return (tuple(sorted(merged.values(), key=_text)) if changed else held), new


def _identity(line: HeldLine | Line) -> object:
    return line.line_id if line.line_id is not None else (line.stock_code, line.quantity, line.unit_price)


def _text(line: HeldLine) -> str:
    return line_text(line.stock_code, line.quantity, line.unit_price, line.line_id)


def _recount(held: HeldInvoice | None, lines: tuple[HeldLine, ...], date: int) -> list[Count]:
    """The changes that keep demand at "each purchased stock code once an invoice, at the invoice's date".

    Shares follow: each of an invoice's k purchased stock codes has 1 / √k, so one code more or less changes them all.
    """
    before = _purchased(held.lines) if held else set()
    after = _purchased(lines)
    had, has = (1.0 / math.sqrt(len(codes)) if codes else 0.0 for codes in (before, after))
    gone, stay, come = before - after, before & after, after - before
    if held is not None and held.date != date:
        gone, stay, come = before, set(), after
    counts = [Count(code, held.date, -1, -had) for code in sorted(gone)] if held else []
    counts += [Count(code, date, 1, has) for code in sorted(come)]
    return counts + [Count(code, date, 0, has - had) for code in sorted(stay) if has != had]


def _purchased(lines: Iterable[HeldLine]) -> set[str]:
    return {line.stock_code for line in lines if line.quantity > 0}


def baskets(history: CustomerHistory) -> list[Basket]:
    """What the customer kept, by date then invoice number, empty baskets left out.

    A return takes its quantity from the latest purchases of that item dated at or before it, latest first (date, then
    invoice number as text), its own invoice included; what finds nothing to take has no effect. Returns act in order of
    (date, invoice number).
    """
    kept: list[dict[str, int]] = []
    places: dict[str, list[int]] = {}
    returns: list[tuple[int, str, int]] = []
    for place, invoice in enumerate(history.invoices):
        bought: dict[str, int] = {}
        taken_back: dict[str, int] = {}
        for line in invoice.lines:
            side = bought if line.quantity > 0 else taken_back
            side[line.stock_code] = side.get(line.stock_code, 0) + abs(line.quantity)
        kept.append(bought)
        for code in bought:
            places.setdefault(code, []).append(place)
        returns.extend((place, code, quantity) for code, quantity in taken_back.items())
    for at, code, owed in returns:
        date = history.invoices[at].date
        for place in reversed(places.get(code, ())):
            if history.invoices[place].date > date:
                continue
            taken = min(kept[place][code], owed)
            kept[place][code] -= taken
            owed -= taken
            if owed == 0:
                break
    result = []
    for invoice, quantities in zip(history.invoices, kept, strict=True):
        items = {code: quantities[code] for code in sorted(quantities) if quantities[code] > 0}
        if items:
            result.append(Basket(invoice.invoice_no, invoice.date, items))
    return result


def canonical(history: CustomerHistory) -> bytes | None:
    """The history's canonical form: one line of compact JSON in UTF-8 without a newline, None where no basket is left.

    Two histories are the same when these bytes are the same (the design page's ``export histories``).
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
    """A quantity above 0 as a JSON number: ``12``, ``1.5``; whole ones without a point."""
    whole, rest = divmod(thousandths, THOUSAND)
    return f"{whole}.{rest:03d}".rstrip("0").encode() if rest else str(whole).encode()
