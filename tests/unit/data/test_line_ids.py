"""Rows of an invoice that are alike: each a unit that was sold, or one line."""

from pathlib import Path

import pandas as pd
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


PLAIN = ["order_id", "sku", "qty", "date", "price", "customer_id"]
SALES = [
    ["1", "A-1", "1", "2011-03-14 10:00:01", "0.85", "7"],
    ["1", "A-1", "1", "2011-03-14 10:00:02", "0.85", "7"],
    ["1", "A-1", "1", "2011-03-14 10:00:02", "0.85", "7"],
    ["1", "B-2", "2", "2011-03-14 10:00:03", "2.55", "7"],
    ["2", "A-1", "1", "2011-03-15 10:00:00", "0.85", "7"],
]


def test_rows_that_differ_in_any_column_are_lines_of_their_own(tmp_path: Path) -> None:
    by_time = write(tmp_path / "t.csv", SALES, PLAIN)
    by_batch = write(
        tmp_path / "u.csv",
        [[*row[:3], "2011-03-14 10:00", *row[4:], batch] for row, batch in zip(SALES, "abbcd", strict=True)],
        [*PLAIN, "batch"],
    )

    for path in (by_time, by_batch):
        assert histories(path) == {"7": {"1": {"A-1": 2, "B-2": 2}, "2": {"A-1": 1}}}
        assert "rows: rows of an invoice with the same item, quantity and price differ in another column" in notes(path)


def test_units_that_were_taken_back_one_by_one_all_count(tmp_path: Path) -> None:
    units = [["1", "A-1", "1", f"2011-03-14 10:00:0{second}", "0.85", "7"] for second in range(5)]
    returned = [["9", "A-1", "-1", f"2011-03-15 10:00:0{second}", "0.85", "7"] for second in range(3)]

    assert histories(write(tmp_path / "t.csv", [*units, *returned], PLAIN)) == {"7": {"1": {"A-1": 2}}}


def test_rows_of_two_files_that_overlap_are_one_line(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", SALES[3:], PLAIN)
    write(tmp_path / "b.csv", [[*row, "web"] for row in SALES[3:]], [*PLAIN, "channel"])

    assert histories(tmp_path) == {"7": {"1": {"B-2": 2}, "2": {"A-1": 1}}}


def test_rows_that_differ_are_one_line_in_uci_dialect_only(tmp_path: Path) -> None:
    row = ["700001", "22613", "MUG", "1", "2011-03-14 10:00", "0.85", "12680", "France"]
    path = write(tmp_path / "t.csv", [row, [*row[:4], "2011-03-14 10:01", *row[5:]]])

    assert histories(path) == {"12680": {"700001": {"22613": 2}}}
    assert histories(path, dialect="uci") == {"12680": {"700001": {"22613": 1}}}


def test_lines_of_several_items_and_quantities_in_one_invoice(tmp_path: Path) -> None:
    date = "2011-03-14"
    frame = pd.DataFrame(
        [
            ["1", item, quantity, pd.Timestamp(date), 0.85, "7", second]
            for item, quantity in [("A-1", 1), ("B-2", 1), ("A-1", 2)]
            for second in range(3)
        ],
        columns=[*PLAIN, "scanned_at"],
    )
    frame.to_parquet(tmp_path / "t.parquet")
    frame.to_csv(tmp_path / "t.csv", index=False)

    for name in ("t.parquet", "t.csv"):
        assert histories(tmp_path / name) == {"7": {"1": {"A-1": 9, "B-2": 3}}}
