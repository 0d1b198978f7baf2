"""What rows mean together: scanned units, fields of an order."""

from pathlib import Path

import pytest

from tests.unit.data.exports import HEADER, HISTORIES, ROWS, histories, notes, write
from tests.unit.data.workbook import write_workbook


@pytest.mark.parametrize("name", ["line_no", "order_item_id", "line_item_id", "Line Number"])
@pytest.mark.parametrize("restarts", [False, True])
def test_a_row_a_scanned_unit_counts_every_row(name: str, restarts: bool, tmp_path: Path) -> None:
    rows = [[*ROWS[0], str(n)] for n in (1, 2, 3)] + [[*ROWS[1], str(n)] for n in ((1, 2) if restarts else (4, 5))]
    rows.append(rows[0])  # an exact duplicate
    path = write(tmp_path / "t.csv", rows, [*HEADER, name])

    assert histories(path) == {"12680": {"700001": {"22613": 36, "22614": 4}}}
    assert f"column {name}: it is the number of a line" in notes(path)


def test_fields_of_an_order_on_its_first_row_are_filled_down(tmp_path: Path) -> None:
    shop = [list(row) for row in ROWS]
    shop[1][4] = shop[1][6] = ""
    merged = [list(row) for row in shop]
    merged[1][0] = ""
    total = ["", "", "Total", "24", "", "", "", ""]

    assert histories(write(tmp_path / "shop.csv", shop)) == HISTORIES
    book = [[cell or None for cell in row] for row in [HEADER, *merged, total]]
    assert histories(write_workbook(tmp_path / "merged.xlsx", {"t": book})) == HISTORIES
    assert "a gap is filled with what the first row of the order has (1 row)." in notes(tmp_path / "shop.csv")


def test_a_customer_on_the_first_row_only_is_filled_down(tmp_path: Path) -> None:
    rows = [list(row) for row in ROWS]
    rows[1][6] = ""

    assert histories(write(tmp_path / "first.csv", rows)) == HISTORIES
    rows.append(["700003", "22616", "SPOON", "1", "2011-05-16 09:30", "1.25", "12681", "France"])
    assert histories(write(tmp_path / "some.csv", rows))["12680"]["700001"] == {"22613": 12}


def test_nothing_is_filled_from_another_order(tmp_path: Path) -> None:
    rows = [list(row) for row in ROWS]
    rows[2][6] = rows[3][4] = ""

    assert histories(write(tmp_path / "t.csv", rows)) == {"12680": {"700001": {"22613": 12, "22614": 2}}}


@pytest.mark.parametrize("blank", [[0], [0, 4], [0, 4, 6]])
def test_a_number_on_the_first_row_only_is_filled_down(blank: list[int], tmp_path: Path) -> None:
    rows = [list(row) for row in ROWS]
    rows[1] = ["" if at in blank else cell for at, cell in enumerate(rows[1])]
    path = write(tmp_path / "t.csv", rows)

    assert histories(path) == HISTORIES
    assert "a gap is filled with what the first row of the order has (1 row)" in notes(path)


@pytest.mark.parametrize(("at", "cell"), [(6, "12681"), (4, "2011-03-15 10:00")])
def test_a_row_without_number_of_another_customer_or_date_is_not_filled(at: int, cell: str, tmp_path: Path) -> None:
    rows = [list(row) for row in ROWS]
    rows[1][0], rows[1][at] = "", cell

    assert histories(write(tmp_path / "t.csv", rows))["12680"]["700001"] == {"22613": 12}
