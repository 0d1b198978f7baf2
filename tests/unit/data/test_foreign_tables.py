"""Foreign tables: other column names, formats and missing columns, each with a note."""

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from state.settings import Settings
from tests.unit.data.tables import DATE, frame
from training.data import columns
from training.data.cleaning.clean import clean
from training.data.cleaning.invoices import invoices
from training.data.errors import UnclearDates, UnclearNumbers, UnreadableTable
from training.data.tables.invoice_table import InvoiceTable, from_frame, load


def rows(table: InvoiceTable, *names: str) -> list[tuple[Any, ...]]:
    held = table.frame[list(names)].astype(object)
    return [tuple(None if pd.isna(cell) else cell for cell in row) for row in held.to_numpy().tolist()]


def written(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_text(text, encoding=encoding)
    return path


def test_groceries_without_invoice_code_price_and_quantity(tmp_path: Path) -> None:
    """As the table of grocery baskets that goes around as ``Groceries_dataset.csv``."""
    table = load(
        written(
            tmp_path / "groceries.csv",
            "Member_number,Date,itemDescription\n1808,21-07-2015,tropical  fruit\n1808,21-07-2015,whole milk\n"
            "2552,05-01-2015,whole milk\n1808,03-02-2015,whole milk\n",
        )
    )
    log = invoices(clean(table, Settings()))

    assert [(invoice.customer_id, invoice.invoice_no) for invoice in log] == [
        ("2552", "2552 2015-01-05"),
        ("1808", "1808 2015-02-03"),
        ("1808", "1808 2015-07-21"),
    ]
    assert [(line.stock_code, line.description, line.quantity, line.unit_price) for line in log[2].lines] == [
        ("tropical fruit", "tropical fruit", 1_000, 1.0),
        ("whole milk", "whole milk", 1_000, 1.0),
    ]
    assert [(each.where, each.what, each.example) for each in table.assumptions] == [
        ("column itemDescription", "it is read as description", ""),
        ("column Date", "it is read as invoice_date", ""),
        ("column Member_number", "it is read as customer_id", ""),
        ("column Date", "dates are read day first, as the example shows", "21-07-2015"),
        ("stock code", "there is none: the description names the item", ""),
        ("invoice number", "there is none: what one customer bought on one day is one invoice", ""),
        ("quantity", "there is none: it is taken as 1 in every row", ""),
        ("price", "there is none: it is taken as 1 in every row", ""),
    ]
    lines = clean(table, Settings()).ledger.lines()
    assert lines[0] == "How this table was read: dialect plain, zone UTC."
    assert lines[1:9] == [f"- {assumption.sentence()}" for assumption in table.assumptions]


def test_the_day_of_an_invoice_is_in_the_time_zone(tmp_path: Path) -> None:
    text = "user_id,timestamp,product\n1,2015-07-21T23:30:00Z,milk\n1,2015-07-22T10:00:00Z,milk\n"

    table = load(written(tmp_path / "t.csv", text), timezone="Europe/London")

    assert rows(table, "invoice_no") == [("1 2015-07-22",), ("1 2015-07-22",)]


def test_semicolons_decimal_commas_and_other_names(tmp_path: Path) -> None:
    text = (
        "BillNo;Itemname;Quantity;Date;Price;CustomerID;Country\n"
        "536365;WHITE HANGING HEART;6;01.12.2010 08:26;2,55;17850;Österreich\n"
        "536366;MUG;1;13.12.2010 08:26;1;17850;Österreich\n"
    )
    table = load(written(tmp_path / "t.csv", text))

    assert rows(table, "invoice_no", "stock_code", "unit_price", "country") == [
        ("536365", "WHITE HANGING HEART", 2.55, "Österreich"),
        ("536366", "MUG", 1.0, "Österreich"),
    ]
    assert ("column Price", "a comma stands for the decimal point", "2,55", 1) in [
        (each.where, each.what, each.example, each.rows) for each in table.assumptions
    ]
    assert f"{table.frame['invoice_date'].iloc[0]:%Y-%m-%d %H:%M}" == "2010-12-01 08:26"


def test_an_ambiguous_comma_before_three_digits_is_refused() -> None:
    with pytest.raises(UnclearNumbers, match="UnitPrice"):
        from_frame(frame({"UnitPrice": "1,234"}))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "cp1252"])
@pytest.mark.parametrize("between", [",", ";", "\t", "|"])
def test_encodings_and_delimiters(tmp_path: Path, encoding: str, between: str) -> None:
    lines = [
        ["order_id", "sku", "product_name", "user_id", "order_date"],
        ["1", "a", "Café £5 – don’t", "7", "2015-07-21"],
    ]
    text = "".join(f"{between.join(cells)}\n" for cells in lines)

    table = load(written(tmp_path / "t.csv", text, encoding))

    cleaned = clean(table, Settings()).frame
    assert cleaned[[columns.STOCK_CODE, columns.DESCRIPTION]].to_numpy().tolist() == [["a", "Café £5 – don’t"]]


def test_standard_names_come_before_aliases(tmp_path: Path) -> None:
    text = (
        "date,order_date,InvoiceDate,user_id,customer_id,product,item_id\n2015-01-01,2015-01-02,2015-01-03,8,7,milk,1\n"
    )

    table = load(written(tmp_path / "t.csv", text))

    assert rows(table, "customer_id", "stock_code", "description") == [("7", "1", "milk")]
    assert f"{table.frame['invoice_date'].iloc[0]:%d}" == "03"


def test_ambiguous_dates_are_refused_unless_the_wire_has_a_rule(tmp_path: Path) -> None:
    with pytest.raises(UnclearDates):
        load(written(tmp_path / "t.csv", "user_id,date,product\n1,03-04-2015,milk\n"))

    table = from_frame(frame({"InvoiceDate": "12/9/2011 12:50"}))
    assert f"{table.frame['invoice_date'].iloc[0]:%Y-%m-%d}" == "2011-12-09"
    assert [(each.where, each.what, each.example) for each in table.assumptions] == [
        ("column InvoiceDate", "dates are read month first, as none of them shows the order", "12/9/2011 12:50")
    ]


def test_a_uci_table_with_the_day_first() -> None:
    table = from_frame(frame({"InvoiceDate": "9/12/2011 12:50"}, {"InvoiceDate": "31/12/2011 12:50"}))

    assert f"{table.frame['invoice_date'].iloc[0]:%Y-%m-%d}" == "2011-12-09"


def test_a_parquet_file_of_whole_invoices(tmp_path: Path) -> None:
    line = {"stock_code": "22613", "description": "NAPKINS", "quantity": 12, "unit_price": 0.85}
    other = line | {"stock_code": "22614"}
    events: list[dict[str, Any]] = [
        {"invoice_no": "1", "customer_id": "7", "invoice_date": DATE, "country": "France", "lines": [line, other]},
        {"invoice_no": "2", "customer_id": "8", "invoice_date": DATE, "country": None, "lines": [line]},
    ]
    pq.write_table(pa.Table.from_pylist(events), tmp_path / "history.parquet")

    table = load(tmp_path / "history.parquet")

    assert rows(table, "invoice_no", "customer_id", "stock_code", "quantity", "country") == [
        ("1", "7", "22613", 12.0, "France"),
        ("1", "7", "22614", 12.0, "France"),
        ("2", "8", "22613", 12.0, None),
    ]


@pytest.mark.parametrize("first", ["1,2015-04-03,milk", "1,2015-04-03,milk,whole"])
def test_rows_with_more_cells_than_the_header_are_refused(tmp_path: Path, first: str) -> None:
    text = f"user_id,date,product\n{first}\n1,2015-04-03,milk,whole\n"

    with pytest.raises(UnreadableTable, match="cannot be read as a table"):
        load(written(tmp_path / "t.csv", text))


def test_rows_with_numbers_as_text_count_as_retyped() -> None:
    assert from_frame(frame({}, {"Quantity": "6"})).retyped == 2  # the date of both is text
    dated = frame({}, {"Quantity": "6"}, {"StockCode": 22613})
    dated["InvoiceDate"] = pd.Timestamp("2011-12-09T12:50:00Z")
    dated["CustomerID"] = "1"
    assert from_frame(dated).retyped == 2
