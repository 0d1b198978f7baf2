"""A simulated storefront: its invoices, the sloppy ways in which it sends them, and invalid events in between.

It imports nothing of the package under test.
"""

import json
import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from typing import Any

from tests.integration.reference import Row


@dataclass(frozen=True)
class Event:
    """A record to produce. ``valid``: it must be processed; every other one must become a dead letter.

    ``rows``: the lines of a valid event.
    """

    value: bytes | None
    key: bytes | None
    valid: bool = True
    rows: tuple[Row, ...] = ()


@dataclass(frozen=True)
class Storefront:
    """A storefront's dialect and its rows, one list for each invoice."""

    dialect: str
    invoices: list[list[Row]]

    @property
    def rows(self) -> list[Row]:
        """All sales and returns."""
        return [row for invoice in self.invoices for row in invoice]


def open_storefront(count: int, window: int, rng: random.Random) -> Storefront:
    """``count`` invoices: of UCI Online Retail where ``NEXTBASKET_DATA`` has its Parquet file, else simulated.

    If a customer has more than ``window`` invoices, the lines of an invoice have one date: only then could the order in
    which lines of different dates arrive decide whether their invoice is in the window.
    """
    table = _table(os.environ.get("NEXTBASKET_DATA", ""))
    storefront = _uci(table, count) if table else _simulated(count, rng)
    numbers: dict[str | None, set[str]] = {}
    for row in storefront.rows:
        numbers.setdefault(row.customer_id, set()).add(row.invoice_no)
    return Storefront(
        storefront.dialect,
        [
            [replace(row, date=rows[0].date) for row in rows] if len(numbers[rows[0].customer_id]) > window else rows
            for rows in storefront.invoices
        ],
    )


def _table(setting: str) -> Path | None:
    path = Path(setting)
    if not setting or not path.exists():
        return None
    found = sorted(path.glob("*.parquet")) if path.is_dir() else [path] if path.suffix == ".parquet" else []
    return found[0] if found else None


def _uci(table: Path, count: int) -> Storefront:
    """The last invoices of the table, twenty lines each at most."""
    import pyarrow.parquet as parquet

    invoices: dict[str, list[Row]] = {}
    # Sorted by time, so that the last rows have the last invoices; 60 rows an invoice are more than enough.
    lines = parquet.read_table(table)
    for line in lines.slice(max(0, lines.num_rows - 60 * count)).to_pylist():
        number, code = str(line["InvoiceNo"]), str(line["StockCode"]).strip().upper()
        rows = invoices.setdefault(number, [])
        if len(rows) == 20:
            continue
        quantity = Decimal(int(line["Quantity"]))
        customer = line["CustomerID"]
        rows.append(
            Row(
                invoice_no=number,
                customer_id=None if customer is None or customer != customer else str(int(float(customer))),
                # The published dates have no zone; they are read as UTC.
                date=int(line["InvoiceDate"].replace(tzinfo=UTC).timestamp()),
                stock_code=code,
                description=line["Description"],
                quantity=-abs(quantity) if number.startswith("C") else quantity,
                price=float(line["UnitPrice"]),
                country=str(line["Country"]),
                product=code[:5].isdigit() and len(code) >= 5,
            )
        )
    return Storefront("uci", list(invoices.values())[-count:])


def _simulated(count: int, rng: random.Random) -> Storefront:
    """Customers with favourite items, returns and excluded lines; two customers buy very often."""
    start = int(datetime(2011, 1, 3, tzinfo=UTC).timestamp())
    codes = [f"{10_000 + 7 * i}{rng.choice(['', '', 'A', 'B'])}" for i in range(300)] + ["ÄÖ 12", "two  blanks", "{x}%"]
    prices = {code: rng.randrange(10, 2_000) / 100 for code in codes}
    customers = [str(12_000 + i) for i in range(400)] + ["zoë", "a b", "x{1}%y", "0012"]
    favourites = {customer: rng.sample(codes, 12) for customer in customers}
    invoices = []
    for number in range(count):
        customer = customers[rng.randrange(2)] if rng.random() < 0.03 else rng.choice(customers)
        date = start + rng.randrange(300 * 86_400)
        rows = []
        for index in range(rng.randrange(1, 9)):
            code = rng.choice(favourites[customer] if rng.random() < 0.7 else codes)
            quantity = Decimal(rng.randrange(1, 25)) if rng.random() < 0.9 else Decimal(rng.randrange(1, 9_999)) / 1000
            row = Row(str(500_000 + number), customer, date, code, f"ITEM {code}", quantity, prices[code])
            match rng.randrange(40):
                case 0:
                    row = replace(row, price=0.0)
                case 1:
                    row = replace(row, quantity=Decimal(0))
                case 2:
                    row = replace(row, price=-1.5)
                case 3 | 4 | 5 | 6:
                    row = replace(row, quantity=-quantity)
                case 7 | 8 | 9:
                    row = replace(row, line_id=f"line-{index // 2}")  # some ids occur twice
                case 10:
                    row = replace(row, date=date + rng.randrange(-86_400, 86_400))
            rows.append(row)
        if rng.random() < 0.05:
            rows = [replace(row, customer_id=None) for row in rows]
        invoices.append(rows)
    return Storefront("plain", invoices)


def sloppy_events(storefront: Storefront, rng: random.Random) -> list[Event]:
    """The events in both shapes, some line by line, 5 % twice, 30 % late, and 1 % invalid ones or more."""
    events = [event for invoice in storefront.invoices for event in _events(invoice, rng)]
    events += rng.sample(events, len(events) // 20)
    # A late event is anywhere after its position.
    positions = {index: float(index) for index in range(len(events))}
    for index in rng.sample(range(len(events)), len(events) * 3 // 10):
        positions[index] = rng.uniform(index, len(events))
    events = [events[index] for index in sorted(positions, key=positions.__getitem__)]
    invalid = invalid_events()
    invalid *= max(3, -(-len(events) // (100 * len(invalid))))
    positions = {index: float(index) for index in range(len(events))}
    events += invalid
    positions |= {len(positions) + index: rng.uniform(0.0, len(positions)) for index in range(len(invalid))}
    return [events[index] for index in sorted(positions, key=positions.__getitem__)]


def _events(invoice: list[Row], rng: random.Random) -> Iterator[Event]:
    """An invoice as one event, as a few parts, or line by line."""
    form = rng.random()
    if form < 0.4:
        parts = [invoice]
    elif form < 0.6:
        cut = rng.randrange(len(invoice) + 1)
        parts = [part for part in (invoice[:cut], invoice[cut:]) if part]
    else:
        parts = []
        yield from (_event(_flat(row, rng), [row], rng) for row in invoice)
    for part in parts:
        # An event has one date; a line with another date is a separate event.
        for _, group in groupby(part, key=lambda row: row.date):
            rows = list(group)
            yield _event(_whole(rows, rng), rows, rng)


def _event(content: dict[str, Any], rows: Sequence[Row], rng: random.Random) -> Event:
    text = json.dumps(content, ensure_ascii=rng.random() < 0.5)
    return Event(text.encode(), _key(rows[0], rng), rows=tuple(rows))


def _key(row: Row, rng: random.Random) -> bytes | None:
    """The customer, as documented, or one of the keys that storefronts use instead."""
    if rng.random() < 0.9:
        return (row.customer_id or "").encode()
    return rng.choice([None, b"", b"\xff\xfe\x00", b"12000", b"null", row.invoice_no.encode(), b"k" * 500])


def _whole(rows: list[Row], rng: random.Random) -> dict[str, Any]:
    first = rows[0]
    content: dict[str, Any] = {
        "invoice_no": _code(first.invoice_no, rng),
        "customer_id": _customer(first.customer_id, rng),
        "invoice_date": _date(first.date, rng),
        "country": first.country,
        "lines": [
            {
                "stock_code": _code(row.stock_code, rng),
                "description": row.description,
                "quantity": _quantity(row),
                "unit_price": row.price,
            }
            | ({"line_id": row.line_id} if row.line_id is not None else {})
            for row in rows
        ],
    }
    if rng.random() < 0.2:
        content |= {"type": "invoice", "version": 1, "channel": {"name": "web", "tags": [1, None]}}
    if rng.random() < 0.1:
        content["customer"] = {"age": 41, "city": "Zürich"}
        content["lines"][0]["attributes"] = {"category": "gifts"}
    return content


def _flat(row: Row, rng: random.Random) -> dict[str, Any]:
    content: dict[str, Any] = {
        "InvoiceNo": _code(row.invoice_no, rng),
        "StockCode": _code(row.stock_code, rng),
        "Description": row.description,
        "Quantity": _quantity(row),
        "InvoiceDate": _date(row.date, rng),
        "UnitPrice": row.price,
        "CustomerID": _customer(row.customer_id, rng),
        "Country": row.country,
    }
    if row.line_id is not None:
        content["line_id"] = row.line_id
    if content["CustomerID"] is None and rng.random() < 0.5:
        del content["CustomerID"]
    return content


def _quantity(row: Row) -> int | float:
    whole = int(row.quantity)
    return whole if whole == row.quantity else float(row.quantity)


def _code(text: str, rng: random.Random) -> str | int:
    if text.isdigit() and not text.startswith("0") and rng.random() < 0.3:
        return int(text)
    return f" {text} " if rng.random() < 0.1 else text


def _customer(customer: str | None, rng: random.Random) -> str | int | float | None:
    if customer is None:
        return rng.choice([None, ""])
    if customer.isdigit() and not customer.startswith("0"):
        written: list[str | int | float] = [customer, int(customer), float(customer), f"{customer}.0"]
        return rng.choice(written)
    return customer


def _date(seconds: int, rng: random.Random) -> str:
    time = datetime.fromtimestamp(seconds, UTC)
    formats = ["%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S.999Z", "%Y-%m-%dT%H:%M:%S+00:00"]
    if time.second == 0:
        formats += ["%Y-%m-%d %H:%M", f"{time.month}/{time.day}/%Y %H:%M"]
    chosen = rng.choice([*formats, ""])
    return time.strftime(chosen) if chosen else time.astimezone(timezone(timedelta(hours=5, minutes=30))).isoformat()


def invalid_events() -> list[Event]:
    """One event of every kind that must become a dead letter."""
    whole: dict[str, Any] = {
        "invoice_no": "700001",
        "customer_id": "66666",  # a customer without a valid event must stay unknown
        "invoice_date": "2011-06-01T10:00:00Z",
        "lines": [{"stock_code": "22613", "description": "NAPKINS", "quantity": 2, "unit_price": 0.85}],
    }
    flat: dict[str, Any] = {
        "InvoiceNo": "700002",
        "StockCode": "22613",
        "Description": "NAPKINS",
        "Quantity": 2,
        "InvoiceDate": "6/1/2011 10:00",
        "UnitPrice": 0.85,
        "CustomerID": 66666,
    }
    line = whole["lines"][0]

    def with_lines(name: str, *values: Any) -> list[dict[str, Any]]:
        return [whole | {"lines": [line, line | {name: value}]} for value in values]

    def without(content: dict[str, Any], name: str) -> dict[str, Any]:
        return {key: value for key, value in content.items() if key != name}

    def each(content: dict[str, Any], name: str, *values: Any) -> list[dict[str, Any]]:
        return [content | {name: value} for value in values]

    contents: list[Any] = [
        # Not an object, or not an invoice.
        None, True, 3, "invoice", [], [whole], {}, {"hello": "world"}, {"lines": []},
        # Missing and null.
        *(without(whole, name) for name in ("invoice_no", "invoice_date", "lines")),
        *(whole | {name: None} for name in ("invoice_no", "invoice_date", "lines")),
        *(without(flat, name) for name in ("InvoiceNo", "StockCode", "Quantity", "InvoiceDate", "UnitPrice")),
        *(flat | {name: None} for name in ("StockCode", "Quantity", "InvoiceDate", "UnitPrice")),
        *(whole | {"lines": [line, without(line, name)]} for name in ("stock_code", "quantity", "unit_price")),
        # Wrong types.
        *each(whole, "invoice_no", 1.5, True, [], {}, "", "   ", "x" * 101),
        *each(whole, "customer_id", True, [], {}, "x" * 101),
        *each(whole, "lines", [], {}, "none", 1, [None], [[]], [line, 7], [line] * 10_001),
        *with_lines("stock_code", None, 1.5, False, [], "", " ", "x" * 101),
        *with_lines("quantity", None, "12", [], True, 0.0001, 1e7 + 1, -1e9, 10**30),
        *with_lines("unit_price", None, "0.85", {}, False, 1e8, 10**400),
        *with_lines("description", 5, [], "x" * 1_001),
        *each(whole, "type", "refund", 1),
        *each(whole, "version", 2, "1"),
        # Invalid dates.
        *each(whole, "invoice_date",
            "", "yesterday", "2011-13-01T00:00:00Z", "2011-02-30 10:00", "13/13/2011 10:00", 1307000000, ["2011"],
            "2100-01-01T00:00:00Z", "9999-12-31T23:59:59Z",
        ),
    ]  # fmt: skip
    texts = [json.dumps(content).encode() for content in contents]
    good = json.dumps(whole).encode()
    raw: list[bytes | None] = [
        None,
        b"",
        b" ",
        b"\x00",
        b"not json",
        b"{",
        good[:-1],
        good + b"}",
        good + good,
        good.replace(b"NAPKINS", b"NAP\xff\xfeKINS"),
        good.replace(b"NAPKINS", b"NAP\xed\xa0\x80KINS"),
        good.decode().encode("utf-16"),
        good.replace(b"0.85", b"NaN"),
        good.replace(b"0.85", b"Infinity"),
        good.replace(b"0.85", b"1e999"),
        good.replace(b": 2,", b": -Infinity,"),
        good.replace(b"NAPKINS", b"NAP\nKINS"),
        b"[" * 50_000,
        b'{"a":' * 50_000,
        good.replace(b'"lines"', b'"x": ' + b"[" * 5_000 + b"]" * 5_000 + b', "lines"'),
        b'{"invoice_no": "' + b"x" * 900_000 + b'"}',
        json.dumps(whole | {"note": "x" * 1_000_000}).encode(),
        b"InvoiceNo,StockCode\n1,2",
        b"<invoice/>",
        bytes(range(256)),
    ]
    keys = [b"66666", None, b"12000", b"\xff"]
    return [Event(value, keys[i % len(keys)], valid=False) for i, value in enumerate([*texts, *raw])]
