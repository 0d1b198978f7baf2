"""Rows of an invoice that are alike: each a unit that was sold, or one line."""

from pathlib import Path

import pytest

from tests.unit.data.exports import HEADER, ROWS, histories, notes, write


@pytest.mark.parametrize(
    "name", ["line", "Pos.", "position", "POSNR", "Line #", "ticket_line_id", "seq", "uuid", "ID", "Zeile", "serial_no"]
)
def test_names_of_the_number_of_a_line(name: str, tmp_path: Path) -> None:
    rows = [[*ROWS[0], str(number)] for number in range(3)]
    path = write(tmp_path / "t.csv", rows, [*HEADER, name])

    assert histories(path) == {"12680": {"700001": {"22613": 36}}}
    assert f"column {name}: it is the number of a line" in notes(path)


def test_many_rows_that_are_alike_are_named_with_the_cure(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", [ROWS[0]] * 3)
    assert "of rows that are alike in every column one counts (2 rows). Otherwise: if each is a unit" in notes(path)

    path = write(tmp_path / "u.csv", [[*ROWS[0], till] for till in "abc"], [*HEADER, "till"])
    assert "the same item, quantity and price one counts (2 rows). Otherwise: if each is a unit" in notes(path)


def test_a_single_repetition_is_not_named(tmp_path: Path) -> None:
    assert "alike" not in notes(write(tmp_path / "t.csv", [*ROWS, ROWS[0]]))


@pytest.mark.parametrize("name", ["line_id", "LineID"])
def test_a_line_id_that_stands_for_several_items_of_an_invoice(name: str, tmp_path: Path) -> None:
    rows = [[*row, str(piece)] for row in ROWS[:3] for piece in range(2)]
    path = write(tmp_path / "t.csv", rows, [*HEADER, name])

    assert histories(path) == {"12680": {"700001": {"22613": 24, "22614": 4}, "700002": {"22613": 12}}}
    assert "column line_id: it stands for several items of one invoice" in notes(path)
    assert "(4 rows)" in notes(path)
