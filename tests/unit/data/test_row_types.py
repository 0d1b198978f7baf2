"""Types of rows: sales, returns, cancellations and events that are none."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

from tests.unit.data.exports import HEADER, HISTORIES, ROWS, histories, notes, write
from training.data.errors import NothingLeft
from training.data.tables.invoice_table import load


def typed(name: str, *types: str, quantities: Sequence[str] = ()) -> list[list[str]]:
    """Lines of one customer, one an invoice, the last of the same item with its type and quantity."""
    lines = []
    for number, kind in enumerate(types, 1):
        quantity = quantities[number - 1] if quantities else "6"
        date = f"2011-03-{number:02} 10:00"
        lines.append([f"70000{number}", "22613", "MUG", quantity, date, "0.85", "12680", "France", kind])
    return [[*HEADER, name], *lines]


def bought(path: Path, table: list[list[str]]) -> dict[str, float]:
    found = histories(write(path / "t.csv", table[1:], table[0])).get("12680", {})
    return {number: items["22613"] for number, items in found.items()}


@pytest.mark.parametrize("purchase", ["purchase", "Transaction", "order_completed", "Checkout Complete", "orders"])
def test_only_purchases_among_events_are_read(purchase: str, tmp_path: Path) -> None:
    header = ["event_type", "user_id", "item_id", "order_id", "timestamp"]
    rows = [
        ["view", "7", "a", "", "2011-03-14 10:00"],
        ["addtocart", "7", "b", "", "2011-03-14 10:01"],
        [purchase, "7", "a", "1", "2011-03-14 10:02"],
    ]
    path = write(tmp_path / "t.csv", rows, header)

    assert histories(path) == {"7": {"1": {"a": 1}}}
    only = f"column event_type: only {purchase!r} are read, and 'view', 'addtocart' are left out (2 rows)."
    assert only in notes(path)
    with pytest.raises(NothingLeft, match="The column event_type holds 'view', 'addtocart', and none"):
        load(write(tmp_path / "u.csv", rows[:2], header))


@pytest.mark.parametrize("name", ["kind", "op", "What happened", "step"])
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_events_under_another_name_are_known_by_their_words(name: str, suffix: str, tmp_path: Path) -> None:
    header = [name, "user_id", "item_id", "order_id", "timestamp"]
    rows = [
        ["view", "7", "a", "", "2011-03-14 10:00"],
        ["cart", "7", "b", "", "2011-03-14 10:01"],
        ["purchase", "7", "a", "1", "2011-03-14 10:02"],
        ["coupon", "7", "c", "", "2011-03-14 10:03"],
    ]
    path = tmp_path / f"t.{suffix}"
    if suffix == "csv":
        write(path, rows, header)
    else:
        frame = pd.DataFrame(rows, columns=header)
        frame.assign(timestamp=pd.to_datetime(frame["timestamp"]), quantity=1, price=1.5).to_parquet(path)

    assert histories(path) == {"7": {"1": {"a": 1}}}
    only = f"column {name}: only 'purchase' are read, and 'view', 'cart', 'coupon' are left out (3 rows)."
    assert only in notes(path)


@pytest.mark.parametrize("values", ["view garden lake", "purchase gift home", "search email order", "detail sale new"])
def test_words_of_another_column_are_no_events(values: str, tmp_path: Path) -> None:
    rows = [[*row, value] for row, value in zip(ROWS, [*values.split(), "x"], strict=True)]

    assert histories(write(tmp_path / "t.csv", rows, [*HEADER, "kind"])) == HISTORIES


def test_a_column_of_unknown_types_is_named_with_its_values(tmp_path: Path) -> None:
    rows = [[*row, kind] for row, kind in zip(ROWS, ["A", "B", "A", "C"], strict=True)]

    assert "column type: it is not read, whatever it holds ('A', 'B', 'C')" in notes(
        write(tmp_path / "t.csv", rows, [*HEADER, "type"])
    )


@pytest.mark.parametrize("word", ["return", "Refund", "credit note", "RETURNED"])
@pytest.mark.parametrize("quantity", ["2", "-2"])
@pytest.mark.parametrize("name", ["type", "transaction_type", "Event Type"])
def test_rows_of_a_return_are_negative(word: str, quantity: str, name: str, tmp_path: Path) -> None:
    table = typed(name, "Sale", "buy", word, quantities=["6", "3", quantity])

    assert bought(tmp_path, table) == {"700001": 6, "700002": 1}
    assert ("rows of a return are taken as negative quantities (1 row)" in notes(tmp_path / "t.csv")) == (
        quantity == "2"
    )


@pytest.mark.parametrize("word", ["cancelled", "Canceled", "void", "failed", "refunded", "returned"])
@pytest.mark.parametrize("name", ["status", "Order Status", "Financial Status", "payment_status"])
def test_orders_that_were_cancelled_or_refunded_are_left_out(word: str, name: str, tmp_path: Path) -> None:
    table = typed(name, "completed", word, "paid")

    assert bought(tmp_path, table) == {"700001": 6, "700003": 6}
    assert f"column {name}: rows of what was cancelled or taken back are left out (1 row)" in notes(tmp_path / "t.csv")


def test_cancelled_rows_with_negative_quantities_take_back(tmp_path: Path) -> None:
    assert bought(tmp_path, typed("type", "sale", "cancellation", quantities=["6", "-2"])) == {"700001": 4}


def test_words_that_are_not_known_count_as_sales_and_are_named(tmp_path: Path) -> None:
    assert bought(tmp_path, typed("status", "completed", "on hold", "cancelled")) == {"700001": 6, "700002": 6}
    assert "column status: rows with 'on hold' count as sales" in notes(tmp_path / "t.csv")


def test_a_status_on_the_first_row_of_an_order_is_that_of_all(tmp_path: Path) -> None:
    rows = [[*row, "", ""] for row in ROWS]
    for row, status in zip(rows, ["refunded", "", "paid", "paid"], strict=True):
        row[-1] = status
    rows[2][-2] = "2011-04-16 10:00"

    path = write(tmp_path / "t.csv", rows, [*HEADER, "Cancelled at", "Financial Status"])
    assert histories(path) == {"12681": {"700003": {"22615": 4}}}


@pytest.mark.parametrize(("name", "flag"), [("is_cancelled", "1"), ("returned", "True"), ("cancelled_at", "2011-03-5")])
def test_rows_marked_as_cancelled_are_left_out(name: str, flag: str, tmp_path: Path) -> None:
    table = typed(name, "" if name.endswith("at") else "0", flag)

    assert bought(tmp_path, table) == {"700001": 6}


def test_a_number_of_returned_pieces_is_no_mark(tmp_path: Path) -> None:
    assert bought(tmp_path, typed("returned", "0", "2")) == {"700001": 6, "700002": 6}
    assert "column returned: not read" in notes(tmp_path / "t.csv")


def test_types_of_rows_in_parquet(tmp_path: Path) -> None:
    header, *lines = typed("status", "completed", "cancelled", "paid")
    frame = pd.DataFrame(lines, columns=header).astype({"Quantity": float, "UnitPrice": float})
    frame.assign(InvoiceDate=pd.to_datetime(frame["InvoiceDate"])).to_parquet(tmp_path / "t.parquet")

    assert set(histories(tmp_path / "t.parquet")["12680"]) == {"700001", "700003"}
