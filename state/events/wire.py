"""The wire contract: decodes the bytes of an event to an ``Invoice``, or raises the reason (docs/reference/events.md).

The fast path is one typed decode of the shape that the bytes look like. If that fails, the slow path determines the
shape and names the first wrong field and its valid values in one sentence.
"""

import re
from datetime import UTC, tzinfo
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from state.errors import EventAhead, InvalidEvent
from state.events.attribute_reader import ABSENT, AttributeReader
from state.events.control_characters import has_control
from state.events.customer_changes import MARK, CustomerChange, decode_change
from state.events.dates import DAY, parse_date, to_iso
from state.events.dialect import exclusion_reason
from state.events.invoice import THOUSAND, Invoice, Line
from state.events.missing import is_missing, is_word_for_missing
from state.events.numbers import to_decimal
from state.events.shop_dialect import make_dialect, shop_dialect
from state.events.short_cache import cache_short
from state.events.text import clean_text
from state.settings import Settings

EVENT_TYPE = "invoice"
EVENT_VERSION = 1


class _Line(msgspec.Struct):
    stock_code: int | str | None = None
    quantity: float | None = None
    unit_price: float | None = None
    description: str | None = None
    line_id: int | str | None = None
    attributes: msgspec.Raw = ABSENT


class _Whole(msgspec.Struct):
    """The shape of an invoice with its lines. msgspec finds wrong types, ``Decoder`` finds missing values."""

    invoice_no: int | str | None = None
    customer_id: int | float | str | None = None
    invoice_date: str | None = None
    lines: list[_Line] | None = None
    country: Any = None
    type: str | None = None
    version: int | float | None = None
    customer: msgspec.Raw = ABSENT
    attributes: msgspec.Raw = ABSENT


class _Flat(msgspec.Struct):
    """The shape of a single line with UCI's columns. An event with ``invoice_no`` has the other shape."""

    InvoiceNo: int | str | None = None
    StockCode: int | str | None = None
    Description: str | None = None
    Quantity: float | None = None
    InvoiceDate: str | None = None
    UnitPrice: float | None = None
    CustomerID: int | float | str | None = None
    Country: Any = None
    line_id: int | str | None = None
    type: str | None = None
    version: int | float | None = None
    customer: msgspec.Raw = ABSENT
    attributes: msgspec.Raw = ABSENT
    invoice_no: Any = msgspec.UNSET


class _Probe(msgspec.Struct):
    """The fields that distinguish the two shapes."""

    invoice_no: msgspec.Raw = msgspec.Raw()
    lines: msgspec.Raw = msgspec.Raw()
    InvoiceNo: msgspec.Raw = msgspec.Raw()


class _Names(msgspec.Struct, frozen=True):
    """The names of the fields of a shape in reasons; ``line`` is the prefix of those of line number {}."""

    line: str
    invoice: str
    date: str
    customer: str
    stock_code: str
    quantity: str
    price: str
    description: str


_WHOLE_NAMES = _Names(
    "lines[{}].",
    "invoice_no",
    "invoice_date",
    "customer_id",
    "stock_code",
    "quantity",
    "unit_price",
    "description",
)
_FLAT_NAMES = _Names("", "InvoiceNo", "InvoiceDate", "CustomerID", "StockCode", "Quantity", "UnitPrice", "Description")

_WHOLE_NUMBER = re.compile(r"(-?[0-9]+)\.0+")


class Decoder:
    """Decodes events under one set of settings; not shared between threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._dialect = make_dialect(shop_dialect(settings))
        zone: tzinfo = UTC if settings.timezone == "UTC" else ZoneInfo(settings.timezone)
        # Lines of one invoice have the same date and follow each other; stock codes and descriptions are repeated.
        self._date = cache_short(partial(parse_date, zone=zone), entries=1_024, longest=40)
        self._product = cache_short(self._read_product, entries=16_384, longest=40)
        self._clean_text = cache_short(clean_text, entries=8_192, longest=128)
        self._attributes = AttributeReader(longest_country=settings.max_code_chars)
        self._anonymous = settings.anonymous_customers
        self._max_number = settings.max_number
        self._max_description_chars = settings.max_description_chars
        self._whole = msgspec.json.Decoder(_Whole)
        self._flat = msgspec.json.Decoder(_Flat)
        self._probe = msgspec.json.Decoder(_Probe)
        self._rules = _rules(settings)

    def decode(self, raw: bytes | None, *, now: int) -> Invoice:
        """The invoice of an event, or the part of one.

        ``now`` is the clock in seconds since 1970; dates too far ahead of it are refused.

        Raises:
            InvalidEvent: The event breaks the contract; the message is the reason for the dead letter, one sentence.
        """
        if not raw:
            raise InvalidEvent("The event is empty; it must be one JSON object in UTF-8.")
        if len(raw) > self._settings.max_event_bytes:
            raise InvalidEvent(
                f"The event has {len(raw):,} bytes; it may have at most {self._settings.max_event_bytes:,}."
            )
        try:
            raw.decode()  # msgspec ignores invalid UTF-8 in fields that it does not know
            return self._fast(raw, now)
        except UnicodeDecodeError:
            raise InvalidEvent("The event is not UTF-8; it must be one JSON object in UTF-8.") from None
        except RecursionError:
            raise InvalidEvent("The event is nested too deeply; an invoice needs four levels.") from None
        except msgspec.DecodeError as error:
            raise InvalidEvent(f"The event is not JSON ({error}); it must be one JSON object in UTF-8.") from None

    def decode_any(self, raw: bytes | None, *, now: int) -> Invoice | CustomerChange:
        """The invoice of an event, as ``decode``, or the change of a customer that it contains.

        Raises:
            InvalidEvent: The event breaks the contract.
        """
        if raw and MARK in raw and len(raw) <= self._settings.max_event_bytes:
            change = decode_change(raw, lambda value: self._customer(value, "customer_id"), self._rules["customer"])
            if change is not None:
                return change
        return self.decode(raw, now=now)

    def customer_id(self, written: str) -> str:
        """The canonical id of a customer.

        Raises:
            InvalidEvent: It is none, or that of anonymous sales.
        """
        found = self._customer(written, "customer_id")
        if found is None:
            raise InvalidEvent(f"customer_id cannot be taken; it must be {self._rules['customer']}.", "customer_id")
        return found

    def _fast(self, raw: bytes, now: int) -> Invoice:
        """Decodes by the shape that the bytes look like, or by the slow path if that fails."""
        try:
            if b'"lines"' in raw:
                event = self._whole.decode(raw)
                if event.invoice_no is not None:
                    return self._invoice(event, event.lines, _WHOLE_NAMES, now)
            else:
                line = self._flat.decode(raw)
                if line.InvoiceNo is not None and line.invoice_no is msgspec.UNSET:
                    return self._single(line, now)
        except msgspec.ValidationError:
            pass
        return self._slow(raw, now)

    def _slow(self, raw: bytes, now: int) -> Invoice:
        """Determines the shape and decodes; the error names the first wrong field."""
        try:
            probe = self._probe.decode(raw)
            if not bytes(probe.invoice_no) and bytes(probe.InvoiceNo):
                return self._single(self._flat.decode(raw), now)
            if not bytes(probe.invoice_no) and not bytes(probe.lines):
                raise InvalidEvent("The event has neither invoice_no with lines nor InvoiceNo; it is no invoice.")
            event = self._whole.decode(raw)
            return self._invoice(event, event.lines, _WHOLE_NAMES, now)
        except msgspec.ValidationError as error:
            raise self._wrong_type(str(error)) from None

    def _single(self, event: _Flat, now: int) -> Invoice:
        whole = _Whole(
            event.InvoiceNo,
            event.CustomerID,
            event.InvoiceDate,
            None,
            event.Country,
            event.type,
            event.version,
            event.customer,
        )
        line = _Line(
            event.StockCode, event.Quantity, event.UnitPrice, event.Description, event.line_id, event.attributes
        )
        return self._invoice(whole, [line], _FLAT_NAMES, now)

    def _invoice(self, event: _Whole, lines: list[_Line] | None, names: _Names, now: int) -> Invoice:
        settings = self._settings
        if event.type is not None and event.type != EVENT_TYPE:
            raise self._wrong("type")
        if event.version is not None and event.version != EVENT_VERSION:
            raise self._wrong("version")
        invoice_no = self._code(event.invoice_no, names.invoice)
        date = None if event.invoice_date is None else self._date(event.invoice_date)
        if date is None:
            raise self._wrong(names.date, missing=event.invoice_date is None)
        if date > now + settings.max_days_ahead * DAY:
            days = "1 day" if settings.max_days_ahead == 1 else f"{settings.max_days_ahead} days"
            reason = f"{names.date} {to_iso(date)} is ahead of the clock; it may be {days} ahead at most."
            raise EventAhead(reason, names.date)
        customer_id = self._customer(event.customer_id, names.customer)
        if not lines or len(lines) > settings.max_lines:
            raise self._wrong("lines", missing=lines is None)
        products, excluded = self._lines(lines, names, self._dialect.is_return(invoice_no))
        attributes = self._attributes.of_customer(event.country, event.customer, event.attributes)
        return Invoice(invoice_no, customer_id, date, tuple(products), attributes, excluded)

    def _lines(self, lines: list[_Line], names: _Names, is_return: bool) -> tuple[list[Line], dict[str, int]]:
        """The product sales and returns of an event, and the number of excluded lines by reason."""
        max_number, max_chars = self._max_number, self._max_description_chars
        product, of_item = self._product, self._attributes.of_item
        products: list[Line] = []
        excluded: dict[str, int] = {}
        for index, line in enumerate(lines):
            stock_code, quantity, price, description = line.stock_code, line.quantity, line.unit_price, line.description
            code, is_product = product(stock_code if isinstance(stock_code, str) else _text(stock_code))
            if not code:
                raise self._wrong(names.stock_code, names, index, missing=stock_code is None)
            if quantity is None or not -max_number <= quantity <= max_number:
                raise self._wrong(names.quantity, names, index, missing=quantity is None)
            thousandths = round(quantity * THOUSAND)
            # A quantity of three decimals is the nearest double, and so is this quotient.
            if thousandths / THOUSAND != quantity and thousandths / THOUSAND != to_decimal(quantity):
                raise self._wrong(names.quantity, names, index)
            if price is None or not -max_number <= price <= max_number:
                raise self._wrong(names.price, names, index, missing=price is None)
            if description is not None and len(description) > max_chars:
                raise self._wrong(names.description, names, index)
            line_id = None
            if line.line_id is not None and line.line_id != "" and not is_word_for_missing(str(line.line_id)):
                line_id = self._code(line.line_id, "line_id", names, index)
            reason = exclusion_reason(is_product, thousandths, price)
            if reason is not None:
                excluded[reason] = excluded.get(reason, 0) + 1
                continue
            if is_return:
                thousandths = -abs(thousandths)
            text = self._clean_text(description) or None if description else None
            products.append(Line(code, thousandths, to_decimal(price), text, line_id, of_item(line.attributes)))
        return products, excluded

    def _read_product(self, written: str) -> tuple[str, bool]:
        """The canonical stock code ("" where it is invalid), and whether it is a product."""
        text = written.strip()
        if is_missing(text) or len(text) > self._settings.max_code_chars or has_control(text):
            return "", False
        code = self._dialect.stock_code(text)
        return code, self._dialect.is_product(code)

    def _code(self, value: int | str | None, name: str, names: _Names = _FLAT_NAMES, index: int = 0) -> str:
        """An invoice number, stock code or line id as text."""
        text = value.strip() if isinstance(value, str) else "" if value is None else str(value)
        if is_missing(text) or len(text) > self._settings.max_code_chars or has_control(text):
            raise self._wrong(name, names, index, missing=value is None)
        return text

    def _customer(self, value: int | float | str | None, name: str) -> str | None:
        """A customer as text, ``12680.0`` as ``12680``; None for an anonymous sale, also under an anonymous id."""
        if value is None:
            return None
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        text = value.strip() if isinstance(value, str) else str(value)
        if match := _WHOLE_NUMBER.fullmatch(text):
            text = match[1]
        if len(text) > self._settings.max_code_chars or has_control(text):
            raise self._wrong(name)
        return None if is_missing(text) or text in self._anonymous else text

    def _wrong(self, name: str, names: _Names = _FLAT_NAMES, index: int = 0, *, missing: bool = False) -> InvalidEvent:
        within_line = names.line.format(index) if name not in ("type", "version") else ""
        problem = "is missing" if missing else "cannot be taken"
        field = f"{within_line}{name}"
        return InvalidEvent(f"{field} {problem}; it must be {self._rules[name]}.", field)

    def _wrong_type(self, error: str) -> InvalidEvent:
        """The reason of an error of msgspec ("Expected `str`, got `int` - at `$.lines[0].description`")."""
        _, found, path = error.partition(" - at `$.")
        path = path.rstrip("`")
        name = path.rpartition(".")[2]
        if not found:
            return InvalidEvent("The event is no JSON object; it must be one JSON object in UTF-8.")
        rule = "an object" if name.startswith("lines[") else self._rules.get(name, "left out")
        return InvalidEvent(f"{path} cannot be taken; it must be {rule}.", path)


def _text(value: int | None) -> str:
    return "" if value is None else str(value)


def _rules(settings: Settings) -> dict[str, str]:
    """The valid values of each field in words, by its name in either shape."""
    code = f"a string of 1 to {settings.max_code_chars:,} characters, no control characters, or an integer"
    customer = (
        f"a string of up to {settings.max_code_chars:,} characters, no control characters, a number, or null for an "
        "anonymous sale"
    )
    date = "a date with a time, such as 2011-12-09T12:50:00Z or 12/9/2011 12:50"
    price = f"a number within ±{settings.max_number:,}"
    quantity = f"{price} with at most three decimals"
    description = f"a string of up to {settings.max_description_chars:,} characters or null"
    return {
        "invoice_no": code,
        "InvoiceNo": code,
        "stock_code": code,
        "StockCode": code,
        "line_id": f"{code}, or null",
        "customer_id": customer,
        "customer": f"{code}, and a customer who is known",
        "CustomerID": customer,
        "invoice_date": date,
        "InvoiceDate": date,
        "quantity": quantity,
        "Quantity": quantity,
        "unit_price": price,
        "UnitPrice": price,
        "description": description,
        "Description": description,
        "lines": f"a list of 1 to {settings.max_lines:,} lines",
        "type": f'"{EVENT_TYPE}", or be left out',
        "version": f"{EVENT_VERSION}, or be left out",
    }
