"""The checksum is of the content: not of the format, the order of rows, or how a spreadsheet writes a code."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from tests.unit.data.tables import frame, table
from tests.unit.data.test_invoice_table import UCI_ROWS, write_csv, write_parquet
from tests.unit.data.workbook import write_workbook
from training.data.sources.checksum import checksum
from training.data.tables.invoice_table import from_frame, load


def test_the_checksum_is_the_documented_hash() -> None:
    lines = [
        b"581587\t22613\tPACK OF 20 SPACEBOY NAPKINS\t12000\t2011-12-09T12:50:00\t850\t12680\tFrance",
        b"581588\t22138\t\t-1500\t2011-12-09T12:50:00\t850\t\tFrance",
    ]
    rows: list[dict[str, Any]] = [
        {"InvoiceNo": 581588, "StockCode": 22138.0, "Description": None, "Quantity": -1.5, "CustomerID": None},
        {"Description": " PACK  OF 20 SPACEBOY NAPKINS"},
    ]

    assert checksum(table(*rows)) == hashlib.sha256(b"\n".join(lines)).hexdigest()


def test_formats_and_row_orders_have_one_checksum(tmp_path: Path) -> None:
    shuffled = [UCI_ROWS[0], *reversed(UCI_ROWS[1:])]

    found = {
        checksum(load(write_workbook(tmp_path / "a.xlsx", {"a": UCI_ROWS}))),
        checksum(load(write_workbook(tmp_path / "b.xlsx", {"a": shuffled}))),
        checksum(load(write_parquet(tmp_path / "a.parquet", UCI_ROWS))),
        checksum(load(write_csv(tmp_path / "a.csv", UCI_ROWS))),
        checksum(load(write_parquet(tmp_path / "b.parquet", UCI_ROWS), timezone="Asia/Tokyo")),
    }

    assert len(found) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"InvoiceNo": "581588"},
        {"StockCode": "22613A"},
        {"Description": "PACK OF 21 SPACEBOY NAPKINS"},
        {"Quantity": 12.001},
        {"InvoiceDate": "2011-12-09T12:50:01Z"},
        {"UnitPrice": 0.851},
        {"CustomerID": None},
        {"Country": "EIRE"},
    ],
)
def test_any_change_changes_the_checksum(change: dict[str, Any]) -> None:
    assert checksum(table(change)) != checksum(table({}))


def test_another_row_changes_the_checksum() -> None:
    assert checksum(from_frame(frame({}, {}))) != checksum(table({}))
