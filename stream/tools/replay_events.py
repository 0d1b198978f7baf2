"""The rows of an invoice table as the events a shop would have sent, in time order.

Rows go as they are, the dirty ones too. The order depends on the table and the options alone.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec

from state.domain.identities import Identities
from state.events.attributes import COUNTRY, NO_ATTRIBUTES, Attributes
from state.events.dates import to_iso
from state.events.invoice import THOUSAND, Invoice

if TYPE_CHECKING:
    import pandas as pd

EventShape = Literal["lines", "invoices"]

LINES_AN_EVENT = 2_000
"""An invoice with more lines goes as several events; its history has all lines in one invoice again."""


class ReplayEvent(NamedTuple):
    """An event to send; ``date`` in seconds since 1970, None where the row has none."""

    key: bytes | None
    value: bytes
    date: int | None


def is_passed_over(event: ReplayEvent, known: Identities) -> bool:
    """Whether an event is one of an erased customer."""
    erasure = known.erasure(event.key.decode()) if event.key else None
    return erasure is not None and (event.date is None or erasure.covers(event.date))


def replay_events(
    frame: "pd.DataFrame",
    shape: EventShape,
    *,
    since: int | None,
    until: int | None,
    customers: Mapping[str, Attributes] = MappingProxyType({}),
    items: Mapping[str, Attributes] = MappingProxyType({}),
) -> Iterator[ReplayEvent]:
    """The events of a raw table that are dated in [``since``, ``until``), in time order.

    Args:
        frame: The frame of a ``invoice_table.InvoiceTable``.
        shape: One event a row, or one for all rows with the same invoice, customer and date. The latter is sent when
            the first of its rows is due.
        since: Seconds since 1970, None for no bound.
        until: Seconds since 1970, None for no bound.
        customers: Attributes by customer id.
        items: Attributes by stock code.
    """
    rows: Iterator[Any] = rows_in_span(frame, since, until).itertuples(index=False)
    return (_line_events if shape == "lines" else _invoice_events)(rows, customers, items)


def rows_in_span(frame: "pd.DataFrame", since: int | None, until: int | None) -> "pd.DataFrame":
    """The rows dated in [``since``, ``until``) by date; rows of one date stay in the order of the table.

    ``date`` holds seconds since 1970. A row without a date stays behind the row before it, whose date it has as its
    ``sort_date``; it is left out where there is a bound.
    """
    import numpy as np

    dated = frame.assign(
        date=frame["invoice_date"].dt.as_unit("s").astype("int64").where(frame["invoice_date"].notna(), np.nan)
    )
    dated = dated.assign(sort_date=dated["date"].ffill().fillna(-math.inf))
    if since is not None:
        dated = dated[dated["date"] >= since]
    if until is not None:
        dated = dated[dated["date"] < until]
    return dated.sort_values("sort_date", kind="stable")


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


def _line_events(
    rows: Iterable[Any], customers: Mapping[str, Attributes], items: Mapping[str, Attributes]
) -> Iterator[ReplayEvent]:
    encode = msgspec.json.Encoder().encode
    for row in rows:
        date = _integer(row.date)
        content: dict[str, Any] = {
            "InvoiceNo": _text(row.invoice_no),
            "StockCode": _text(row.stock_code),
            "Description": _text(row.description),
            "Quantity": _number(row.quantity),
            "InvoiceDate": None if date is None else to_iso(date),
            "UnitPrice": _number(row.unit_price),
            "CustomerID": _text(row.customer_id),
            "Country": _text(row.country),
            **_customer_field(customers.get(row.customer_id, NO_ATTRIBUTES)),
            **_item_field(items.get(row.stock_code, NO_ATTRIBUTES)),
        }
        if (line_id := _text(row.line_id)) is not None:
            content["line_id"] = line_id
        yield ReplayEvent(_message_key(_text(row.customer_id)), encode(content), date)


def _invoice_events(
    rows: Iterable[Any], customers: Mapping[str, Attributes], items: Mapping[str, Attributes]
) -> Iterator[ReplayEvent]:
    encode = msgspec.json.Encoder().encode
    # By date, not by runs of equal invoice numbers: the table may alternate between invoices of one minute.
    for _, same_date in groupby(rows, key=lambda row: row.sort_date):
        invoices: dict[tuple[str | None, str | None, int | None], list[Any]] = {}
        for row in same_date:
            invoice = _text(row.invoice_no), _text(row.customer_id), _integer(row.date)
            invoices.setdefault(invoice, []).append(row)
        for (invoice_no, customer_id, date), lines in invoices.items():
            for first in range(0, len(lines), LINES_AN_EVENT):
                content = {
                    "invoice_no": invoice_no,
                    "customer_id": customer_id,
                    "invoice_date": None if date is None else to_iso(date),
                    "country": _text(lines[0].country),
                    **_customer_field(customers.get(lines[0].customer_id, NO_ATTRIBUTES)),
                    "lines": [_line(row, items) for row in lines[first : first + LINES_AN_EVENT]],
                }
                yield ReplayEvent(_message_key(customer_id), encode(content), date)


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
