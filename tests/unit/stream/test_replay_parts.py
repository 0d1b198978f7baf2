"""Events of a table in parts are those of the whole table in memory, in the same order, to the byte."""

import json
import math
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any, get_args

import msgspec
import pandas as pd
import pytest

from state.events.dates import to_iso
from state.settings import Settings
from stream.tools import replay_events as events_module
from stream.tools.replay_events import EventShape, ReplayEvent, replay_events
from tests.unit.data.test_case_study import write
from training.data.cleaning.clean import dialect_assumptions, shop_dialect_of
from training.data.table_rows import TableRows
from training.data.tables import parquet
from training.data.tables.invoice_table import (
    InvoiceTable,
    TableBatches,
    from_frame,
    load,
    load_batches,
    separate_invoices,
)
from training.data.tables.receipts import NumberUse

Cells = dict[str, Any]
PLAIN = Settings(dialect="plain")
DAY = pd.Timestamp("2011-12-05 10:00")


def row(at: int, **cells: Any) -> Cells:
    """Two lines of each of two invoices of one minute in turn, then of the next two; customers come again."""
    minute = at // 4
    return {
        "invoice_no": f"{700 + 2 * minute + at % 2}",
        "stock_code": f"a{at % 5}",
        "description": f"MUG {at % 3}",
        "quantity": 1 + at % 3,
        "invoice_date": DAY + pd.Timedelta(minutes=minute),
        "unit_price": 1.5,
        "customer_id": f"c{minute % 5}{at % 2}",
        "country": "France",
    } | cells


KINDS: dict[str, Callable[[int], Cells]] = {
    "invoices alternate within a minute": row,
    "latest first": lambda at: row(at, invoice_date=DAY - pd.Timedelta(minutes=at // 4)),
    "some rows have no date": lambda at: row(at, **({"invoice_date": None} if at % 7 < 2 else {})),
    "no row has a date": lambda at: row(at, invoice_date=None),
    "one date": lambda at: row(at, invoice_date=DAY),
    "sales without a customer": lambda at: row(at, **({"customer_id": None} if at % 3 else {})),
    "only sales without a customer": lambda at: row(at, customer_id=None, invoice_no=f"{at % 4}" if at % 5 else None),
    "without number and customer": lambda at: row(at, customer_id=None, invoice_no=None, invoice_date=None),
    "numbers start anew": lambda at: row(
        at,
        invoice_no=f"{at % 6}",
        customer_id=f"c{at % 5}",
        invoice_date=DAY + pd.Timedelta(days=10 * (at // 10)),
    ),
    "equal lines differ in another column": lambda at: row(at // 2, description=f"MUG {at % 2}", shelf=f"{at % 2}"),
    "a line id stands for several items": lambda at: row(at, line_id=f"{at % 2}", customer_id="c1", invoice_no="7"),
    "no numbers": lambda at: row(at, quantity="many" if at % 4 == 0 else 2, unit_price=float("nan")),
    "a customer in several spellings": lambda at: row(at, customer_id=("1", "1.0", " 1 ")[at % 3]),
}
SPANS = {
    "all": (None, None),
    "from": (DAY + pd.Timedelta(minutes=3), None),
    "to": (None, DAY + pd.Timedelta(minutes=5)),
    "both": (DAY + pd.Timedelta(minutes=2), DAY + pd.Timedelta(minutes=6)),
}


SIZES = ((9, 500), (1_000, 1_000_000))
"""Rows of a part, and bytes that are sorted in memory: some parts and many runs; one part in memory."""


def seconds(date: pd.Timestamp | None) -> int | None:
    return None if date is None else int(date.tz_localize("UTC").timestamp())


def at_once(table: InvoiceTable, shape: EventShape, since: int | None, until: int | None) -> list[ReplayEvent]:
    """The events of a whole table in memory: sorted by date, invoices of one date in the order of their first rows."""
    use = NumberUse()
    use.add(table.frame["invoice_no"], table.frame["customer_id"])
    frame = separate_invoices(replace(table, start_anew=use.start_anew), uci=False).frame
    dates = frame["invoice_date"].dt.as_unit("s").astype("int64").where(frame["invoice_date"].notna(), math.nan)
    frame = frame.assign(date=dates, sort_date=dates.ffill().fillna(-math.inf))
    if since is not None:
        frame = frame[frame["date"] >= since]
    if until is not None:
        frame = frame[frame["date"] < until]
    rows: list[Any] = [*frame.sort_values("sort_date", kind="stable").itertuples(index=False)]
    events: list[tuple[Any, Any, Cells]] = []
    if shape == "lines":
        names = {"invoice_no": "InvoiceNo", "stock_code": "StockCode", "description": "Description"}
        names |= {"quantity": "Quantity", "invoice_date": "InvoiceDate", "unit_price": "UnitPrice"}
        names |= {"customer_id": "CustomerID", "country": "Country"}
        for one in rows:
            content = {new: value(getattr(one, name)) for name, new in names.items()}
            content["InvoiceDate"] = None if math.isnan(one.date) else to_iso(int(one.date))
            events.append((value(one.customer_id), one.date, content | line_id(one)))
    for _, same_date in groupby(rows if shape == "invoices" else [], key=lambda one: one.sort_date):
        invoices: dict[Any, list[Any]] = {}
        for one in same_date:
            key = value(one.invoice_no), value(one.customer_id), None if math.isnan(one.date) else int(one.date)
            invoices.setdefault(key, []).append(one)
        for (number, customer, date), lines in invoices.items():
            for first in range(0, len(lines), events_module.LINES_AN_EVENT):
                content = {
                    "invoice_no": number,
                    "customer_id": customer,
                    "invoice_date": None if date is None else to_iso(date),
                    "country": value(lines[0].country),
                    "lines": [
                        {
                            "stock_code": value(one.stock_code),
                            "description": value(one.description),
                            "quantity": value(one.quantity),
                            "unit_price": value(one.unit_price),
                        }
                        | line_id(one)
                        for one in lines[first : first + events_module.LINES_AN_EVENT]
                    ],
                }
                events.append((customer, lines[0].date, content))
    return [
        ReplayEvent(
            customer.encode() if customer else None,
            msgspec.json.encode(content),
            None if math.isnan(date) else int(date),
        )
        for customer, date, content in events
    ]


def value(cell: Any) -> Any:
    """A cell as in an event."""
    if isinstance(cell, float):
        return None if math.isnan(cell) else int(cell) if cell.is_integer() else cell
    return cell if isinstance(cell, str) else None


def line_id(one: Any) -> Cells:
    return {} if value(one.line_id) is None else {"line_id": one.line_id}


def table(kind: str, number: int = 45) -> InvoiceTable:
    raw = pd.DataFrame([KINDS[kind](at) for at in range(number)])
    return from_frame(raw.astype({"invoice_date": "datetime64[s]"}))


def batches(whole: InvoiceTable, size: int = 11) -> TableBatches:
    """A table some rows at a time; the first batch has its assumptions."""
    tables = (
        replace(
            whole,
            frame=whole.frame[first : first + size].reset_index(drop=True),
            assumptions=() if first else whole.assumptions,
        )
        for first in range(0, len(whole.frame), size)
    )
    return TableBatches(len(whole.frame), tables)


@pytest.mark.parametrize("kind", KINDS)
def test_events_of_parts_are_those_of_the_whole(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.data.cleaning.partition._ROWS_AT_ONCE", 13)
    monkeypatch.setattr(events_module, "LINES_AN_EVENT", 3)
    whole = table(kind)
    for span in SPANS.values():
        since, until = map(seconds, span)
        for shape in get_args(EventShape):
            expected = at_once(whole, shape, since, until)
            for part_rows, run_bytes in SIZES if span == SPANS["all"] else SIZES[:1]:
                rows = TableRows(batches(whole), PLAIN, part_rows)
                sent = replay_events(rows.parts(), shape, since=since, until=until, run_bytes=run_bytes)
                assert [*sent] == expected
                assert rows.number == len(whole.frame)
            assert expected or span != SPANS["all"]


def test_more_parts_than_files_have_the_same_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.data.cleaning.partition.MAX_FILES", 3)
    whole = table("sales without a customer")

    rows = TableRows(batches(whole), PLAIN, 6)

    sent = [*replay_events(rows.parts(), "invoices", since=None, until=None)]
    assert sent == at_once(whole, "invoices", None, None)


@pytest.mark.parametrize(("dialect", "number"), [("uci", 1), ("plain", 3), (None, 2)])
def test_how_a_table_was_read_is_said_as_by_the_whole(dialect: str | None, number: int) -> None:
    """Receipts of one number, lines told apart, and the dialect, of which each part could say less."""
    settings = Settings() if dialect is None else Settings(dialect=dialect)
    whole = replace(table("numbers start anew"), uci=True)
    whole = replace(whole, frame=pd.concat([whole.frame, table("equal lines differ in another column").frame]))
    whole = replace(whole, frame=whole.frame.reset_index(drop=True))
    use = NumberUse()
    use.add(whole.frame["invoice_no"], whole.frame["customer_id"])
    name = shop_dialect_of(whole, settings).name
    expected = separate_invoices(replace(whole, start_anew=use.start_anew), uci=name == "uci")

    rows = TableRows(batches(whole), settings, 9)
    for _ in rows.parts():
        pass

    said = [*expected.assumptions, *dialect_assumptions(whole, settings)]
    assert {(each.where, each.what, each.rows) for each in rows.reading.assumptions} == {
        (each.where, each.what, each.rows) for each in said
    }
    assert len(rows.reading.assumptions) == len(said)
    assert rows.dialect.name == rows.reading.dialect == name
    assert len(said) == number


def test_the_dates_of_a_table_are_known() -> None:
    for kind, expected in (
        ("latest first", (seconds(DAY - pd.Timedelta(minutes=11)), seconds(DAY))),
        ("no row has a date", None),
    ):
        rows = TableRows(batches(table(kind)), PLAIN)
        for _ in rows.parts():
            pass
        assert rows.dates == expected


@pytest.mark.parametrize("form", ["folder of Parquet", "CSV"])
def test_files_in_batches_have_the_events_of_the_whole(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = pd.DataFrame([row(at) for at in range(60)])
    path = tmp_path / "shop.csv"
    if form == "CSV":
        raw.to_csv(path, index=False)
    else:
        path = tmp_path / "shop"
        path.mkdir()
        for number, first in enumerate(range(0, 60, 25)):
            raw[first : first + 25].to_parquet(path / f"{number}.parquet")
    expected = at_once(load(path), "invoices", None, None)
    monkeypatch.setattr(parquet, "BATCH_ROWS", 7)
    monkeypatch.setattr("training.data.tables.files.READ_AT_ONCE", 0)
    monkeypatch.setattr("training.data.tables.delimited_batches.BATCH_BYTES", 500)
    read = load_batches(path)

    tables = [*read.tables]
    rows = TableRows(read._replace(tables=iter(tables)), PLAIN, 9)

    assert len(tables) >= 5
    assert [*replay_events(rows.parts(), "invoices", since=None, until=None)] == expected


def test_attributes_of_the_case_study_come_with_each_part(tmp_path: Path) -> None:
    write(tmp_path)
    read = load_batches(tmp_path)
    sent = []
    for part_rows in (1_000, 1):
        rows = TableRows(load_batches(tmp_path), PLAIN, part_rows)
        assert rows.customers
        assert rows.items
        events = replay_events(
            rows.parts(), "lines", since=None, until=None, customers=rows.customers, items=rows.items
        )
        sent.append([*events])
    assert sent[0] == sent[1]
    assert len(sent[0]) == read.rows
    assert any("customer" in json.loads(event.value) for event in sent[0])


def test_temporary_files_have_no_name_to_be_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So they are gone however the process ends."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr("training.data.cleaning.partition._ROWS_AT_ONCE", 13)
    left: list[Path] = []
    rows = TableRows(batches(table("invoices alternate within a minute")), PLAIN, 9)

    def parts() -> Iterator[pd.DataFrame]:
        for part in rows.parts():
            left.extend(tmp_path.iterdir())
            yield part

    for _ in replay_events(parts(), "lines", since=None, until=None, run_bytes=500):
        left.extend(tmp_path.iterdir())
    assert left == []
    assert rows.number == 45


def peak_of_reading(number: int, part_rows: int) -> int:
    """Greatest number of bytes that are allocated at once while a table is read and its events are sorted."""

    def tables() -> Iterator[InvoiceTable]:
        for first in range(0, number, 500):
            raw = pd.DataFrame([row(at, customer_id=f"c{at // 20}") for at in range(first, first + 500)])
            yield replace(from_frame(raw.astype({"invoice_date": "datetime64[s]"})), start_anew=False)

    rows = TableRows(TableBatches(number, tables()), PLAIN, part_rows)
    tracemalloc.start()
    try:
        events = replay_events(rows.parts(), "lines", since=None, until=None, run_bytes=100_000)
        assert sum(1 for _ in events) == number
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.data.cleaning.partition._ROWS_AT_ONCE", 500)
    peak_of_reading(500, 500)  # what is loaded once

    growth = (peak_of_reading(8_000, 500) - peak_of_reading(2_000, 500)) / 6_000

    assert growth < 100, "bytes a row: the buffers of temporary files, not the row and its event, some 1,000"
