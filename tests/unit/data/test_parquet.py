"""Parquet: codes, bytes, lists, an index of pandas; batches are read as the whole table."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.unit.data.exports import HEADER, HISTORIES, ROWS, changed, histories, notes, write
from training.data import columns
from training.data.errors import UnreadableTable
from training.data.tables.invoice_table import load, load_batches


def test_whole_numbers_with_a_point_in_all_codes(tmp_path: Path) -> None:
    rows = [[f"{row[0]}.0", f"{row[1]}.0", *row[2:6], f"{row[6]}.0", row[7]] for row in ROWS]
    path = write(tmp_path / "t.csv", rows)
    pd.DataFrame(rows, columns=HEADER).astype(
        {"Quantity": float, "UnitPrice": float, "InvoiceDate": "datetime64[s]"}
    ).to_parquet(tmp_path / "t.parquet")

    assert histories(path) == histories(tmp_path / "t.parquet") == HISTORIES
    assert "StockCode: whole numbers are read without the decimal point, for example 22613.0 (4 rows)." in notes(path)


def test_codes_with_fractions_keep_their_points(tmp_path: Path) -> None:
    rows = changed(StockCode="22615.5")
    rows[0][1] = "22613.0"

    assert set(load(write(tmp_path / "t.csv", rows)).frame[columns.STOCK_CODE]) >= {"22613.0", "22615.5"}


def parquet_table(**types: Any) -> pa.Table:
    frame = pd.DataFrame(ROWS, columns=HEADER).astype(
        {"Quantity": "int64", "UnitPrice": "float64", "InvoiceDate": "datetime64[s]"}
    )
    table = pa.Table.from_pandas(frame, preserve_index=False)
    for name, kind in types.items():
        at = table.schema.get_field_index(name)
        table = table.set_column(at, name, table[name].cast(pa.string()).cast(kind))
    return table


@pytest.mark.parametrize(
    "kind", [pa.binary(), pa.large_binary(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())]
)
def test_text_columns_of_parquet(kind: pa.DataType, tmp_path: Path) -> None:
    pq.write_table(parquet_table(InvoiceNo=kind, StockCode=kind, CustomerID=kind), tmp_path / "t.parquet")

    assert histories(tmp_path / "t.parquet") == HISTORIES


def test_an_index_of_pandas_is_a_column(tmp_path: Path) -> None:
    frame = parquet_table().to_pandas()
    frame.set_index("CustomerID").to_parquet(tmp_path / "t.parquet")
    frame.sample(frac=1, random_state=1).to_parquet(tmp_path / "u.parquet")

    assert histories(tmp_path / "t.parquet") == histories(tmp_path / "u.parquet") == HISTORIES


def test_large_lists_of_lines(tmp_path: Path) -> None:
    line: pa.DataType = pa.struct(
        [("stock_code", pa.large_string()), ("quantity", pa.float32()), ("unit_price", pa.float64())]
    )
    schema = pa.schema(
        {
            "invoice_no": pa.string(),
            "customer_id": pa.string(),
            "invoice_date": pa.string(),
            "lines": pa.large_list(line),
        }
    )
    rows = [
        {
            "invoice_no": "1",
            "customer_id": "7",
            "invoice_date": "2011-03-14 10:00",
            "lines": [{"stock_code": "a", "quantity": 0.85, "unit_price": 1.0}],
        }
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), tmp_path / "t.parquet")

    assert histories(tmp_path / "t.parquet") == {"7": {"1": {"a": 0.85}}}


def test_decimals_of_parquet_are_numbers(tmp_path: Path) -> None:
    pq.write_table(parquet_table(Quantity=pa.decimal128(10, 2), UnitPrice=pa.decimal128(10, 2)), tmp_path / "t.parquet")

    assert histories(tmp_path / "t.parquet") == HISTORIES


def test_batches_of_parquet_are_read_as_the_whole_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    number = np.arange(300)
    frame = pd.DataFrame(
        {
            "InvoiceNo": (number // 3 % 40).astype(str),
            "StockCode": (22600 + number % 7).astype(str),
            "Quantity": np.float32(0.85),
            "InvoiceDate": pd.date_range("2011-01-01", periods=300, freq="6h"),
            "UnitPrice": 0.85,
            "CustomerID": [("1", "2", "NULL", None, "0")[at // 3 % 5] for at in number],
            "till": (number % 2).astype(str),
        }
    )
    frame.to_parquet(tmp_path / "t.parquet")
    whole = histories(tmp_path / "t.parquet")
    monkeypatch.setattr("training.data.tables.parquet.BATCH_ROWS", 40)

    assert len(list(load_batches(tmp_path / "t.parquet").tables)) == 8
    assert histories(tmp_path / "t.parquet") == whole
    assert "invoice numbers start anew" in notes(tmp_path / "t.parquet")
    for decided_by_all in (frame.assign(line_no=1), frame.assign(StockCode=frame["StockCode"] + ".0")):
        decided_by_all.to_parquet(tmp_path / "t.parquet")
        assert len(list(load_batches(tmp_path / "t.parquet").tables)) == 1
        assert histories(tmp_path / "t.parquet") == whole


def test_codes_missing_in_one_batch_are_not_the_description(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = parquet_table().to_pandas().sort_values("InvoiceNo", kind="stable", ignore_index=True)
    frame.loc[:1, "StockCode"] = None
    frame.to_parquet(tmp_path / "t.parquet")
    monkeypatch.setattr("training.data.tables.parquet.BATCH_ROWS", 2)

    assert len(list(load_batches(tmp_path / "t.parquet").tables)) == 2
    assert histories(tmp_path / "t.parquet") == HISTORIES | {"12680": {"700002": {"22613": 6}}}
    frame.assign(StockCode=None).astype({"StockCode": "str"}).to_parquet(tmp_path / "u.parquet")
    assert histories(tmp_path / "u.parquet")["12681"] == {"700003": {"PLATE": 4}}


@pytest.mark.parametrize("batch_rows", [1, 2, 100])
def test_a_customer_on_the_first_row_of_an_order_is_filled_down(
    batch_rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.data.tables.parquet.BATCH_ROWS", batch_rows)
    frame = parquet_table().to_pandas()
    frame.loc[1, "CustomerID"] = None
    frame.to_parquet(tmp_path / "first.parquet")
    more = pd.concat([frame, frame.iloc[[3]].assign(StockCode="22616")])
    more.to_parquet(tmp_path / "some.parquet")

    assert histories(tmp_path / "first.parquet") == HISTORIES
    assert "a gap is filled with what the first row of the order has (1 row)" in notes(tmp_path / "first.parquet")
    assert histories(tmp_path / "some.parquet")["12680"]["700001"] == {"22613": 12}
    assert len(list(load_batches(tmp_path / "some.parquet").tables)) == -(-5 // batch_rows)


def whole_invoices(lines: str, kind: Any) -> pa.Table:
    line = pa.struct([("sku", pa.large_binary()), ("qty", pa.float32()), ("price", pa.float32())])
    invoices: dict[str, dict[str, Any]] = {}
    for number, code, _, quantity, date, price, customer, _ in ROWS:
        invoice = {"order_id": number, "customer_id": customer, "order_date": date, lines: []}
        cells = {"sku": code.encode(), "qty": float(quantity), "price": float(price)}
        invoices.setdefault(number, invoice)[lines].append(cells)
    types = pa.schema(
        [*((name, pa.string()) for name in ("order_id", "customer_id", "order_date")), (lines, kind(line))]
    )
    return pa.Table.from_pylist(list(invoices.values()), schema=types)


@pytest.mark.parametrize("lines", ["lines", "items", "line_items"])
@pytest.mark.parametrize("kind", [pa.list_, pa.large_list])
def test_lists_of_lines_under_other_names(lines: str, kind: Any, tmp_path: Path) -> None:
    pq.write_table(whole_invoices(lines, kind), tmp_path / "t.parquet")

    assert histories(tmp_path / "t.parquet") == HISTORIES


@pytest.mark.parametrize("kind", [pa.list_, pa.large_list])
def test_lists_of_codes_and_quantities(kind: Any, tmp_path: Path) -> None:
    nested = whole_invoices("lines", pa.list_).to_pylist()
    rows = [
        {name: invoice[name] for name in ("order_id", "customer_id", "order_date")}
        | {name: [line[name] for line in invoice["lines"]] for name in ("sku", "qty")}
        for invoice in nested
    ]
    empty: dict[str, Any] = {"order_id": "9", "customer_id": "9", "order_date": "2011-03-14", "sku": None, "qty": []}
    text = [(name, pa.string()) for name in ("order_id", "customer_id", "order_date")]
    types = pa.schema([*text, ("sku", kind(pa.string())), ("qty", kind(pa.int64()))])
    pq.write_table(pa.Table.from_pylist([rows[0], empty, *rows[1:]], schema=types), tmp_path / "t.parquet")
    rows[0]["qty"] = [1]
    pq.write_table(pa.Table.from_pylist(rows, schema=types), tmp_path / "u.parquet")

    assert histories(tmp_path / "t.parquet") == HISTORIES
    with pytest.raises(UnreadableTable, match="lists of other lengths in 'qty' than in 'sku'"):
        load(tmp_path / "u.parquet")


def test_a_struct_where_a_value_is_needed_is_refused(tmp_path: Path) -> None:
    table = parquet_table()
    customers = pa.array([{"id": each} for each in table["CustomerID"].to_pylist()])
    pq.write_table(table.set_column(6, "CustomerID", customers), tmp_path / "t.parquet")

    with pytest.raises(UnreadableTable, match=r"holds struct<id: string> in the column 'CustomerID'"):
        load(tmp_path / "t.parquet")


@pytest.mark.parametrize(("kind", "code"), [(pa.float32(), 2.0**24 + 2), (pa.float64(), 2.0**53 + 2)])
def test_codes_that_a_float_rounds_are_refused(kind: pa.DataType, code: float, tmp_path: Path) -> None:
    table = parquet_table()
    pq.write_table(table.set_column(1, "StockCode", pa.array([code] * 4, kind)), tmp_path / "t.parquet")

    with pytest.raises(UnreadableTable, match=r"StockCode holds .* as a floating-point number"):
        histories(tmp_path / "t.parquet")


def test_bytes_in_windows_1252(tmp_path: Path) -> None:
    table = parquet_table()
    codes = [f"Ž{code}".encode("cp1252") for code in table["StockCode"].to_pylist()]
    pq.write_table(table.set_column(1, "StockCode", pa.array(codes, pa.binary())), tmp_path / "t.parquet")

    assert histories(tmp_path / "t.parquet")["12681"] == {"700003": {"Ž22615": 4}}
