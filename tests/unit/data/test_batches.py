"""Tables that are read in batches: nothing depends on where a batch ends."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from state.settings import Settings
from training.data import columns
from training.data.log import read_table
from training.data.tables import parquet
from training.data.tables.invoice_table import load_batches

Rows = list[dict[str, Any]]


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
    "integers have gaps": changed(lambda at, row: {"customer_id": None if at in (4, 5) else 2**53 + 1 + at // 6}),
}


def write(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    pq.write_table(pa.Table.from_pylist(list(rows)), path)
    return path


def read(path: Path) -> tuple[Any, ...]:
    """The log of a table and its ledger; the order of what was assumed is another in batches."""
    log, ledger = read_table(path, Settings())
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
        whole.setattr("training.data.tables.invoice_table.read_batches", lambda paths: None)
        expected = read(path)
    monkeypatch.setattr(parquet, "BATCH_ROWS", 3)

    assert read(path) == expected
    assert expected[0]


@pytest.mark.parametrize(
    "kind", ["a column that is not read has a gap", "codes of UCI's come late", "integers have gaps"]
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
            whole.setattr("training.data.tables.invoice_table.read_batches", lambda paths: None)
            expected = read(path)
        assert read(path) == expected
