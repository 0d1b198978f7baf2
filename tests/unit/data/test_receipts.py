"""Receipt numbers that start anew: over time, at each till, for each customer."""

from pathlib import Path

import pandas as pd
import pytest

from tests.unit.data.exports import HEADER, ROWS, changed, histories, notes, write
from training.data.cleaning.partition import partition_by_customer
from training.data.tables.invoice_table import load, load_batches, separate_invoices
from training.data.tables.receipts import NumberUse

DAILY = [
    ("1", "A", "2011-03-14 10:00"),
    ("2", "B", "2011-03-14 11:00"),
    ("3", "C", "2011-03-14 12:00"),
    ("1", "B", "2011-03-15 10:00"),
    ("2", "C", "2011-03-15 11:00"),
    ("3", "A", "2011-03-15 12:00"),
    ("1", "A", "2011-03-16 10:00"),
    ("2", "A", "2011-03-16 11:00"),
]
"""Receipts of a till that counts from 1 every day."""


def receipts(*rows: tuple[str, ...]) -> list[list[str]]:
    """A line for each receipt: its number, customer, date, and, where given, its till."""
    return [
        [number, "22613", "MUG", "2", date, "0.85", customer, "FR", *till] for number, customer, date, *till in rows
    ]


def test_receipt_numbers_that_start_anew_are_separate_invoices(tmp_path: Path) -> None:
    rows = changed(InvoiceNo="700003", InvoiceDate="2011-09-01 10:00")
    path = write(tmp_path / "t.csv", rows)

    assert histories(path)["12681"] == {"700003": {"22615": 4}, "700003 2011-09-01": {"22615": 8}}
    assert "invoice numbers start anew" in notes(path)


def test_a_return_weeks_later_keeps_the_number_of_its_purchase(tmp_path: Path) -> None:
    rows = changed(InvoiceNo="700003", InvoiceDate="2011-09-01 10:00", Quantity="-1")

    assert histories(write(tmp_path / "t.csv", rows))["12681"] == {"700003": {"22615": 3}}


def test_numbers_that_several_customers_have_start_anew_every_day(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", receipts(*DAILY))

    assert set(histories(path)["A"]) == {"1", "3", "1 2011-03-16", "2"}
    assert "purchases of one customer under one number on several days are separate invoices" in notes(path)


def test_lines_of_one_order_on_two_days_are_one_invoice_where_numbers_are_of_one_customer(tmp_path: Path) -> None:
    rows = receipts(("1", "A", "2011-03-14 10:00"), ("1", "A", "2011-03-16 10:00"), ("2", "B", "2011-03-14 10:00"))

    assert set(histories(write(tmp_path / "t.csv", rows))["A"]) == {"1"}


@pytest.mark.parametrize("name", ["till", "Terminal ID", "store_no", "register", "Branch"])
def test_receipts_of_two_tills_are_separate_invoices(name: str, tmp_path: Path) -> None:
    rows = receipts(("1", "A", "2011-03-14 10:00", "K1"), ("1", "A", "2011-03-14 10:05", "K2"))
    path = write(tmp_path / "t.csv", rows, [*HEADER, name])

    assert histories(path) == {"A": {"1": {"22613": 2}, "1 K2": {"22613": 2}}}
    assert f"column {name}: it separates receipts of one number" in notes(path)


def test_lines_of_one_time_from_two_stores_are_one_invoice(tmp_path: Path) -> None:
    rows = [[*row, store] for row, store in zip(ROWS, ["S1", "S2", "S1", "S1"], strict=True)]

    assert histories(write(tmp_path / "t.csv", rows, [*HEADER, "store"]))["12680"]["700001"] == {
        "22613": 12,
        "22614": 2,
    }


def test_the_same_till_weeks_apart(tmp_path: Path) -> None:
    rows = receipts(
        ("1", "A", "2011-03-14 10:00", "K1"), ("1", "A", "2011-05-14 10:00", "K1"), ("1", "A", "2011-05-14 10:09", "K2")
    )

    assert set(histories(write(tmp_path / "t.csv", rows, [*HEADER, "till"]))["A"]) == {"1", "1 2011-05-14", "1 K2"}


def test_batches_and_parts_decide_as_the_whole_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pd.DataFrame(receipts(*DAILY), columns=HEADER).astype({"Quantity": float, "UnitPrice": float})
    frame = frame.assign(InvoiceDate=pd.to_datetime(frame["InvoiceDate"]))
    frame.to_parquet(tmp_path / "t.parquet")
    whole = load(tmp_path / "t.parquet").frame
    monkeypatch.setattr("training.data.tables.parquet.BATCH_ROWS", 2)

    parts = list(partition_by_customer(load_batches(tmp_path / "t.parquet"), 3))

    assert len(parts) == 3
    together = pd.concat([separate_invoices(part).frame for part in parts])
    assert sorted(together["invoice_no"]) == sorted(whole["invoice_no"])
    assert "1 2011-03-16" in whole["invoice_no"].tolist()


def test_the_use_of_many_numbers_is_known_from_some_of_them() -> None:
    shared, own = NumberUse(most=50), NumberUse(most=50)
    for customer in ("A", "B"):
        numbers = pd.Series([str(number) for number in range(1_000)])
        customers = pd.Series([customer] * 1_000)
        shared.add(numbers, customers)
        own.add(numbers + customer, customers)

    assert shared.start_anew
    assert not own.start_anew
    assert len(shared) <= 50
