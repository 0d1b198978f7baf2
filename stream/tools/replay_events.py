"""The rows of an invoice table as the events a shop would have sent, in time order.

Rows go as they are, the dirty ones too. The order depends on the table and the options alone. The table comes in parts;
the events of each are encoded, and all of them sorted through temporary files, so memory does not grow with the table.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec

from state.domain.identities import Identities
from state.events.attributes import COUNTRY, NO_ATTRIBUTES, Attributes
from state.events.dates import FIRST, to_iso
from state.events.invoice import THOUSAND, Invoice
from stream.tools.sorted_lines import KeyedLine, sort_lines

if TYPE_CHECKING:
    import pandas as pd

EventShape = Literal["lines", "invoices"]

LINES_AN_EVENT = 2_000
"""An invoice with more lines goes as several events; its history has all lines in one invoice again."""

RUN_BYTES = 64 << 20
"""Bytes of events that are sorted in memory at once: some 200,000, in three times the memory."""


_TEXTS = ("invoice_no", "stock_code", "description", "customer_id", "country", "line_id")
_NUMBERS = ("quantity", "unit_price", "date", "sort_date", "position")


class ReplayEvent(NamedTuple):
    """An event to send; ``date`` in seconds since 1970, None where the row has none."""

    key: bytes | None
    value: bytes
    date: int | None


def is_passed_over(event: ReplayEvent, known: Identities) -> bool:
    """Whether an event is one of an erased customer."""
    erasure = known.erasure(event.key.decode()) if event.key else None
    return erasure is not None and (event.date is None or erasure.covers(event.date))


class _EventLine(msgspec.Struct, array_like=True):
    """An event as a line of a temporary file."""

    customer_id: str | None
    date: int | None
    value: msgspec.Raw


class _Place(NamedTuple):
    """Where an event stands: by date, then by its first row in the table, then by its number in a long invoice."""

    sort_date: int
    position: int
    number: int = 0

    def key(self) -> str:
        """A text that sorts as the place does."""
        return f"{self.sort_date - FIRST + 1:012d}{self.position:012d}{self.number:06d}"


def replay_events(
    parts: "Iterable[pd.DataFrame]",
    shape: EventShape,
    *,
    since: int | None,
    until: int | None,
    customers: Mapping[str, Attributes] = MappingProxyType({}),
    items: Mapping[str, Attributes] = MappingProxyType({}),
    run_bytes: int = RUN_BYTES,
) -> Iterator[ReplayEvent]:
    """The events of a raw table that are dated in [``since``, ``until``), in time order.

    All parts are read before the first event is there. Events of one date are in the order of the table. A row without
    a date stays behind the row before it; it is left out where there is a bound.

    Args:
        parts: ``TableRows.parts`` of a table.
        shape: One event a row, or one for all rows with the same invoice, customer and date. The latter is sent when
            the first of its rows is due.
        since: Seconds since 1970, None for no bound.
        until: Seconds since 1970, None for no bound.
        customers: Attributes by customer id.
        items: Attributes by stock code.
        run_bytes: Bytes of events that are sorted in memory at once.
    """
    encoder = msgspec.json.Encoder()
    decoder = msgspec.json.Decoder(_EventLine)

    def lines() -> Iterator[KeyedLine]:
        for part in parts:
            rows = _rows(_rows_in_span(part, since, until))
            for place, customer_id, date, content in (_lines if shape == "lines" else _invoices)(
                rows, customers, items
            ):
                line = _EventLine(customer_id, date, msgspec.Raw(encoder.encode(content)))
                yield place.key(), encoder.encode(line)

    for line in sort_lines(lines(), run_bytes):
        customer_id, date, value = msgspec.structs.astuple(decoder.decode(line))
        yield ReplayEvent(_message_key(customer_id), bytes(value), date)


def _rows_in_span(frame: "pd.DataFrame", since: int | None, until: int | None) -> "pd.DataFrame":
    """The rows dated in [``since``, ``until``); without a bound also those without a date."""
    if since is not None:
        frame = frame[frame["date"] >= since]
    if until is not None:
        frame = frame[frame["date"] < until]
    return frame


def _rows(frame: "pd.DataFrame") -> Iterator[Any]:
    """The rows as tuples; texts are made all at once, as one by one they take half of the time."""
    read: Iterator[Any] = frame[[*_TEXTS, *_NUMBERS]].astype(dict.fromkeys(_TEXTS, object)).itertuples(index=False)
    return read


def encode_invoice(invoice: Invoice) -> bytes:
    """An invoice as JSON, as a storefront would send it."""
    customer = {key: value for key, value in invoice.attributes.items() if key != COUNTRY}
    return msgspec.json.encode(
        {
            "invoice_no": invoice.invoice_no,
            "customer_id": invoice.customer_id,
            "invoice_date": to_iso(invoice.date),
            "country": invoice.attributes.get(COUNTRY),
            **_customer_field(customer),
            "lines": [
                {
                    "stock_code": line.stock_code,
                    "description": line.description,
                    "quantity": line.quantity / THOUSAND if line.quantity % THOUSAND else line.quantity // THOUSAND,
                    "unit_price": line.unit_price,
                    **({} if line.line_id is None else {"line_id": line.line_id}),
                    **_item_field(line.attributes),
                }
                for line in invoice.lines
            ],
        }
    )


_Event = tuple[_Place, str | None, int | None, dict[str, Any]]
"""The place of an event, its customer and date, and its content."""


def _lines(
    rows: Iterable[Any], customers: Mapping[str, Attributes], items: Mapping[str, Attributes]
) -> Iterator[_Event]:
    for row in rows:
        customer_id, date = _text(row.customer_id), _integer(row.date)
        content: dict[str, Any] = {
            "InvoiceNo": _text(row.invoice_no),
            "StockCode": _text(row.stock_code),
            "Description": _text(row.description),
            "Quantity": _number(row.quantity),
            "InvoiceDate": None if date is None else to_iso(date),
            "UnitPrice": _number(row.unit_price),
            "CustomerID": customer_id,
            "Country": _text(row.country),
            **_customer_field(customers.get(row.customer_id, NO_ATTRIBUTES)),
            **_item_field(items.get(row.stock_code, NO_ATTRIBUTES)),
        }
        if (line_id := _text(row.line_id)) is not None:
            content["line_id"] = line_id
        yield _Place(row.sort_date, row.position), customer_id, date, content


def _invoices(
    rows: Iterable[Any], customers: Mapping[str, Attributes], items: Mapping[str, Attributes]
) -> Iterator[_Event]:
    # Not by runs of equal invoice numbers: the table may alternate between invoices of one minute.
    invoices: dict[tuple[int, str | None, str | None, int | None], list[Any]] = {}
    for row in rows:
        invoice = row.sort_date, _text(row.invoice_no), _text(row.customer_id), _integer(row.date)
        invoices.setdefault(invoice, []).append(row)
    for (sort_date, invoice_no, customer_id, date), lines in invoices.items():
        for number, first in enumerate(range(0, len(lines), LINES_AN_EVENT)):
            content = {
                "invoice_no": invoice_no,
                "customer_id": customer_id,
                "invoice_date": None if date is None else to_iso(date),
                "country": _text(lines[0].country),
                **_customer_field(customers.get(lines[0].customer_id, NO_ATTRIBUTES)),
                "lines": [_line(row, items) for row in lines[first : first + LINES_AN_EVENT]],
            }
            yield _Place(sort_date, lines[0].position, number), customer_id, date, content


def _line(row: Any, items: Mapping[str, Attributes]) -> dict[str, Any]:
    content: dict[str, Any] = {
        "stock_code": _text(row.stock_code),
        "description": _text(row.description),
        "quantity": _number(row.quantity),
        "unit_price": _number(row.unit_price),
        **_item_field(items.get(row.stock_code, NO_ATTRIBUTES)),
    }
    if (line_id := _text(row.line_id)) is not None:
        content["line_id"] = line_id
    return content


def _customer_field(attributes: Attributes) -> dict[str, Any]:
    return {"customer": {"attributes": attributes}} if attributes else {}


def _item_field(attributes: Attributes) -> dict[str, Any]:
    return {"attributes": attributes} if attributes else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: float) -> int | float | None:
    """A number as a shop writes it: without a decimal point where it is whole, null where it is not finite."""
    if not math.isfinite(value):
        return None
    return int(value) if value == int(value) else value


def _integer(value: float) -> int | None:
    return None if math.isnan(value) else int(value)


def _message_key(customer_id: str | None) -> bytes | None:
    """The customer id, which keeps the events of a customer in order; None for an anonymous sale."""
    return customer_id.encode() if customer_id else None
