"""Tables that are read in batches: nothing depends on where a batch ends."""

import gzip
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from state.settings import Settings
from training.data import columns
from training.data.errors import DataError
from training.data.log import read_table
from training.data.tables import delimited_batches, files, parquet
from training.data.tables.invoice_table import load_batches

Rows = list[dict[str, Any]]
NAN = float("nan")


def shop(number: int = 12) -> Rows:
    """Rows of invoices with two lines each, of three customers in turn, none of UCI's dialect."""
    return [
        {
            "invoice_no": f"{700 + row // 2}",
            "stock_code": f"a{row % 5}",
            "description": "MUG",
            "quantity": 1 + row % 3,
            "invoice_date": pd.Timestamp("2011-01-03 10:00") + pd.Timedelta(days=row // 2),
            "unit_price": 1.5,
            "customer_id": f"c{row // 2 % 3}",
            "country": "France",
        }
        for row in range(number)
    ]


def changed(change: Callable[[int, dict[str, Any]], dict[str, Any]], number: int = 12) -> Rows:
    return [row | change(at, row) for at, row in enumerate(shop(number))]


def repeated(**by_row: Any) -> Rows:
    """One row nine times, its last copy in another batch than the first; the columns given have a value for each."""
    (row,) = shop(1)
    return [row | {name: values[at] for name, values in by_row.items()} for at in range(9)]


KINDS: dict[str, Rows] = {
    "the number is on the first row of an order": changed(
        lambda at, row: {"invoice_no": row["invoice_no"] if at % 2 == 0 else None}
    ),
    "later rows have a blank for the number": changed(
        lambda at, row: {"invoice_no": row["invoice_no"] if at % 2 == 0 else " "}
    ),
    "the customer is on the first row of an order": changed(
        lambda at, row: {"customer_id": row["customer_id"] if at % 2 == 0 else None}
    ),
    "later rows have a word for the customer": changed(
        lambda at, row: {"customer_id": row["customer_id"] if at % 2 == 0 else "NULL"}
    ),
    "a column that is not read has a gap": repeated(pieces=[1, 1, 1, None, 1, 1, 1, 1, 1]),
    "a date that is not read has a time": repeated(
        shipped=[pd.Timestamp("2011-02-01") + pd.Timedelta(hours=int(at == 2)) for at in range(9)]
    ),
    "codes of UCI's come late": changed(
        lambda at, row: {"stock_code": "POST" if at == 11 else f"2261{at}", "invoice_no": f"70000{at // 2}"}
    ),
    "other codes come late in columns of UCI's": [
        {name: row[column] for name, column in columns.UCI.items()}
        for row in changed(lambda at, row: {"stock_code": "22613" if at < 120 else "4011"}, 300)
    ],
    "words of events are near each other by chance": changed(
        lambda at, row: {"note": ("view", "purchase", "view")[at] if at < 3 else "note" + "x" * at}, 60
    ),
    "thousands of customers have a comma": changed(lambda at, row: {"customer_id": f"1,00{at // 4}"}),
    "only some customers look like thousands": changed(lambda at, row: {"customer_id": "1,001" if at < 6 else "c1"}),
    "customers have the mark of spreadsheets": changed(lambda at, row: {"customer_id": f"'1200{at // 4}"}),
    "only some customers have a quote": changed(lambda at, row: {"customer_id": "'12001" if at < 6 else "c1"}),
    "some bytes are no UTF-8": changed(
        lambda at, row: {"stock_code": f"é{at % 5}".encode("cp1252" if at == 11 else "utf-8")}
    ),
    "numbers are floats, on the first row of an order": changed(
        lambda at, row: {"invoice_no": float(row["invoice_no"]) if at % 2 == 0 else NAN}
    ),
    "customers are floats, on the first row of an order": changed(
        lambda at, row: {"customer_id": float(at // 2 % 3) if at % 2 == 0 else NAN}
    ),
    "codes are floats, all missing": changed(lambda at, row: {"stock_code": NAN, "description": f"MUG {at % 5}"}),
    "zeros at the start of some codes": changed(
        lambda at, row: {"stock_code": {1: "22613", 4: "0022614", 8: "22614", 10: "0022613"}.get(at, f"3{at}")}
    ),
    "zeros at the start of some customers": changed(
        lambda at, row: {"customer_id": ("07", "7", "007", "8", "08", "7")[at // 2]}
    ),
    "integers have gaps": changed(lambda at, row: {"customer_id": None if at in (4, 5) else 2**53 + 1 + at // 6}),
}


def write(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    pq.write_table(pa.Table.from_pylist(list(rows)), path)
    return path


def read(path: Path, **settings: Any) -> tuple[Any, ...]:
    """The log of a table and its ledger; the order of what was assumed is another in batches."""
    log, ledger = read_table(path, Settings(**settings))
    assumed = sorted((each.where, each.what, each.rows or 0) for each in ledger.assumptions)
    return list(log), ledger.steps, ledger.dialect, assumed


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("files", [1, 3])
def test_batches_of_parquet_are_read_as_the_whole(
    kind: str, files: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = KINDS[kind]
    path = write(tmp_path / "t.parquet", rows)
    if files > 1:
        path = tmp_path / "shop"
        path.mkdir()
        schema = pa.Table.from_pylist(rows).schema
        for file, first in enumerate(range(0, len(rows), size := -(-len(rows) // files))):
            some = pa.Table.from_pylist(rows[first : first + size], schema=schema)
            pq.write_table(some, path / f"part-{file}.parquet")
    with monkeypatch.context() as whole:
        whole.setattr("training.data.tables.invoice_table.read_batches", lambda *_: None)
        expected = read(path)
    monkeypatch.setattr(parquet, "BATCH_ROWS", 3)

    assert read(path) == expected
    assert expected[0]


@pytest.mark.parametrize(
    "kind",
    [
        *("a column that is not read has a gap", "codes of UCI's come late", "integers have gaps"),
        *("zeros at the start of some codes", "zeros at the start of some customers"),
    ],
)
def test_these_are_read_in_batches(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "BATCH_ROWS", 3)

    assert len(list(load_batches(write(tmp_path / "t.parquet", KINDS[kind])).tables)) == len(KINDS[kind]) // 3


def test_events_and_codes_within_lines_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def invoices(**cells: Any) -> Path:
        line = {"stock_code": "22613.0", "quantity": 1, "unit_price": 1.5}
        day = pd.Timestamp("2011-01-03")
        lines = [{name: cell(at) for name, cell in cells.items()} for at in range(8)]
        return write(
            tmp_path / "t.parquet",
            [
                {"invoice_no": f"{at}", "customer_id": f"c{at % 3}", "invoice_date": day, "lines": [line | lines[at]]}
                for at in range(8)
            ],
        )

    monkeypatch.setattr(parquet, "BATCH_ROWS", 20)
    for cells in (
        {"what": lambda at: "view" if at % 4 else "purchase"},
        {"stock_code": lambda at: f"2261{at}.{at // 7}"},
    ):
        path = invoices(**cells)
        with monkeypatch.context() as whole:
            whole.setattr("training.data.tables.invoice_table.read_batches", lambda *_: None)
            expected = read(path)
        assert read(path) == expected


HEADER = "order_id,sku,product_name,qty,order_date,price,customer_no,note"


def lines(number: int = 40, **cells: Callable[[int], str]) -> list[str]:
    """Lines of a text table, two an invoice; some columns have other cells."""
    written: dict[str, Callable[[int], str]] = {
        "order_id": lambda at: f"{700 + at // 2}",
        "sku": lambda at: f"a{at % 7}",
        "product_name": lambda at: "MUG",
        "qty": lambda at: f"{1 + at % 3}",
        "order_date": lambda at: f"2011-03-{1 + at // 2:02} 10:00:00",
        "price": lambda at: "1.5",
        "customer_no": lambda at: f"{5000 + at // 2 % 5}",
        "note": lambda at: "",
    } | cells
    return [",".join(written[name](at) for name in HEADER.split(",")) for at in range(number)]


TEXTS: dict[str, list[str]] = {
    "plain": lines(),
    "dates show their order late": lines(
        order_date=lambda at: f"0{1 + at % 5}/{10 + at // 2 % 3:02}/2011".replace("05/12", "25/12")
    ),
    "no date shows the order": lines(order_date=lambda at: f"0{1 + at % 5}/03/2011"),
    "dates of two orders": lines(order_date=lambda at: "25/03/2011" if at < 20 else "03/25/2011"),
    "points show the order": lines(order_date=lambda at: f"0{1 + at % 5}.03.2011 10:00"),
    "seconds since 1970": lines(order_date=lambda at: f"{1_300_000_000 + at // 2 * 86_400}"),
    "some dates are none": lines(order_date=lambda at: "soon" if at % 10 == 9 else f"2011-03-{1 + at // 2:02}"),
    "some dates are missing": lines(order_date=lambda at: "" if at == 30 else f"2011-03-{1 + at // 2:02}"),
    "dates before any sale": lines(order_date=lambda at: "1900-01-01" if at > 30 else f"2011-03-{1 + at // 2:02}"),
    "a decimal comma comes late": lines(price=lambda at: '"1,50"' if at == 39 else '"1,500"'),
    "points and commas": lines(price=lambda at: '"1,500"' if at % 2 else "2.75"),
    "no number shows the mark": lines(price=lambda at: "1.500"),
    "currencies and no numbers": lines(price=lambda at: "free" if at == 33 else "1.5 EUR"),
    "customers with a comma": lines(customer_no=lambda at: f'"1,00{at // 2 % 5}"'),
    "only some customers with a comma": lines(customer_no=lambda at: '"1,001"' if at < 20 else "c1"),
    "numbers with the mark of spreadsheets": lines(order_id=lambda at: f"'{700 + at // 2}"),
    "whole numbers with a point": lines(sku=lambda at: f"2261{at % 7}.0"),
    "one code has a fraction": lines(sku=lambda at: f"2261{at % 7}.{at // 39}"),
    "zeros at the start of several codes": lines(
        sku=lambda at: {5: "0022613", 30: "22614", 35: "0022614"}.get(at, f"2261{at % 4}")
    ),
    "zeros at the start of some codes": lines(sku=lambda at: "0022613" if at == 39 else f"2261{at % 7}"),
    "orders with gaps": lines(customer_no=lambda at: "" if at % 2 else f"{5000 + at // 2 % 5}"),
    "anonymous customers": lines(customer_no=lambda at: "" if at // 2 % 3 else f"{5000 + at // 2 % 5}"),
    "totals": [*lines(), "Total,,,99,,,,"],
    "quotes and line breaks": lines(product_name=lambda at: f'"a ""mug"",\nthe {at}th"'),
    "a quote that is none": lines(product_name=lambda at: '7" plate' if at == 33 else "MUG"),
    "short lines": [line[: -1 if at % 9 else None] for at, line in enumerate(lines())],
    "blank lines": [each for line in lines() for each in (line, "")],
    "formulas": lines(sku=lambda at: f'"=""0{at % 7}"""'),
    "the header again": [*lines(20), HEADER, *lines(20)],
    "a date column of its own time": lines(note=lambda at: "view" if at == 3 else "purchase" if at == 30 else "sale"),
    "free text": lines(note=lambda at: ("view", "purchase")[at % 2] if at < 4 else "n" * at),
    "no codes": lines(sku=lambda at: ""),
    "codes lost digits": lines(sku=lambda at: "4.00638E+12" if at == 39 else "a"),
    "more cells": [*lines(), lines(1)[0] + ",more,cells"],
    "accents": lines(product_name=lambda at: "CAFÉ" if at == 37 else "MUG"),
    "UCI's codes come late": lines(sku=lambda at: "POST" if at == 39 else f"2261{at % 7}"),
    "equal lines": [lines(1)[0]] * 40,
}


def outcome(path: Path, **settings: Any) -> Any:
    """What a table is read as, or the sentence with which it is refused."""
    try:
        return read(path, **settings)
    except DataError as error:
        return re.sub(r"\(.*?\)", "", str(error))  # without the library's words, which depend on the block


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("form", ["t.csv.gz", "shop"])
def test_batches_of_text_are_read_as_the_whole(
    kind: str, form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, content = tmp_path / form, TEXTS[kind]
    if form == "shop":
        path.mkdir()
        half = len(content) // 2
        for name, some in (("a", content[:half]), ("b", content[half:])):
            (path / f"{name}.csv").write_text("\r\n".join([HEADER, *some]), encoding="utf-8-sig")
    else:
        path.write_bytes(gzip.compress("\n".join(["Export", HEADER, *content, ""]).encode("cp1252")))
    expected = outcome(path)
    monkeypatch.setattr(files, "READ_AT_ONCE", 0)
    monkeypatch.setattr(delimited_batches, "BATCH_BYTES", 200)

    assert outcome(path) == expected


@pytest.mark.parametrize("settings", [{"date_format": "dmy"}, {"date_format": "%d/%m/%Y"}, {"decimal_mark": ","}])
def test_batches_of_text_are_read_as_the_settings_say(
    settings: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.csv"
    written = lines(order_date=lambda at: f"0{1 + at % 5}/03/2011", price=lambda at: '"1,500"' if at % 2 else "2")
    path.write_text("\n".join([HEADER, *written]))
    expected = outcome(path, **settings)
    monkeypatch.setattr(files, "READ_AT_ONCE", 0)
    monkeypatch.setattr(delimited_batches, "BATCH_BYTES", 200)

    assert outcome(path, **settings) == expected


IN_BATCHES = {
    *("plain", "dates show their order late", "points show the order", "seconds since 1970", "dates before any sale"),
    *("a decimal comma comes late", "points and commas", "currencies and no numbers", "customers with a comma"),
    *("only some customers with a comma", "numbers with the mark of spreadsheets", "whole numbers with a point"),
    *("one code has a fraction", "zeros at the start of some codes", "anonymous customers", "totals"),
    *("quotes and line breaks", "short lines", "blank lines", "formulas", "free text", "accents"),
    *("UCI's codes come late", "equal lines"),
}


@pytest.mark.parametrize("kind", sorted(IN_BATCHES))
def test_these_texts_are_read_in_batches(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.csv"
    path.write_text("\n".join([HEADER, *TEXTS[kind]]), encoding="utf-8")
    monkeypatch.setattr(files, "READ_AT_ONCE", 0)
    monkeypatch.setattr(delimited_batches, "BATCH_BYTES", 200)

    assert len(list(load_batches(path).tables)) > 2
