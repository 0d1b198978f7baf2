"""Codes, invoice numbers and customers: what spreadsheets and data frames make of them."""

from datetime import datetime
from pathlib import Path

import pytest

from tests.unit.data.exports import HEADER, HISTORIES, ROWS, changed, histories, notes, with_fourth, write
from tests.unit.data.workbook import write_workbook
from training.data.errors import UnreadableTable
from training.data.tables.invoice_table import load


@pytest.mark.parametrize(
    "shape", ["{}.0", "{},0", " {}.00 ", "'{}", '="{}"', "{:.4E}", "{:.6e}", "\u00a0{} "], ids=lambda shape: repr(shape)
)
def test_marks_of_spreadsheets_around_codes_are_left_out(shape: str, tmp_path: Path) -> None:
    rows = [[*row[:1], shape.format(int(row[1])), *row[2:6], shape.format(int(row[6])), row[7]] for row in ROWS]

    assert histories(write(tmp_path / "t.csv", rows, between=";")) == HISTORIES


@pytest.mark.parametrize("shape", ["'{}", '="{}"', '"=""{}"""'])
def test_zeros_before_a_code_stay(shape: str, tmp_path: Path) -> None:
    rows = [[row[0], shape.format("00" + row[1]), *row[2:]] for row in ROWS]
    path = write(tmp_path / "t.csv", rows)

    assert histories(path)["12681"] == {"700003": {"0022615": 4}}
    assert "0022613" in notes(path)


def test_every_cell_of_a_column_must_have_the_mark(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", changed(StockCode="'22615"))

    assert histories(path) == with_fourth({"'22615": 8})


@pytest.mark.parametrize("code", ["4.00638E+12", "4,00638E+12", "2.26e+04"])
@pytest.mark.parametrize("name", ["StockCode", "CustomerID", "InvoiceNo"])
def test_codes_that_lost_digits_are_refused(code: str, name: str, tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", changed(**{name: code}), between=";")

    with pytest.raises(UnreadableTable, match=rf"{name} holds '{code.replace('+', '.')}': .* digits are lost"):
        load(path)


@pytest.mark.parametrize("code", ["12E5", "E+12", "22615.5", "2.26155E+04"])
def test_codes_that_only_look_like_numbers_stay(code: str, tmp_path: Path) -> None:
    assert histories(write(tmp_path / "t.csv", changed(StockCode=code))) == with_fourth({code: 8})


@pytest.mark.parametrize("cell", ["\"['22613', '22614']\"", '"[22613, 22614]"'])
def test_lists_in_a_cell_are_refused(cell: str, tmp_path: Path) -> None:
    with pytest.raises(UnreadableTable, match="StockCode holds a list in one cell"):
        load(write(tmp_path / "t.csv", changed(StockCode=cell)))


def test_codes_that_a_spreadsheet_made_dates_are_named(tmp_path: Path) -> None:
    rows = [[datetime(2011, 4, 3) if cell == "22614" else cell for cell in row] for row in ROWS]  # noqa: DTZ001
    path = write_workbook(tmp_path / "t.xlsx", {"t": [HEADER, *rows]})

    assert "StockCode: cells hold dates, which spreadsheets make of codes such as 3-4" in notes(path)


@pytest.mark.parametrize("sign", [",", "\u00a0", "\u202f", "'"])
def test_separators_of_thousands_in_all_codes_are_left_out(sign: str, tmp_path: Path) -> None:
    rows = [[*row[:6], f"{int(row[6]):,}".replace(",", sign), row[7]] for row in ROWS]
    path = write(tmp_path / "t.csv", rows, between=";")

    assert histories(path) == HISTORIES
    assert "whole numbers are read without separators of thousands" in notes(path)
    other = write(tmp_path / "u.csv", [*rows, ["700004", *ROWS[3][1:6], "12681", "France"]], between=";")
    assert set(histories(other)) == {f"12{sign}680", f"12{sign}681", "12681"}


def test_codes_that_differ_in_zeros_at_their_start_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", changed(StockCode="0022615"))

    assert histories(path) == with_fourth({"0022615": 8})
    assert "StockCode: codes that differ from others in zeros at their start only are different" in notes(path)
    assert "for example 22615 and 0022615 (1 row)" in notes(path)


@pytest.mark.parametrize("code", ["Ž22615", "22615€"])
def test_codes_in_windows_1252(code: str, tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", changed(StockCode=code))
    path.write_bytes(path.read_text(encoding="utf-8").encode("cp1252"))

    assert histories(path) == with_fourth({code: 8})


def test_a_row_with_a_control_character_in_its_code_is_left_out(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", changed(StockCode="226\x1b[2J15"))

    others = {customer: dict(invoices) for customer, invoices in with_fourth({"X": 1}).items()}
    others["12681"].pop("700004")
    assert histories(path) == others
