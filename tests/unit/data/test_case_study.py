"""The retail case study: three files joined by keys, faults in the keys, attributes."""

from pathlib import Path

import pandas as pd
import pytest

from state.settings import Settings
from training.data.cleaning.clean import clean
from training.data.cleaning.invoices import invoices
from training.data.errors import BrokenReference, DataError, MissingColumns, NoTable, NothingLeft, UnreadableTable
from training.data.tables.case_study import is_case_study
from training.data.tables.invoice_table import InvoiceTable, load

CUSTOMERS = ["customer_Id,DOB,Gender,city_code", "1,02-01-1970,M,4", "2,31-12-1991,,", "3,,F,8"]
PRODUCTS = ["prod_cat_code,prod_cat,prod_sub_cat_code,prod_subcat", "1,Clothing,4,Mens", "3,Electronics,4,Mobiles"]
SALES = [
    "transaction_id,cust_id,tran_date,prod_subcat_code,prod_cat_code,Qty,Rate,Tax,total_amt,Store_type",
    "100,1,12/2/2014,4,1,2,578,1,1,e-Shop",
    "100,1,20-02-2014,4,1,-2,-578,1,1,e-Shop",
    "101,2,3/3/2014,4,3,1,99.5,1,1,Flagship store",
]


def write(
    folder: Path, sales: list[str] = SALES, customers: list[str] = CUSTOMERS, products: list[str] = PRODUCTS
) -> Path:
    files = {"Transactions.csv": sales, "Customer.csv": customers, "prod_cat_info.csv": products}
    for name, lines in files.items():
        (folder / name).write_text("\n".join(lines) + "\n")
    return folder


def column(table: InvoiceTable, name: str) -> list[object]:
    values = table.frame[name]
    return [None if pd.isna(value) else value for value in values]


def message_of(folder: Path, kind: type[DataError]) -> str:
    with pytest.raises(kind) as caught:
        load(folder)
    return str(caught.value)


DAY_FIRST = (
    "column tran_date: dates are read day first, as the example shows, for example 20-02-2014 (3 rows). "
    "Otherwise: give --date-format mdy or ymd."
)


def shown(table: InvoiceTable) -> list[str]:
    return [assumption.sentence() for assumption in table.assumptions]


def test_the_format_of_dates_can_be_given(tmp_path: Path) -> None:
    table = load(write(tmp_path, [SALES[0], "100,1,2/3/2014,4,1,1,5,1,1,e-Shop"]), date_format="mdy")

    assert [f"{date:%Y-%m-%d}" for date in table.frame["invoice_date"]] == ["2014-02-03"]


def test_the_three_files_are_one_table(tmp_path: Path) -> None:
    table = load(write(tmp_path))

    assert is_case_study(tmp_path)
    assert column(table, "invoice_no") == ["100", "R100", "101"]
    assert column(table, "stock_code") == ["1-4-e-Shop", "1-4-e-Shop", "3-4-Flagship store"]
    assert column(table, "description")[1:] == ["Clothing, Mens, e-Shop", "Electronics, Mobiles, Flagship store"]
    assert column(table, "quantity") == [2.0, -2.0, 1.0]
    assert column(table, "unit_price") == [578.0, 578.0, 99.5]
    assert [f"{date:%Y-%m-%d}" for date in table.frame["invoice_date"]] == ["2014-02-12", "2014-02-20", "2014-03-03"]
    assert shown(table) == [DAY_FIRST]
    assert not table.uci


def test_a_return_is_an_invoice_of_its_date(tmp_path: Path) -> None:
    log = invoices(clean(load(write(tmp_path)), Settings()))

    assert [(invoice.invoice_no, invoice.lines[0].quantity) for invoice in log] == [
        ("100", 2_000),
        ("R100", -2_000),
        ("101", 1_000),
    ]
    assert log[0].date < log[1].date


def test_invoices_and_lines_share_the_attributes_of_a_customer_and_an_item(tmp_path: Path) -> None:
    bought, back, other = invoices(clean(load(write(tmp_path)), Settings()))

    assert bought.attributes == {"birth_date": "1970-01-02", "city": "4", "gender": "M"}
    assert other.attributes == {"birth_date": "1991-12-31"}
    assert other.lines[0].attributes == {"category": "Electronics", "store": "Flagship store", "subcategory": "Mobiles"}
    assert bought.attributes is back.attributes
    assert bought.lines[0].attributes is back.lines[0].attributes


def test_attributes_are_typed(tmp_path: Path) -> None:
    attributes = load(write(tmp_path), timezone="Europe/London").attributes

    assert attributes is not None
    people = attributes.customers
    assert people["customer_id"].tolist() == ["1", "2", "3"]
    assert people["birth_date"].dtype == "datetime64[s]"
    assert [f"{date:%Y-%m-%d}" for date in people["birth_date"][:2]] == ["1970-01-02", "1991-12-31"]
    assert people.isna().to_numpy().tolist() == [[False] * 4, [False, False, True, True], [False, True, False, False]]
    assert attributes.items.to_numpy().tolist() == [
        ["1-4-e-Shop", "Clothing", "Mens", "e-Shop"],
        ["3-4-Flagship store", "Electronics", "Mobiles", "Flagship store"],
    ]


def test_unknown_customers_and_products_stay_and_are_counted(tmp_path: Path) -> None:
    table = load(write(tmp_path, [*SALES, "102,9,21-03-2014,8,7,1,5,1,1,MBR", "103,,21-03-2014,4,1,1,5,1,1,MBR"]))

    assert column(table, "stock_code")[3] == "7-8-MBR"
    assert column(table, "description")[3] == "category 7, subcategory 8, MBR"
    assert shown(table)[:2] == [
        "prod_cat_info.csv: it does not know the product, which is named by its codes (1 row). "
        "Otherwise: add the product's row.",
        "Customer.csv: it does not know the customer, who has no attributes (1 row). "
        "Otherwise: add the customer's row.",
    ]
    assert column(table, "customer_id")[4] is None
    assert clean(table, Settings()).ledger.purchase_lines == 3  # without the anonymous one


def test_a_row_without_its_codes_is_left_out(tmp_path: Path) -> None:
    table = load(write(tmp_path, [*SALES, "102,1,21-03-2014,,1,1,5,1,1,MBR", ",1,21-03-2014,4,1,1,5,1,1,MBR"]))

    steps = {step.name: step.rows_in - step.rows_out for step in clean(table, Settings()).ledger.steps}
    assert steps["no_code"] == 2


@pytest.mark.parametrize(
    ("customers", "products", "sentence"),
    [
        ([*CUSTOMERS, ",02-01-1970,M,4"], PRODUCTS, "Customer.csv: line 5 lacks customer_Id."),
        ([*CUSTOMERS, "NaN,02-01-1970,M,4"], PRODUCTS, "Customer.csv: line 5 lacks customer_Id."),
        ([*CUSTOMERS, "1,03-01-1970,M,4"], PRODUCTS, "Customer.csv: customer_Id 1 is there twice"),
        ([*CUSTOMERS, "1.0,03-01-1970,M,4"], PRODUCTS, "Customer.csv: customer_Id 1 is there twice"),
        (CUSTOMERS, [*PRODUCTS, "1,,,Kids"], "prod_cat_info.csv: line 4 lacks prod_cat_code or prod_sub_cat_code."),
        (CUSTOMERS, [*PRODUCTS, "1,Clothing,4,Kids"], "prod_cat_code and prod_sub_cat_code 1, 4 is there twice"),
    ],
)
def test_missing_and_repeated_keys_are_refused(
    tmp_path: Path, customers: list[str], products: list[str], sentence: str
) -> None:
    assert sentence in message_of(write(tmp_path, SALES, customers, products), BrokenReference)


def test_a_repeated_row_is_accepted(tmp_path: Path) -> None:
    customers = [*CUSTOMERS, CUSTOMERS[1], "1.0,02-01-1970,M,4"]
    attributes = load(write(tmp_path, SALES, customers, [*PRODUCTS, PRODUCTS[1]])).attributes

    assert attributes is not None
    assert len(attributes.customers) == 3


def test_nan_is_missing(tmp_path: Path) -> None:
    sales = [*SALES, "102,nan,21-03-2014,4,1,1,5,1,1,MBR", "103,1,21-03-2014,NaN,1,1,5,1,1,MBR"]
    table = load(write(tmp_path, sales, [*CUSTOMERS, "4,NaN,nan,NaN"]))

    assert column(table, "customer_id")[3] is None
    assert column(table, "stock_code")[4] is None
    assert table.attributes is not None
    assert table.attributes.by_customer()["4"] == {}


def test_keys_with_and_without_a_decimal_point_are_equal(tmp_path: Path) -> None:
    """As a tool writes a column of whole numbers in which one is missing."""
    pointed = ["1.0,02-01-1970,M,4.0", "2,31-12-1991,,"]
    sales = [*SALES, "102.0,2.0,21-03-2014,4.0,3.0,1.0,99.0,1,1,MBR"]
    table = load(write(tmp_path, sales, [CUSTOMERS[0], *pointed], [PRODUCTS[0], "1,Clothing,4.0,Mens", *PRODUCTS[2:]]))

    assert shown(table) == [DAY_FIRST.replace("3 rows", "4 rows")]
    assert column(table, "stock_code") == ["1-4-e-Shop", "1-4-e-Shop", "3-4-Flagship store", "3-4-MBR"]
    assert column(table, "invoice_no")[3] == "102"
    assert column(table, "customer_id") == ["1", "1", "2", "2"]
    assert table.attributes is not None
    assert table.attributes.by_customer()["1"]["city"] == "4"


def test_infinite_numbers_are_missing(tmp_path: Path) -> None:
    sales = [
        *SALES,
        "102,1,21-03-2014,4,1,inf,5,1,1,MBR",
        "103,1,21-03-2014,4,1,-inf,5,1,1,MBR",
        "104,1,21-03-2014,4,1,1,Infinity,1,1,MBR",
        "105,1,21-03-2014,4,1,1,1e400,1,1,MBR",
        "106,inf,21-03-2014,4,1,1,5,1,1,MBR",
    ]
    table = load(write(tmp_path, sales, [*CUSTOMERS, "4,inf,inf,-INF"]))

    steps = {step.name: step.rows_in - step.rows_out for step in clean(table, Settings()).ledger.steps}
    assert (steps["no_number"], steps["anonymous"]) == (4, 1)
    assert table.attributes is not None
    assert table.attributes.by_customer()["4"] == {}


def test_an_impossible_birth_date_is_missing_and_counted(tmp_path: Path) -> None:
    born = ["", "31-02-1980", "04-03-2014", "01-01-1890", "0", "never", "03-03-2014", "05-05-1900"]
    customers = [CUSTOMERS[0], *(f"{number},{date},M,4" for number, date in enumerate(born, 1))]
    table = load(write(tmp_path, customers=customers))

    assert table.attributes is not None
    known = table.attributes.by_customer()
    assert {number: found["birth_date"] for number, found in known.items() if "birth_date" in found} == {
        "7": "2014-03-03",
        "8": "1900-05-05",
    }
    assert shown(table)[0] == (
        "column DOB of Customer.csv: it is no date in the 120 years before the last transaction, so these customers "
        "have no age (5 rows). Otherwise: write the date of birth."
    )


def test_zeros_are_attributes_but_no_birth_date_and_no_sale(tmp_path: Path) -> None:
    sales = [*SALES, "102,4,21-03-2014,0,0,0,0,0,0,0", "103,4,21-03-2014,0,0,1,5,1,1,MBR"]
    table = load(write(tmp_path, sales, [*CUSTOMERS, "4,0,0,0"], [*PRODUCTS, "0,0,0,0"]))

    assert table.attributes is not None
    assert table.attributes.by_customer()["4"] == {"gender": "0", "city": "0"}
    assert table.attributes.by_item()["0-0-MBR"] == {"category": "0", "subcategory": "0", "store": "MBR"}
    assert table.assumptions[0].where == "column DOB of Customer.csv"
    assert table.assumptions[0].rows == 1
    cleaned = clean(table, Settings())
    steps = {step.name: step.rows_in - step.rows_out for step in cleaned.ledger.steps}
    assert steps["zero_quantity"] == 1
    assert [invoice.invoice_no for invoice in invoices(cleaned) if invoice.customer_id == "4"] == ["103"]


def test_all_customers_and_products_may_be_unknown(tmp_path: Path) -> None:
    table = load(write(tmp_path, SALES, CUSTOMERS[:1], PRODUCTS[:1]))

    counted = [(each.where, each.rows) for each in table.assumptions[:2]]
    assert counted == [("prod_cat_info.csv", 3), ("Customer.csv", 3)]
    assert table.attributes is not None
    assert table.attributes.by_customer() == {}


@pytest.mark.parametrize(
    ("lost", "kind", "sentence"),
    [
        ({"sales": SALES[:1]}, NothingLeft, "holds no rows below its column names"),
        ({"sales": []}, MissingColumns, "Transactions.csv is empty; it should begin with a line of column names."),
        ({"customers": []}, MissingColumns, "Customer.csv is empty; it should begin with a line of column names."),
        ({"products": []}, MissingColumns, "prod_cat_info.csv is empty; it should begin with a line of column names."),
    ],
)
def test_a_file_without_content_is_reported(
    lost: dict[str, list[str]], kind: type[DataError], sentence: str, tmp_path: Path
) -> None:
    assert sentence in message_of(write(tmp_path, **lost), kind)


def test_a_file_without_a_column_is_reported(tmp_path: Path) -> None:
    write(tmp_path, customers=["customer_Id,DOB,Gender", "1,02-01-1970,M"])

    assert "Customer.csv lacks city_code: found customer_Id, DOB, Gender." in message_of(tmp_path, MissingColumns)


def test_a_damaged_file_is_reported(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "Customer.csv").write_bytes(b"PK\x03\x04\x00\x00")

    assert "Customer.csv is no text" in message_of(tmp_path, UnreadableTable)


def test_one_of_the_three_files_is_refused(tmp_path: Path) -> None:
    assert "Give their folder." in message_of(write(tmp_path) / "Transactions.csv", NoTable)
