"""Attributes of customers and items, worked by hand on the three files of the case study."""

from dataclasses import replace

import pandas as pd
import pytest

from state.settings import load_settings
from training.data.cleaning.clean import clean
from training.data.tables.invoice_table import InvoiceTable, load
from training.eda import build_report
from training.eda.attributes import (
    ages,
    attributes_section,
    customer_attribute,
    describe_ages,
    describe_genders,
    describe_groups,
    item_attribute,
)
from training.eda.customers import by_group
from training.eda.sales import Sales, sales
from training.report import Page, render

FILES = {
    "Customer.csv": "customer_Id,DOB,Gender,city_code\n1,28-02-1980,M,4\n2,01-03-1990,F,4\n3,15-06-1985,,7\n",
    "prod_cat_info.csv": "prod_cat_code,prod_cat,prod_sub_cat_code,prod_subcat\n1,Clothing,4,Mens\n5,Books,7,Fiction\n",
    "Transactions.csv": (
        "transaction_id,cust_id,tran_date,prod_subcat_code,prod_cat_code,Qty,Rate,Tax,total_amt,Store_type\n"
        "100,1,20-01-2014,4,1,2,10,2,22,MBR\n"  # 20 in clothing
        "101,2,25-01-2014,7,5,1,50,5,55,e-Shop\n"  # 50 in books
        "102,1,28-02-2014,7,5,3,10,3,33,e-Shop\n"  # 30 in books
    ),
}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> InvoiceTable:
    folder = tmp_path_factory.mktemp("case")
    for name, text in FILES.items():
        (folder / name).write_text(text)
    return load(folder)


@pytest.fixture(scope="module")
def sold(table: InvoiceTable) -> Sales:
    return sales(clean(table, load_settings({})), "UTC")


def test_groups(table: InvoiceTable, sold: Sales) -> None:
    assert table.attributes is not None
    category = by_group(sold, item_attribute(sold, table.attributes, "category"))
    assert category.to_dict("index") == {
        "Books": {"revenue": 80.0, "customers": 2},
        "Clothing": {"revenue": 20.0, "customers": 1},
    }
    assert describe_groups(category, "category", "categories") == (
        "Category Books brings 80% of revenue after returns with 2 customers, Clothing least, 20%; there are 2 "
        "categories."
    )
    city = by_group(sold, customer_attribute(sold, table.attributes, "city"))
    assert describe_groups(city, "city", "cities") == "City 4 brings 100% of revenue after returns."


def test_genders(table: InvoiceTable, sold: Sales) -> None:
    assert table.attributes is not None
    assert describe_genders(by_group(sold, customer_attribute(sold, table.attributes, "gender"))) == (
        "Customers by gender: F 1 with 50% of revenue after returns and M 1 with 50% of revenue after returns."
    )


def test_ages_are_completed_years_of_who_bought(table: InvoiceTable, sold: Sales) -> None:
    """On 28 February 2014, a birthday of the first customer and the day before one of the second."""
    assert table.attributes is not None
    years = ages(sold, table.attributes)
    assert sorted(years) == [23, 34]
    assert describe_ages(years) == "The median of 2 customers is 28.5 years old, the youngest 23, the oldest 34."


def test_the_report_has_the_section(table: InvoiceTable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.eda.report.SALES_SECTIONS", ())  # drawn in test_report
    page = build_report(table, load_settings({}), name="case")
    section = page.sections[-1]
    assert section.title == "Attributes of customers and items"
    assert "Revenue by category" not in section.text
    assert 'id="attributes-of-customers-and-items"' in render(page)


def test_without_birth_dates_there_are_no_ages(table: InvoiceTable, sold: Sales) -> None:
    assert table.attributes is not None
    unborn = pd.Series(pd.NaT, index=table.attributes.customers.index, dtype="datetime64[s]")
    attributes = replace(table.attributes, customers=table.attributes.customers.assign(birth_date=unborn))
    section = attributes_section(sold, attributes)
    assert [figure.name for figure in Page("", "", [section]).figures()] == [
        "sales-by-category",
        "sales-by-store",
        "sales-by-city",
    ]
