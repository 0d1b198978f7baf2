"""Replay: an invoice table as the events a shop would have sent, in time order, into Kafka.

The rows go as they are, the dirty ones too. The order is fixed by the table and the options, so a replay is known by a
number: how many of its first events Kafka has confirmed. That number is all it needs to go on after an interruption.
"""

import hashlib
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec

from state.events.attributes import COUNTRY, NO_ATTRIBUTES, Attributes
from state.events.dates import to_iso
from state.events.invoice import THOUSAND, Invoice

if TYPE_CHECKING:
    import pandas as pd
    from kafka import KafkaProducer

Shape = Literal["lines", "invoices"]

LINES_AN_EVENT = 2_000
"""An invoice with more lines goes as several events; they come together again in the history."""

SAVE_EVERY_S = 1.0
IN_FLIGHT = 20_000
"""Events sent and not yet confirmed, at most."""


NOTHING_KNOWN: Mapping[str, Attributes] = {}
"""Attributes of nobody, of no item."""


class Outgoing(NamedTuple):
    """An event to send; ``date`` in seconds since 1970, None where the row has none."""

    key: bytes | None
    value: bytes
    date: int | None


class Progress(msgspec.Struct):
    """How far a replay has come: ``done`` events of the replay that ``what`` identifies."""

    what: str
    done: int = 0


class Sent(NamedTuple):
    """What came of a replay: events confirmed, events the broker refused, seconds."""

    confirmed: int
    refused: int
    seconds: float


def wire_event(invoice: Invoice) -> bytes:
    """An invoice as a storefront would send it."""
    others = {key: value for key, value in invoice.attributes.items() if key != COUNTRY}
    return msgspec.json.encode(
        {
            "invoice_no": invoice.invoice_no,
            "customer_id": invoice.customer_id,
            "invoice_date": to_iso(invoice.date),
            "country": invoice.attributes.get(COUNTRY),
            **_of_customer(others),
            "lines": [
                {
                    "stock_code": line.stock_code,
                    "description": line.description,
                    "quantity": line.quantity / THOUSAND if line.quantity % THOUSAND else line.quantity // THOUSAND,
                    "unit_price": line.unit_price,
                    **({} if line.line_id is None else {"line_id": line.line_id}),
                    **_of_item(line.attributes),
                }
                for line in invoice.lines
            ],
        }
    )


def events(
    frame: "pd.DataFrame",
    shape: Shape,
    *,
    since: int | None,
    until: int | None,
    customers: Mapping[str, Attributes] = NOTHING_KNOWN,
    items: Mapping[str, Attributes] = NOTHING_KNOWN,
) -> Iterator[Outgoing]:
    """The events of a raw table (``datasets.InvoiceTable``) dated in [``since``, ``until``), in time order.

    Rows without a date stay behind the row they follow, and go only where neither bound is set. With ``invoices``, rows
    of one invoice, customer and date go together, at the place of the first of them. They carry the attributes of
    ``customers`` by id, and of ``items`` by stock code.
    """
    rows: Iterator[Any] = in_order(frame, since, until).itertuples(index=False)
    return (_lines if shape == "lines" else _invoices)(rows, customers, items)


def in_order(frame: "pd.DataFrame", since: int | None, until: int | None) -> "pd.DataFrame":
    """The rows within the bounds, by date, those of one date as in the table; ``date`` holds seconds since 1970."""
    import numpy as np

    dated = frame.assign(
        date=frame["invoice_date"].dt.as_unit("s").astype("int64").where(frame["invoice_date"].notna(), np.nan)
    )
    dated = dated.assign(place=dated["date"].ffill().fillna(-math.inf))
    if since is not None:
        dated = dated[dated["date"] >= since]
    if until is not None:
        dated = dated[dated["date"] < until]
    return dated.sort_values("place", kind="stable")


def identity(path: Path, *choices: object) -> str:
    """What a replay is known by: its table's content and the options that decide which events it has, and where to."""
    digest = hashlib.sha256()
    if path.is_file():
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    else:
        digest.update(str(path).encode())
    digest.update(repr(choices).encode())
    return digest.hexdigest()


def pace(outgoing: Iterable[Outgoing], *, rate: float | None, speed: float | None) -> Iterator[Outgoing]:
    """The events at ``rate`` a second, or ``speed`` times as fast as they happened, or as fast as they are taken."""
    began = time.monotonic()
    first: int | None = None
    for place, event in enumerate(outgoing):
        due = 0.0
        if rate is not None:
            due = place / rate
        elif speed is not None and event.date is not None:
            first = event.date if first is None else first
            due = (event.date - first) / speed
        wait = began + due - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        yield event


def send(
    producer: "KafkaProducer",
    topic: str,
    outgoing: Iterable[Outgoing],
    progress: Progress,
    *,
    save: Callable[[Progress], None],
    show: Callable[[int], object],
) -> Sent:
    """Send events and wait until Kafka has confirmed them; ``progress.done`` counts those with none open before them.

    ``save`` is called about once a second and at the end, whatever ends it; ``show`` with how many are newly confirmed.

    Raises:
        KafkaError: Kafka does not answer within the producer's limits; what was confirmed is saved.
    """
    began = saved = time.monotonic()
    open_futures: deque[Any] = deque()
    confirmed = refused = 0

    def settle(most_open: int) -> None:
        nonlocal confirmed, refused
        newly = 0
        while open_futures and (len(open_futures) > most_open or open_futures[0].is_done):
            if _confirmed(open_futures[0]):
                confirmed += 1
            else:
                refused += 1
            open_futures.popleft()
            newly += 1
        progress.done += newly
        show(newly)

    try:
        for event in outgoing:
            open_futures.append(producer.send(topic, key=event.key, value=event.value))
            if time.monotonic() - saved > SAVE_EVERY_S or len(open_futures) > IN_FLIGHT:
                settle(IN_FLIGHT // 2)
                save(progress)
                saved = time.monotonic()
        settle(0)
    except KeyboardInterrupt:
        producer.flush(timeout=5)
        settle(len(open_futures))
        raise
    finally:
        save(progress)
    return Sent(confirmed, refused, time.monotonic() - began)


def _confirmed(future: Any) -> bool:
    """Wait for one confirmation; False where the broker will never take the event."""
    from kafka.errors import MessageSizeTooLargeError

    try:
        future.get(timeout=None)
    except MessageSizeTooLargeError:
        return False
    return True


def _lines(
    rows: Iterable[Any], customers: Mapping[str, Attributes], items: Mapping[str, Attributes]
) -> Iterator[Outgoing]:
    encode = msgspec.json.Encoder().encode
    for row in rows:
        date = _whole(row.date)
        content: dict[str, Any] = {
            "InvoiceNo": _text(row.invoice_no),
            "StockCode": _text(row.stock_code),
            "Description": _text(row.description),
            "Quantity": _number(row.quantity),
            "InvoiceDate": None if date is None else to_iso(date),
            "UnitPrice": _number(row.unit_price),
            "CustomerID": _text(row.customer_id),
            "Country": _text(row.country),
            **_of_customer(customers.get(row.customer_id, NO_ATTRIBUTES)),
            **_of_item(items.get(row.stock_code, NO_ATTRIBUTES)),
        }
        if (line_id := _text(row.line_id)) is not None:
            content["line_id"] = line_id
        yield Outgoing(_key(_text(row.customer_id)), encode(content), date)


def _invoices(
    rows: Iterable[Any], customers: Mapping[str, Attributes], items: Mapping[str, Attributes]
) -> Iterator[Outgoing]:
    encode = msgspec.json.Encoder().encode
    # Not consecutive rows only: two invoices of one minute may stand mixed in the table.
    for _, moment in groupby(rows, key=lambda row: row.place):
        together: dict[tuple[str | None, str | None, int | None], list[Any]] = {}
        for row in moment:
            which = _text(row.invoice_no), _text(row.customer_id), _whole(row.date)
            together.setdefault(which, []).append(row)
        for (invoice_no, customer_id, date), members in together.items():
            for first in range(0, len(members), LINES_AN_EVENT):
                content = {
                    "invoice_no": invoice_no,
                    "customer_id": customer_id,
                    "invoice_date": None if date is None else to_iso(date),
                    "country": _text(members[0].country),
                    **_of_customer(customers.get(members[0].customer_id, NO_ATTRIBUTES)),
                    "lines": [_line(row, items) for row in members[first : first + LINES_AN_EVENT]],
                }
                yield Outgoing(_key(customer_id), encode(content), date)


def _line(row: Any, items: Mapping[str, Attributes]) -> dict[str, Any]:
    content: dict[str, Any] = {
        "stock_code": _text(row.stock_code),
        "description": _text(row.description),
        "quantity": _number(row.quantity),
        "unit_price": _number(row.unit_price),
        **_of_item(items.get(row.stock_code, NO_ATTRIBUTES)),
    }
    if (line_id := _text(row.line_id)) is not None:
        content["line_id"] = line_id
    return content


def _of_customer(attributes: Attributes) -> dict[str, Any]:
    return {"customer": {"attributes": attributes}} if attributes else {}


def _of_item(attributes: Attributes) -> dict[str, Any]:
    return {"attributes": attributes} if attributes else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: float) -> int | float | None:
    """A number as a shop writes it: whole ones without a point, what is none as null."""
    if not math.isfinite(value):
        return None
    return int(value) if value == int(value) else value


def _whole(value: float) -> int | None:
    return None if math.isnan(value) else int(value)


def _key(customer_id: str | None) -> bytes | None:
    """The customer, so that a customer's events stay in order; none for an anonymous sale."""
    return customer_id.encode() if customer_id else None
