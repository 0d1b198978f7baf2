"""Sheets, files and columns: each is read by its own header, or refused with a sentence."""

from pathlib import Path

import pandas as pd
import pytest

from state.settings import Settings
from tests.unit.data.exports import HEADER, HISTORIES, ROWS, changed, histories, notes, write
from tests.unit.data.workbook import write_workbook
from training.data.errors import NoTable, UnreadableTable
from training.data.log import read_table
from training.data.tables.invoice_table import load


def test_each_sheet_and_file_has_its_own_header(tmp_path: Path) -> None:
    order = [6, 0, 1, 2, 4, 3, 5, 7]
    other = [[row[at] for at in order] for row in [HEADER, *ROWS]]
    other[0] = [
        " customer id ",
        "INVOICE_NO ",
        "stock code",
        "Description",
        "InvoiceDate",
        " Quantity",
        "UnitPrice",
        "x",
    ]
    book = write_workbook(tmp_path / "t.xlsx", {"one": [HEADER, *ROWS[:2]], "two": [other[0], *other[3:]]})
    (tmp_path / "many").mkdir()
    write(tmp_path / "many" / "a.csv", ROWS[:2])
    write(tmp_path / "many" / "b.CSV", other[3:], other[0])
    (tmp_path / "many" / "~$a.xlsx").write_bytes(b"lock")
    (tmp_path / "many" / "._a.csv").write_bytes(b"\0\5\26\7")

    assert histories(book) == HISTORIES
    assert histories(tmp_path / "many") == HISTORIES
    assert "folder many: 2 files are read as one table, for example a.csv, b.CSV." in notes(tmp_path / "many")


@pytest.mark.parametrize(("name", "what"), [("~$t.xlsx", "open in Excel"), ("._t.csv", "companion file of macOS")])
def test_a_companion_of_a_table_is_refused(name: str, what: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"\0")

    with pytest.raises(NoTable, match=what):
        load(tmp_path / name)


def test_titles_above_and_totals_below_the_table(tmp_path: Path) -> None:
    above = [["Sales by customer"], ["January to July"], []]
    total = ["Total", "", "", "24", "", "", "", ""]
    path = tmp_path / "t.csv"
    path.write_text("".join(",".join(row) + "\n" for row in [*above, HEADER, *ROWS, total]))
    book = write_workbook(tmp_path / "t.xlsx", {"t": [*above[:2], HEADER, *ROWS, [None] * 3 + ["24"]]})

    assert histories(path) == HISTORIES
    assert histories(book) == HISTORIES
    assert "line 4 of t.csv: the column names are in line 4, and 3 lines above them are left out." in notes(path)


@pytest.mark.parametrize("start", ["sep=;\n", "\ufeff\ufeff", "ï»¿", "\n\n"])
def test_marks_before_the_header_are_left_out(start: str, tmp_path: Path) -> None:
    path = write(tmp_path / "T.CSV", between=";")
    path.write_text(start + path.read_text())

    assert histories(path) == HISTORIES


def test_a_column_twice_is_read_once_or_refused(tmp_path: Path) -> None:
    twice = [[*row, row[3]] for row in ROWS]
    path = write(tmp_path / "t.csv", twice, [*HEADER, "Quantity"])

    assert histories(path) == HISTORIES
    assert "column Quantity: it is there twice, with the same values" in notes(path)
    twice[0][-1] = "13"
    with pytest.raises(UnreadableTable, match="two columns 'Quantity' with different values"):
        load(write(tmp_path / "u.csv", twice, [*HEADER, "Quantity"]))


def test_rows_that_differ_in_an_unread_column_are_no_duplicates(tmp_path: Path) -> None:
    rows = [[*row, str(number)] for number, row in enumerate([ROWS[0], ROWS[0]])]

    def duplicates(name: str) -> int:
        _, ledger = read_table(write(tmp_path / "t.csv", rows, [*HEADER, name]), Settings())
        return next(step.removed for step in ledger.steps if step.name == "duplicate")

    assert duplicates("shelf") == 0
    assert duplicates("Unnamed: 0") == 1
    assert "column shelf: not read." in notes(write(tmp_path / "t.csv", rows, [*HEADER, "shelf"]))


@pytest.mark.parametrize("table", ["2010.csv", "2010.parquet"])
def test_what_is_not_read_of_a_folder_is_named(table: str, tmp_path: Path) -> None:
    if table.endswith("csv"):
        write(tmp_path / table)
    else:
        pd.DataFrame(ROWS, columns=HEADER).astype(
            {"Quantity": float, "UnitPrice": float, "InvoiceDate": "datetime64[s]"}
        ).to_parquet(tmp_path / table)
    for name in ["2011.xls", "2012.tsv", ".hidden", "_SUCCESS"]:
        (tmp_path / name).write_text("x")
    (tmp_path / "more").mkdir()

    assert histories(tmp_path) == HISTORIES
    assert "files of other formats, and folders, are not read, for example 2011.xls, 2012.tsv, more." in notes(tmp_path)


def test_merged_cells_stand_for_each_of_their_rows(tmp_path: Path) -> None:
    rows: list[list[str | None]] = [list(row) for row in ROWS]
    rows[1][0] = rows[1][4] = rows[1][6] = rows[2][6] = None  # the customer over two orders

    path = write_workbook(
        tmp_path / "t.xlsx", {"t": [["Sales"], HEADER, *rows]}, merged=["A1:H1", "A3:A4", "E3:E4", "G3:G5"]
    )

    assert histories(path) == HISTORIES
    assert "sheet 't' of t.xlsx: merged cells of an order stand for each of their rows (2 rows)." in notes(path)


def test_merged_quantities_count_once(tmp_path: Path) -> None:
    rows: list[list[str | None]] = [list(row) for row in ROWS]
    rows[1][3] = None

    path = write_workbook(tmp_path / "t.xlsx", {"t": [HEADER, *rows]}, merged=["D2:D3"])

    assert histories(path)["12680"]["700001"] == {"22613": 12}


@pytest.mark.parametrize("names", [HEADER, ["Invoice", *HEADER[1:5], "Price", "Customer ID", "Country"]])
@pytest.mark.parametrize("order", [range(8), [6, 0, 1, 2, 4, 5, 3, 7]])
@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_column_names_among_the_rows_are_those_of_the_rows_below(
    names: list[str], order: list[int], kind: str, tmp_path: Path
) -> None:
    below = [[row[at] for at in order] for row in [names, *ROWS[2:]]]
    path = tmp_path / f"t.{kind}"
    if kind == "csv":
        write(path, [*ROWS[:2], *below])
    else:
        write_workbook(path, {"t": [HEADER, *ROWS[:2], *below]})

    assert histories(path) == HISTORIES
    assert "the column names are there again, and the rows below are read by them (1 row)." in notes(path)


def test_lines_with_fewer_cells_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", [[cell.replace("BOWL", "BOWL\nRED") for cell in row] for row in ROWS])

    assert "a line with fewer cells than the column names lacks the last ones, for example line 3 (2 rows)" in notes(
        path
    )


@pytest.mark.parametrize("name", ["InvoiceNo", "StockCode", "CustomerID"])
@pytest.mark.parametrize("word", ["Total", " GRAND TOTAL:", "Summe"])
def test_rows_of_totals_are_left_out_and_named(name: str, word: str, tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", changed(**{name: word}))

    assert histories(path) == HISTORIES
    assert f"rows: rows of totals are left out, for example {word.strip()} (1 row)." in notes(path)


def test_the_number_of_a_customer_comes_before_a_name(tmp_path: Path) -> None:
    names = ["order_no", "sku", "customer", "qty", "date", "price", "customer_no", "country"]

    assert histories(write(tmp_path / "t.csv", header=names)) == HISTORIES


def test_the_sheets_that_are_read_are_named(tmp_path: Path) -> None:
    book = write_workbook(tmp_path / "t.xlsx", {"Sales": [HEADER, *ROWS[:2]], "Returns": [HEADER, *ROWS[2:]]})

    assert "t.xlsx: 2 sheets are read as one table, for example Sales, Returns." in notes(book)


def test_a_sheet_or_file_that_begins_with_a_row_of_the_table_is_refused(tmp_path: Path) -> None:
    book = write_workbook(tmp_path / "t.xlsx", {"one": [HEADER, *ROWS[:2]], "two": ROWS[2:]})
    (tmp_path / "many").mkdir()
    write(tmp_path / "many" / "part-1.csv", ROWS[1:], ROWS[0])
    write(tmp_path / "many" / "part-2.csv", ROWS[:2])

    with pytest.raises(UnreadableTable, match=r"Sheet 'two' of .* has no column names, and begins with what looks"):
        load(book)
    with pytest.raises(UnreadableTable, match=r"part-1.csv has no column names, and begins with what looks"):
        load(tmp_path / "many")


def test_a_sheet_of_notes_is_left_out(tmp_path: Path) -> None:
    notes_sheet = [["Exported", "by", "Jane", "on", "2011-12-09", "for", "the", "shop"], ["a"]]
    book = write_workbook(tmp_path / "t.xlsx", {"one": [HEADER, *ROWS], "notes": [notes_sheet[0][:3], *notes_sheet]})

    assert histories(book) == HISTORIES
    assert "sheet 'notes' of t.xlsx: it is left out" in notes(book)
