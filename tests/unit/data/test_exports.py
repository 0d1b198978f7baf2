"""Exports of shops' systems, by kind: each is read right, or refused with a sentence."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from state.domain.history import canonical_json
from state.settings import Settings
from tests.unit.data.workbook import write_workbook
from training.data import columns
from training.data.errors import DataError, NoTable, NothingLeft, UnreadableTable
from training.data.log import read_table
from training.data.tables.invoice_table import load, load_batches
from training.data.walk import StateReplay

HEADER = ["InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country"]
ROWS = [
    ["700001", "22613", "MUG", "12", "2011-03-14 10:00", "0.85", "12680", "France"],
    ["700001", "22614", "BOWL", "2", "2011-03-14 10:00", "2.55", "12680", "France"],
    ["700002", "22613", "MUG", "6", "2011-04-15 11:00", "0.85", "12680", "France"],
    ["700003", "22615", "PLATE", "4", "2011-05-16 09:30", "1.25", "12681", "France"],
]
Histories = dict[str, dict[str, dict[str, float]]]
HISTORIES: Histories = {
    "12680": {"700001": {"22613": 12, "22614": 2}, "700002": {"22613": 6}},
    "12681": {"700003": {"22615": 4}},
}


def write(path: Path, rows: Sequence[Sequence[str]] = ROWS, header: Sequence[str] = HEADER, between: str = ",") -> Path:
    path.write_text("".join(between.join(row) + "\n" for row in [header, *rows]), encoding="utf-8")
    return path


def changed(**cells: str) -> list[list[str]]:
    """``ROWS`` and one more of customer 12681 with changed cells."""
    last = ["700004", "22615", "PLATE", "8", "2011-06-17 09:30", "1.25", "12681", "France"]
    return [*ROWS, [cells.get(name, cell) for name, cell in zip(HEADER, last, strict=True)]]


def histories(path: Path, **settings: Any) -> Histories:
    log, _ = read_table(path, Settings(dialect="plain", **settings))
    replay = StateReplay(100)
    for invoice in log:
        replay.apply(invoice)
    found = [json.loads(line) for each in replay.histories.values() if (line := canonical_json(each)) is not None]
    result: Histories = {
        each["customer_id"]: {basket["invoice_no"]: basket["items"] for basket in each["baskets"]} for each in found
    }
    return result


def with_fourth(items: dict[str, float]) -> Histories:
    return HISTORIES | {"12681": HISTORIES["12681"] | {"700004": items}}


def notes(path: Path, **settings: Any) -> str:
    return "\n".join(each.sentence() for each in read_table(path, Settings(**settings))[1].assumptions)


# Quotes.


@pytest.mark.parametrize("between", [",", "\t", ";"])
def test_a_stray_quote_swallows_no_rows(between: str, tmp_path: Path) -> None:
    rows = [[cell.replace("BOWL", '"BOWL').replace("PLATE", '"PLATE') for cell in row] for row in ROWS]
    path = write(tmp_path / "t.csv", rows, between=between)

    assert histories(path) == HISTORIES
    assert "t.csv: quotes that do not enclose a field" in notes(path)
    assert "for example line 3 (2 rows)" in notes(path)


def test_a_stray_quote_among_quoted_fields_swallows_no_rows(tmp_path: Path) -> None:
    rows = [ROWS[0], [cell.replace("BOWL", '"BOWL, RED"') for cell in ROWS[1]], ROWS[2]]
    rows.append([cell.replace("PLATE", '"PLATE') for cell in ROWS[3]])

    table = load(write(tmp_path / "t.csv", rows))

    assert table.frame[columns.DESCRIPTION].tolist() == ["MUG", "BOWL, RED", "MUG", '"PLATE']


def test_quotes_doubled_within_and_line_breaks_in_a_field_are_read(tmp_path: Path) -> None:
    rows = [[cell.replace("BOWL", '"BOWL 5"" wide,\nred"') for cell in row] for row in ROWS]

    table = load(write(tmp_path / "t.csv", rows))

    assert table.frame[columns.DESCRIPTION].tolist() == ["MUG", 'BOWL 5" wide,\nred', "MUG", "PLATE"]
    assert table.assumptions == ()


def test_quotes_as_mysql_writes_them(tmp_path: Path) -> None:
    rows = [[f'"{cell}"' for cell in row] for row in ROWS]
    rows[1][2] = r'"BOWL 5\", red"'

    path = write(tmp_path / "t.csv", rows)

    assert load(path).frame[columns.DESCRIPTION].tolist() == ["MUG", 'BOWL 5", red', "MUG", "PLATE"]
    assert histories(path) == HISTORIES


def test_a_field_that_holds_rows_is_refused_with_its_line(tmp_path: Path) -> None:
    rows = [list(row) for row in ROWS]
    rows[1][2] = '"BOWL'
    rows[3][2] = 'PLATE", RED'

    with pytest.raises(UnreadableTable, match=r"cannot be read as a table \(line 4: a quoted field .* like a row"):
        load(write(tmp_path / "t.csv", rows))


# Missing values and customers who are not known.


@pytest.mark.parametrize(
    "word", ["NULL", r"\N", "nan", "None", "<NA>", "NaT", "#N/A", "N/A", "(null)", "NaN", "null", " NULL "]
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


# Sheets, files and columns.


def test_each_sheet_and_file_has_its_own_header(tmp_path: Path) -> None:
    order = [6, 0, 1, 2, 4, 3, 5, 7]
    other = [[row[at] for at in order] for row in [HEADER, *ROWS]]
    other[0] = [
        " customer id ",
        "INVOICE_NO ",
        "stock code",
        "Description",
        "InvoiceDate",
        " Quantity",
        "UnitPrice",
        "x",
    ]
    book = write_workbook(tmp_path / "t.xlsx", {"one": [HEADER, *ROWS[:2]], "two": [other[0], *other[3:]]})
    (tmp_path / "many").mkdir()
    write(tmp_path / "many" / "a.csv", ROWS[:2])
    write(tmp_path / "many" / "b.CSV", other[3:], other[0])
    (tmp_path / "many" / "~$a.xlsx").write_bytes(b"lock")
    (tmp_path / "many" / "._a.csv").write_bytes(b"\0\5\26\7")

    assert histories(book) == HISTORIES
    assert histories(tmp_path / "many") == HISTORIES
    assert "folder many: 2 files are read as one table, for example a.csv, b.CSV." in notes(tmp_path / "many")


@pytest.mark.parametrize(("name", "what"), [("~$t.xlsx", "open in Excel"), ("._t.csv", "companion file of macOS")])
def test_a_companion_of_a_table_is_refused(name: str, what: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"\0")

    with pytest.raises(NoTable, match=what):
        load(tmp_path / name)


def test_titles_above_and_totals_below_the_table(tmp_path: Path) -> None:
    above = [["Sales by customer"], ["January to July"], []]
    total = ["Total", "", "", "24", "", "", "", ""]
    path = tmp_path / "t.csv"
    path.write_text("".join(",".join(row) + "\n" for row in [*above, HEADER, *ROWS, total]))
    book = write_workbook(tmp_path / "t.xlsx", {"t": [*above[:2], HEADER, *ROWS, [None] * 3 + ["24"]]})

    assert histories(path) == HISTORIES
    assert histories(book) == HISTORIES
    assert "line 4 of t.csv: the column names are in line 4, and 3 lines above them are left out." in notes(path)


@pytest.mark.parametrize("start", ["sep=;\n", "\ufeff\ufeff", "\n\n"])
def test_what_stands_before_the_header(start: str, tmp_path: Path) -> None:
    path = write(tmp_path / "T.CSV", between=";")
    path.write_text(start + path.read_text())

    assert histories(path) == HISTORIES


def test_a_column_twice_is_read_once_or_refused(tmp_path: Path) -> None:
    twice = [[*row, row[3]] for row in ROWS]
    path = write(tmp_path / "t.csv", twice, [*HEADER, "Quantity"])

    assert histories(path) == HISTORIES
    assert "column Quantity: it is there twice, with the same values" in notes(path)
    twice[0][-1] = "13"
    with pytest.raises(UnreadableTable, match="two columns 'Quantity' with different values"):
        load(write(tmp_path / "u.csv", twice, [*HEADER, "Quantity"]))


def test_rows_that_differ_in_an_unread_column_are_no_duplicates(tmp_path: Path) -> None:
    rows = [[*row, str(number)] for number, row in enumerate([ROWS[0], ROWS[0]])]

    def duplicates(name: str) -> int:
        _, ledger = read_table(write(tmp_path / "t.csv", rows, [*HEADER, name]), Settings())
        return next(step.removed for step in ledger.steps if step.name == "duplicate")

    assert duplicates("till") == 0
    assert duplicates("Unnamed: 0") == 1
    assert "column till: not read." in notes(write(tmp_path / "t.csv", rows, [*HEADER, "till"]))


@pytest.mark.parametrize("name", ["line_no", "order_item_id", "line_item_id", "Line Number"])
@pytest.mark.parametrize("restarts", [False, True])
def test_a_row_a_scanned_unit_counts_every_row(name: str, restarts: bool, tmp_path: Path) -> None:
    rows = [[*ROWS[0], str(n)] for n in (1, 2, 3)] + [[*ROWS[1], str(n)] for n in ((1, 2) if restarts else (4, 5))]
    rows.append(rows[0])  # an exact duplicate
    path = write(tmp_path / "t.csv", rows, [*HEADER, name])

    assert histories(path) == {"12680": {"700001": {"22613": 36, "22614": 4}}}
    assert f"column {name}: it is the number of a line" in notes(path)


# Numbers.


@pytest.mark.parametrize("returned", ["8-", "(8)", "\u22128", "-8", "8.000-"])
def test_negative_quantities(returned: str, tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", changed(StockCode="22615", Quantity=returned))

    assert histories(path) == {"12680": HISTORIES["12680"]}


@pytest.mark.parametrize(
    ("quantity", "price", "mark"),
    [
        ("1.200", "1.085,50", ","),
        ("1 200", "0,85", ","),
        ("1\u00a0200", "1\u202f085,50 €", ","),
        ("1,200", "1,085.50", "."),
        ("1,200", "$0.85", "."),
        ("1'200", "CHF 1'085.50", "."),
        ("1,200.00", "0.85", "."),
        ("1.200,00", "0,85", ","),
    ],
)
def test_thousands_by_the_decimal_mark_of_the_file(quantity: str, price: str, mark: str, tmp_path: Path) -> None:
    rows = [[*row[:5], row[5].replace(".", mark), *row[6:]] for row in changed(Quantity=quantity)]
    rows[-1][5] = price

    path = write(tmp_path / "t.csv", rows, between=";")

    assert histories(path) == with_fourth({"22615": 1200})


def test_currencies_are_named(tmp_path: Path) -> None:
    assert "column UnitPrice: € is left out" in notes(write(tmp_path / "t.csv", changed(UnitPrice="€ 1.25")))


def test_floats_become_the_decimals_they_stand_for(tmp_path: Path) -> None:
    rows = changed(Quantity="0.30000000000000004", UnitPrice="0.1500000000000000021")
    assert histories(write(tmp_path / "t.csv", rows)) == with_fourth({"22615": 0.3})

    single = pd.DataFrame(ROWS, columns=HEADER).assign(
        Quantity=np.array([1.25, 0.85, 0.1, 12], np.float32), UnitPrice=np.float32(0.85)
    )
    single.to_parquet(tmp_path / "t.parquet")
    log, _ = read_table(tmp_path / "t.parquet", Settings())
    assert [(line.quantity, line.unit_price) for invoice in log for line in invoice.lines] == [
        *((1250, 0.85), (850, 0.85), (100, 0.85), (12_000, 0.85))
    ]


# Codes and Parquet.


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


# Orders, receipts and events.


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


def test_receipt_numbers_that_start_anew_are_told_apart(tmp_path: Path) -> None:
    rows = changed(InvoiceNo="700003", InvoiceDate="2011-09-01 10:00")
    path = write(tmp_path / "t.csv", rows)

    assert histories(path)["12681"] == {"700003": {"22615": 4}, "700003 2011-09-01": {"22615": 8}}
    assert "invoice numbers start anew" in notes(path)


def test_a_return_weeks_later_keeps_the_number_of_its_purchase(tmp_path: Path) -> None:
    rows = changed(InvoiceNo="700003", InvoiceDate="2011-09-01 10:00", Quantity="-1")

    assert histories(write(tmp_path / "t.csv", rows))["12681"] == {"700003": {"22615": 3}}


@pytest.mark.parametrize("purchase", ["purchase", "Transaction", "order_completed"])
def test_only_purchases_among_events_are_read(purchase: str, tmp_path: Path) -> None:
    header = ["event_type", "user_id", "item_id", "order_id", "timestamp"]
    rows = [
        ["view", "7", "a", "", "2011-03-14 10:00"],
        ["addtocart", "7", "b", "", "2011-03-14 10:01"],
        [purchase, "7", "a", "1", "2011-03-14 10:02"],
    ]
    path = write(tmp_path / "t.csv", rows, header)

    assert histories(path) == {"7": {"1": {"a": 1}}}
    only = f"column event_type: only {purchase!r} are read as purchases, and 'view', 'addtocart' are left out (2 rows)."
    assert only in notes(path)
    with pytest.raises(NothingLeft, match="The column event_type holds 'view', 'addtocart', and none"):
        load(write(tmp_path / "u.csv", rows[:2], header))


def test_a_column_of_unknown_types_is_named_with_its_values(tmp_path: Path) -> None:
    rows = [[*row, kind] for row, kind in zip(ROWS, ["A", "B", "A", "C"], strict=True)]

    assert "column type: it is not read, whatever it holds ('A', 'B', 'C')" in notes(
        write(tmp_path / "t.csv", rows, [*HEADER, "type"])
    )


# The dialect.


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


# The tables of kinds that people reported, where they are.

FIELD = Path(os.environ.get("NEXTBASKET_DATA", "/nowhere")) / "field"


@pytest.mark.skipif(not FIELD.is_dir(), reason="needs NEXTBASKET_DATA with a folder field")
def test_the_tables_of_the_field_are_read_right_refused_or_named() -> None:
    wrong = {}
    for case in json.loads((FIELD / "expected.json").read_text()):
        want = case["want"] and {
            customer: {number: invoice["items"] for number, invoice in invoices.items()}
            for customer, invoices in case["want"].items()
        }
        try:
            given = histories(FIELD / case["file"]) if case["dialect"] else None
            said = " ".join(read_table(FIELD / case["file"], Settings())[1].lines())
        except DataError as error:
            if not case["refuse"]:
                wrong[case["file"]] = str(error)
            continue
        if given is not None and given != want and not any(word in said for word in case["says"]):
            wrong[case["file"]] = str(given)
    assert wrong == {}
