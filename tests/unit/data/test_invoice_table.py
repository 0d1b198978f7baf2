"""Every format gives the same table, and a table that cannot be read is reported in one sentence."""

import csv
import gzip
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.unit.data.tables import LINE, SECONDS, frame, table
from tests.unit.data.workbook import write_workbook
from training.data import columns
from training.data.errors import DataError, MissingColumns, NoTable, NothingLeft, UnreadableTable
from training.data.tables.invoice_table import InvoiceTable, from_frame, load


def date(*parts: int) -> datetime:
    """A date without a zone, as tables hold them."""
    return datetime(*parts)  # type: ignore[arg-type]  # noqa: DTZ001


UCI_ROWS: list[list[Any]] = [
    ["InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country"],
    [536365, "85123A", "WHITE HANGING HEART ", 6, date(2010, 12, 1, 8, 26), 2.55, 17850, "United Kingdom"],
    ["C536379", "D", "Discount", -1, date(2010, 12, 1, 9, 41), 27.5, 14527, "United Kingdom"],
    [536414, 22139, None, 56, date(2010, 12, 1, 0, 0), 0, None, "United Kingdom"],
    [536544, 21773, 20713, 1.5, date(2010, 12, 1, 14, 32, 59), 2.51, None, "NA"],
]
"""As the published workbook holds them: numbers for most codes, a number for a description, gaps, a midnight."""

EXPECTED = [
    ("536365", "85123A", "WHITE HANGING HEART ", 6.0, "2010-12-01T08:26:00", 2.55, "17850", "United Kingdom"),
    ("C536379", "D", "Discount", -1.0, "2010-12-01T09:41:00", 27.5, "14527", "United Kingdom"),
    ("536414", "22139", None, 56.0, "2010-12-01T00:00:00", 0.0, None, "United Kingdom"),
    ("536544", "21773", "20713", 1.5, "2010-12-01T14:32:59", 2.51, None, "NA"),
]


def values(read: InvoiceTable) -> list[tuple[Any, ...]]:
    """The rows of a table in UCI's columns, dates as text, missing values as None."""
    held = read.frame.copy()
    held[columns.INVOICE_DATE] = held[columns.INVOICE_DATE].dt.strftime("%Y-%m-%dT%H:%M:%S")
    rows = held[list(columns.UCI.values())].astype(object).to_numpy().tolist()
    return [tuple(None if pd.isna(cell) else cell for cell in row) for row in rows]


def write_csv(path: Path, rows: list[list[Any]], encoding: str = "utf-8") -> Path:
    with path.open("w", encoding=encoding, newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def write_parquet(path: Path, rows: list[list[Any]]) -> Path:
    frame = pd.DataFrame(rows[1:], columns=rows[0])
    for name in ("InvoiceNo", "StockCode", "Description", "Country"):
        frame[name] = [cell if pd.isna(cell) else str(cell) for cell in frame[name]]
    frame.to_parquet(path)
    return path


def test_a_workbook(tmp_path: Path) -> None:
    read = load(write_workbook(tmp_path / "Online Retail.xlsx", {"Online Retail": UCI_ROWS}))

    assert values(read) == EXPECTED
    assert read.uci


def test_a_parquet_file(tmp_path: Path) -> None:
    read = load(write_parquet(tmp_path / "retail.parquet", UCI_ROWS))

    assert values(read) == EXPECTED
    assert read.uci


def test_empty_rows_of_a_workbook_are_left_out(tmp_path: Path) -> None:
    rows = [UCI_ROWS[0], UCI_ROWS[1], [None] * 8, *UCI_ROWS[2:]]

    assert values(load(write_workbook(tmp_path / "t.xlsx", {"t": rows}))) == EXPECTED


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_csv_file(tmp_path: Path, encoding: str) -> None:
    assert values(load(write_csv(tmp_path / "retail.csv", UCI_ROWS, encoding))) == EXPECTED


def test_a_csv_file_in_latin_1(tmp_path: Path) -> None:
    rows = [UCI_ROWS[0], [*UCI_ROWS[1][:2], "GIFT VOUCHER £40.00", *UCI_ROWS[1][3:]]]

    read = load(write_csv(tmp_path / "data.csv", rows, "latin-1"))

    assert read.frame[columns.DESCRIPTION].tolist() == ["GIFT VOUCHER £40.00"]
    assert [each.sentence() for each in read.assumptions] == [
        "data.csv: it is not in UTF-8 and was read as Windows-1252: check a name with an accent. "
        "Otherwise: save it as UTF-8."
    ]


def test_a_packed_csv_file(tmp_path: Path) -> None:
    plain = write_csv(tmp_path / "retail.csv", UCI_ROWS)
    (tmp_path / "packed").mkdir()
    (tmp_path / "packed" / "retail.csv.gz").write_bytes(gzip.compress(plain.read_bytes()))

    assert values(load(tmp_path / "packed")) == EXPECTED


def test_a_csv_file_keeps_leading_zeros_and_dates_month_first(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(
        "InvoiceNo,StockCode,Quantity,InvoiceDate,UnitPrice,CustomerID\n007,00123,1,12/9/2011 12:50,1,012\n"
    )
    read = load(tmp_path / "t.csv").frame.iloc[0]

    assert (read[columns.INVOICE_NO], read[columns.STOCK_CODE], read[columns.CUSTOMER_ID]) == ("007", "00123", "012")
    assert read[columns.INVOICE_DATE].timestamp() == SECONDS


def test_online_retail_ii_has_a_sheet_a_year_and_other_names(tmp_path: Path) -> None:
    header = ["Invoice", "StockCode", "Description", "Quantity", "InvoiceDate", "Price", "Customer ID", "Country"]
    sheets = {
        "Year 2009-2010": [header, *UCI_ROWS[1:3]],
        "Notes": [["nothing to see"]],
        "Year 2010-2011": [header, *UCI_ROWS[3:]],
    }
    read = load(write_workbook(tmp_path / "online_retail_II.xlsx", sheets))

    assert values(read) == EXPECTED
    assert read.uci


def test_a_table_with_the_names_of_the_wire_is_not_in_the_uci_dialect() -> None:
    names = {"InvoiceNo": "invoice_no", "StockCode": "stock_code", "Description": "description"}
    names |= {"Quantity": "quantity", "InvoiceDate": "invoice_date", "UnitPrice": "unit_price"}
    names |= {"CustomerID": "customer_id", "Country": "country"}
    read = from_frame(frame({"line_id": "7"}).rename(columns=names))

    assert not read.uci
    assert values(read) == values(table({}))
    assert read.frame[columns.LINE_ID].tolist() == ["7"]


def coded(codes: list[str]) -> pd.DataFrame:
    return pd.concat([frame({}).assign(StockCode=code, InvoiceNo=str(place)) for place, code in enumerate(codes)])


def test_other_codes_in_columns_of_uci_are_not_in_the_uci_dialect() -> None:
    read = from_frame(coded(["85123A"] * 60 + ["4011", "KIWI"] * 30))

    assert not read.uci
    assert [each.sentence() for each in read.assumptions] == [
        "dialect: the columns are named as UCI's, but 50% of the stock codes begin with five digits as those of "
        "products do there, so the UCI dialect is not used. Otherwise: set NEXTBASKET_DIALECT=uci."
    ]


def test_missing_codes_do_not_count_for_the_dialect() -> None:
    assert from_frame(pd.concat([coded(["85123A"] * 100), frame(*[{"StockCode": None}] * 100)])).uci


def test_postage_among_codes_of_uci_is_in_the_uci_dialect() -> None:
    read = from_frame(coded(["85123A"] * 114 + ["POST"] * 6))

    assert read.uci
    assert read.assumptions == ()


def test_optional_columns_may_be_missing() -> None:
    read = from_frame(frame({}).drop(columns=["Description", "Country"]))

    assert read.frame[[columns.DESCRIPTION, columns.COUNTRY, columns.LINE_ID]].isna().all(axis=None)


def test_malformed_numbers_and_dates_are_missing() -> None:
    read = table({"Quantity": "six", "UnitPrice": None, "InvoiceDate": "yesterday"}, {"InvoiceDate": 513.35}, {}).frame

    assert read[columns.QUANTITY].isna().tolist() == [True, False, False]
    assert read[columns.UNIT_PRICE].isna().tolist() == [True, False, False]
    assert read[columns.INVOICE_DATE].isna().tolist() == [True, True, False]


def test_dates_without_a_zone_are_read_in_the_zone_of_the_settings(tmp_path: Path) -> None:
    rows: list[list[Any]] = [
        ["InvoiceNo", "StockCode", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID"],
        [1, "a", 1, date(2011, 7, 1, 12, 0), 1, 5],
        [2, "a", 1, date(2011, 12, 1, 12, 0), 1, 5],
    ]
    written = write_workbook(tmp_path / "t.xlsx", {"t": rows})
    pd.DataFrame(rows[1:], columns=rows[0]).to_parquet(tmp_path / "t.parquet")
    text = pd.DataFrame(rows[1:], columns=rows[0])
    text["InvoiceDate"] = ["2011-07-01 12:00", "2011-12-01T12:00:00Z"]
    text.to_csv(tmp_path / "t.csv", index=False)

    hours = [
        load(path, timezone="Europe/London").frame[columns.INVOICE_DATE].dt.hour.tolist()
        for path in (written, tmp_path / "t.parquet", tmp_path / "t.csv")
    ]

    assert hours == [[11, 12], [11, 12], [11, 12]]


def test_a_fraction_of_a_second_is_dropped() -> None:
    raw = pd.DataFrame({name: [value] for name, value in LINE.items()})
    raw["InvoiceDate"] = pd.to_datetime(["2011-12-09T12:50:00.999"])

    assert from_frame(raw).frame[columns.INVOICE_DATE].iloc[0].timestamp() == SECONDS


def test_dates_with_a_zone() -> None:
    raw = pd.DataFrame({name: [value] for name, value in LINE.items()})
    raw["InvoiceDate"] = pd.to_datetime(["2011-12-09T13:50:00+01:00"])

    assert from_frame(raw, timezone="Asia/Tokyo").frame[columns.INVOICE_DATE].iloc[0].timestamp() == SECONDS


def test_a_folder_with_one_table(tmp_path: Path) -> None:
    write_parquet(tmp_path / "retail.parquet", UCI_ROWS)
    (tmp_path / "README.md").write_text("about")
    (tmp_path / "more").mkdir()
    write_csv(tmp_path / "more" / "other.csv", UCI_ROWS)

    assert values(load(tmp_path)) == EXPECTED


def message_of(path: Path, kind: type[DataError]) -> str:
    with pytest.raises(kind) as caught:
        load(path)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_wrong_path_is_reported(tmp_path: Path) -> None:
    assert message_of(tmp_path / "none.csv", NoTable).startswith(f"There is nothing at {tmp_path / 'none.csv'}.")


def test_a_folder_without_a_table_is_reported(tmp_path: Path) -> None:
    assert "holds no table" in message_of(tmp_path, NoTable)


def test_a_folder_with_a_table_in_two_formats_is_reported(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", UCI_ROWS)
    write_parquet(tmp_path / "a.parquet", UCI_ROWS)

    assert "holds 2 tables (a.csv, a.parquet), some of one name. Name the one to read." in message_of(tmp_path, NoTable)


def test_a_file_of_another_format_is_reported(tmp_path: Path) -> None:
    (tmp_path / "t.pdf").write_bytes(b"%PDF")

    assert ".parquet, .xlsx, .csv" in message_of(tmp_path / "t.pdf", UnreadableTable)


@pytest.mark.parametrize("name", ["t.parquet", "t.xlsx", "t.csv.gz"])
@pytest.mark.parametrize("content", [b"", b"no table at all", b"PK\x03\x04", b"PAR1"])
def test_a_damaged_file_is_reported(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)

    if name == "t.csv.gz" and content == b"":
        assert "is empty" in message_of(tmp_path / name, MissingColumns)
    else:
        assert "cannot be read as a table" in message_of(tmp_path / name, UnreadableTable)


def test_a_truncated_parquet_file_is_reported(tmp_path: Path) -> None:
    whole = write_parquet(tmp_path / "t.parquet", UCI_ROWS).read_bytes()
    (tmp_path / "t.parquet").write_bytes(whole[:-20])

    assert "Check that the file is complete" in message_of(tmp_path / "t.parquet", UnreadableTable)


def test_missing_columns_are_reported_with_those_found_and_the_accepted_names(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("InvoiceNo,StockCode,Quantity,UnitPrice,InvoiceDate,User\n1,2,3,4,5,6\n")
    (tmp_path / "u.csv").write_text("order_id,shop,Customer ID\n1,2,3\n")

    assert message_of(tmp_path / "t.csv", MissingColumns) == (
        f"{tmp_path / 't.csv'} lacks customer_id: found InvoiceNo, StockCode, Quantity, UnitPrice, InvoiceDate, User. "
        "Name the columns as one of these: customer_id, CustomerID, Customer ID, customer_no, "
        "customer_number, cust_id, client_id, user_id, member_id, member_number, household_id, household_key, "
        "customer_user_id, visitor_id, shopper_id, buyer_id, loyalty_id, customer_email, email, billing_email, "
        "email_billing, customer."
    )
    assert "lacks invoice_date, stock_code: found order_id, shop, Customer ID." in message_of(
        tmp_path / "u.csv", MissingColumns
    )


@pytest.mark.parametrize("lost", ["Quantity", "UnitPrice", "InvoiceNo"])
def test_a_table_of_invoice_lines_has_all_their_columns(lost: str) -> None:
    with pytest.raises(MissingColumns, match=r"lacks (quantity|unit_price|invoice_no):"):
        from_frame(frame({}).drop(columns=[lost]))


def test_an_empty_csv_file_is_reported(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"")

    assert "is empty; it should begin with a line of column names" in message_of(tmp_path / "t.csv", MissingColumns)


def test_a_workbook_without_the_columns_is_reported(tmp_path: Path) -> None:
    write_workbook(tmp_path / "t.xlsx", {"Notes": [["a", "b"], [1, 2]]})

    assert "Sheet 'Notes' of" in message_of(tmp_path / "t.xlsx", MissingColumns)


def test_a_header_without_rows_is_reported(tmp_path: Path) -> None:
    for path in (
        write_csv(tmp_path / "t.csv", UCI_ROWS[:1]),
        write_workbook(tmp_path / "t.xlsx", {"t": UCI_ROWS[:1]}),
        write_parquet(tmp_path / "t.parquet", UCI_ROWS[:1]),
    ):
        assert "holds no rows" in message_of(path, NothingLeft)
