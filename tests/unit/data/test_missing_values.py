"""Words for missing, and customers who stand for those who are not known."""

from pathlib import Path

import pytest

from tests.unit.data.exports import HISTORIES, ROWS, changed, histories, notes, write


@pytest.mark.parametrize(
    "word",
    [
        *("NULL", r"\N", "nan", "None", "<NA>", "NaT", "#N/A", "N/A", "(null)", "NaN", "null", " NULL ", "[NULL]"),
        *("undefined", "(blank)", "#NULL!", "#REF!", "#VALUE!"),
    ],
)
def test_a_word_for_missing_is_no_customer_and_no_code(word: str, tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", changed(CustomerID=word))

    assert histories(path) == HISTORIES
    assert "stands for a missing value" in notes(path)
    assert histories(write(tmp_path / "u.csv", changed(StockCode=word))) == HISTORIES


@pytest.mark.parametrize("customer", ["0", "-1", "guest", "777"])
def test_a_customer_with_most_invoices_is_named_with_the_setting(customer: str, tmp_path: Path) -> None:
    visits = [[f"8{n}", "22613", "MUG", "1", f"2011-06-{n:02} 10:00", "0.85", customer, "FR"] for n in range(1, 8)]
    path = write(tmp_path / "t.csv", [*ROWS, *visits])

    assert f"NEXTBASKET_ANONYMOUS_IDS={customer}." in notes(path)
    assert histories(path, anonymous_ids=f"x, {customer}") == HISTORIES
    assert "ANONYMOUS" not in notes(path, anonymous_ids=customer)


def test_a_usual_stand_in_is_named_with_few_invoices_too(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", changed(CustomerID="guest"))

    assert "'guest' is taken as one person, with 1 invoice" in notes(path)
    assert "NEXTBASKET_ANONYMOUS_IDS=guest." in notes(path)
