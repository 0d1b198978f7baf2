"""Data quality and the ledger, against rows worked by hand."""

import pandas as pd
import pytest

from state.events.dialect import dialect_named
from state.settings import load_settings
from tests.unit.data.tables import table
from training.data.cleaning.clean import clean
from training.data.tables.invoice_table import InvoiceTable, from_frame
from training.eda.quality import (
    checks,
    code_pattern,
    describe_checks,
    describe_ledger,
    describe_stock_codes,
    descriptions_by_code,
    unusual_code_table,
    unusual_codes,
)

UCI = dialect_named("uci")


@pytest.fixture(scope="module")
def rows() -> InvoiceTable:
    return table(
        {},
        {},  # an exact duplicate
        {"CustomerID": None},
        {"InvoiceNo": "C1", "Quantity": -1},
        {"Quantity": -5, "UnitPrice": 0.0},
        {"StockCode": "POST", "Description": "POSTAGE", "Quantity": 2, "UnitPrice": 3.0},
        {"Description": "lost"},
        {"Description": None},
        {"StockCode": "22614", "Description": "CAFÃ‰ MUG"},  # É in UTF-8, read as Windows-1252
        {"StockCode": "22615", "Description": "CAF\ufffd MUG"},
        {"UnitPrice": -1.0},
        {"Quantity": "many", "InvoiceDate": "never"},
    )


def test_checks(rows: InvoiceTable) -> None:
    found = checks(rows, UCI)
    assert {check.name: [int(row) for row in check.rows.nonzero()[0]] for check in found if check.rows.any()} == {
        "no customer": [2],
        "no description": [7],
        "no date": [11],
        "quantity is no number": [11],
        "exact duplicate of a row before": [1],
        "quantity below 0": [3, 4],
        "quantity below 0, invoice not cancelled": [4],
        "price is 0": [4],
        "price below 0": [10],
        "unusual stock code": [5],
        "description that is not its code's usual one": [6],
        "characters that could not be decoded": [9],
        "text decoded from another encoding": [8],
    }
    assert describe_checks(found, 12) == (
        "Of 12 rows 1 (8.3%) pass every check; most frequent: quantity below 0 (2, 17%), unusual stock code (1, 8.3%) "
        "and text decoded from another encoding (1, 8.3%)."
    )


def test_codes(rows: InvoiceTable) -> None:
    unusual, varying = unusual_code_table(rows, UCI), descriptions_by_code(rows, UCI)
    assert unusual.to_dict("index") == {"POST": {"rows": 1, "amount": 6.0, "description": "POSTAGE"}}
    assert varying.to_dict("index") == {"22613": {"texts": 2, "descriptions": ["PACK OF 20 SPACEBOY NAPKINS", "lost"]}}
    assert describe_stock_codes(unusual, varying, 4) == (
        "1 stock code of 4 is unusual, on 1 row; the most frequent is POST (1 row). 1 stock code of 4 (25%) has "
        "several descriptions, 22613 most: 2."
    )


def test_a_good_table_fails_no_check() -> None:
    good = table({}, {"StockCode": "22614", "Description": "CAFÉ MUG – £5"})
    found = checks(good, UCI)
    assert describe_checks(found, 2) == f"None of the {len(found)} checks finds anything in 2 rows."
    assert describe_stock_codes(unusual_code_table(good, UCI), descriptions_by_code(good, UCI), 2) == (
        "No stock code is unusual. No stock code has several descriptions."
    )


@pytest.mark.parametrize(
    ("code", "expected"), [("85123A", "9A"), ("POST", "A"), ("gift_0001_20", "A_9_9"), ("1-4", "9-9")]
)
def test_code_pattern(code: str, expected: str) -> None:
    assert code_pattern(code) == expected


def test_a_code_of_a_rare_pattern_is_unusual_in_any_dialect() -> None:
    codes = pd.Series([*(f"A{number}" for number in range(200)), "MANUAL", None], dtype=object)
    assert list(unusual_codes(codes, dialect_named("plain")).nonzero()[0]) == [200]


def test_the_ledger_in_words(rows: InvoiceTable) -> None:
    cleaned = clean(rows, load_settings({}))
    assert describe_ledger(cleaned.ledger) == (
        "Cleaning keeps 6 of 12 rows (50%); the rule “dated, and not ahead of the clock” leaves out most, 1. What is "
        "left are 5 purchase lines of 1 customer and 1 line taken back."
    )


def test_columns_that_the_file_lacks_are_not_checked() -> None:
    rows = pd.DataFrame({"user_id": ["7", "8"], "date": ["2011-03-14", "2011-03-15"], "item": ["MUG", "BOWL"]})
    lacking = from_frame(rows)

    names = {check.name for check in checks(lacking, UCI)}
    assert {"no customer", "no description", "no date"} <= names
    assert not any("stock code" in name or "price" in name or "invoice number" in name for name in names)
