"""Detection of a known shop's table by its rows."""

from pathlib import Path

from tests.unit.data.exports import ROWS, notes, write
from training.data.tables.invoice_table import load


def test_rows_of_uci_under_other_headers_have_its_dialect(tmp_path: Path) -> None:
    rows = [*ROWS, ["C700009", "22613", "MUG", "-6", "2011-04-16 10:00", "0.85", "12680", "France"]]
    rows += [["700010", "POST", "POSTAGE", "1", "2011-04-17 10:00", "18.00", "12680", "France"]] * 2
    names = ["invoice", "stock_code", "description", "quantity", "invoice_date", "price", "customer", "country"]
    path = write(tmp_path / "t.csv", rows[:5], names)

    assert load(path).uci
    assert "dialect: the rows are UCI's" in notes(path)
    plain = [[*row[:1], f"x{row[1]}", *row[2:]] for row in rows[:4]] + [rows[4]]
    path = write(tmp_path / "u.csv", plain, names)
    assert not load(path).uci
    assert "the dialect is not UCI's" in notes(path)
