"""Quotes in delimited text: a stray one swallows no rows."""

from pathlib import Path

import pytest

from tests.unit.data.exports import HISTORIES, ROWS, histories, notes, write
from training.data import columns
from training.data.errors import UnreadableTable
from training.data.tables.invoice_table import load


@pytest.mark.parametrize("between", [",", "\t", ";"])
def test_a_stray_quote_swallows_no_rows(between: str, tmp_path: Path) -> None:
    rows = [[cell.replace("BOWL", '"BOWL').replace("PLATE", '"PLATE') for cell in row] for row in ROWS]
    path = write(tmp_path / "t.csv", rows, between=between)

    assert histories(path) == HISTORIES
    assert "t.csv: quotes that do not enclose a field" in notes(path)
    assert "for example line 3 (2 rows)" in notes(path)


def test_a_stray_quote_among_quoted_fields_swallows_no_rows(tmp_path: Path) -> None:
    rows = [ROWS[0], [cell.replace("BOWL", '"BOWL, RED"') for cell in ROWS[1]], ROWS[2]]
    rows.append([cell.replace("PLATE", '"PLATE') for cell in ROWS[3]])

    table = load(write(tmp_path / "t.csv", rows))

    assert table.frame[columns.DESCRIPTION].tolist() == ["MUG", "BOWL, RED", "MUG", '"PLATE']


def test_quotes_doubled_within_and_line_breaks_in_a_field_are_read(tmp_path: Path) -> None:
    rows = [[cell.replace("BOWL", '"BOWL 5"" wide,\nred"') for cell in row] for row in ROWS]

    table = load(write(tmp_path / "t.csv", rows))

    assert table.frame[columns.DESCRIPTION].tolist() == ["MUG", 'BOWL 5" wide,\nred', "MUG", "PLATE"]
    assert table.assumptions == ()


def test_quotes_as_mysql_writes_them(tmp_path: Path) -> None:
    rows = [[f'"{cell}"' for cell in row] for row in ROWS]
    rows[1][2] = r'"BOWL 5\", red"'

    path = write(tmp_path / "t.csv", rows)

    assert load(path).frame[columns.DESCRIPTION].tolist() == ["MUG", 'BOWL 5", red', "MUG", "PLATE"]
    assert histories(path) == HISTORIES


def test_a_field_that_holds_rows_is_refused_with_its_line(tmp_path: Path) -> None:
    rows = [list(row) for row in ROWS]
    rows[1][2] = '"BOWL'
    rows[3][2] = 'PLATE", RED'

    with pytest.raises(UnreadableTable, match=r"cannot be read as a table \(line 4: a quoted field .* like a row"):
        load(write(tmp_path / "t.csv", rows))
