"""The retail case study (Kaggle, darpan25bajaj/retail-case-study-data): three CSV files in a folder, joined by keys.

An item is a category, subcategory and type of store: the transactions name no finer one. What the files hold of
customers and items becomes attributes, for the models that use them.
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from state.events.attributes import Attributes, clean_attributes
from training.data import columns
from training.data.assumption import Assumption
from training.data.errors import BrokenReference, MissingColumns
from training.data.tables.dates import parse_dates
from training.data.tables.delimited import read_csv
from training.data.tables.raw_table import RawTable, refuse_damaged

TRANSACTIONS = "Transactions.csv"
CUSTOMERS = "Customer.csv"
PRODUCTS = "prod_cat_info.csv"

_COLUMNS = {
    TRANSACTIONS: (
        *("transaction_id", "cust_id", "tran_date", "prod_cat_code", "prod_subcat_code"),
        *("Qty", "Rate", "Store_type"),
    ),
    CUSTOMERS: ("customer_Id", "DOB", "Gender", "city_code"),
    PRODUCTS: ("prod_cat_code", "prod_cat", "prod_sub_cat_code", "prod_subcat"),
}
"""The columns that are read of each file."""

_MISSING = r"(?i:[+-]?(?:nan|inf|infinity))?"
"""Text of a missing cell: empty, not a number, or infinite."""
_MAX_AGE = 120
"""Years before the last transaction; an older birth date is an error, and the two-tower model reads no such age."""


@dataclass(frozen=True)
class AttributeTables:
    """Attributes of customers and items, one row each, missing where the files have none.

    Attributes:
        customers: ``customer_id``; ``birth_date`` (datetime64[s]); ``gender`` and ``city`` (text as in the file).
        items: ``stock_code``, ``category``, ``subcategory``, ``store`` (text), sorted by stock code.
    """

    customers: pd.DataFrame
    items: pd.DataFrame

    def by_customer(self) -> dict[str, Attributes]:
        """Attributes of each customer as in an event: ``birth_date`` (``1973-05-11``), ``gender``, ``city``."""
        born = self.customers["birth_date"].dt.strftime("%Y-%m-%d")
        return _by_key(self.customers.assign(birth_date=born), "customer_id")

    def by_item(self) -> dict[str, Attributes]:
        """Attributes of each stock code as in an event: ``category``, ``subcategory``, ``store``."""
        return _by_key(self.items, columns.STOCK_CODE)


def _by_key(rows: pd.DataFrame, key: str) -> dict[str, Attributes]:
    """The other columns by a key; ``clean_attributes`` leaves out missing values, which are no text."""
    names = [name for name in rows.columns if name != key]
    return {
        known: clean_attributes(zip(names, values, strict=True))
        for known, *values in rows[[key, *names]].itertuples(index=False)
    }


def is_case_study(folder: Path) -> bool:
    """Whether a folder holds the three files."""
    return all((folder / name).is_file() for name in _COLUMNS)


def is_case_study_file(path: Path) -> bool:
    """Whether a file has the name of one of the three."""
    return path.name in _COLUMNS


def read_case_study(folder: Path, timezone: str = "UTC", date_format: str = "") -> tuple[RawTable, AttributeTables]:
    """Read the three files as one table of lines in the wire's columns, and the attributes.

    A negative quantity is a return. The files give it the number of its purchase; here it becomes a separate invoice
    (``R`` before the number), because an invoice has one date, and the return would be known on the day of the
    purchase. A price is the rate without its sign.
    Dates are read day first unless one of them shows otherwise. Rows whose customer or product the other two files
    lack stay, without attributes or named by their codes; an impossible birth date is missing. Assumptions count both.

    Raises:
        UnreadableTable: A file is damaged.
        MissingColumns: A file lacks a column.
        UnclearDates: Some dates have the day first and some the month.
        BrokenReference: In ``Customer.csv`` or ``prod_cat_info.csv`` a key is missing, or repeated with different
            content.
    """
    files = {name: _read_text(folder / name, names) for name, names in _COLUMNS.items()}
    sold = files[TRANSACTIONS]
    people = _unique_rows(files[CUSTOMERS], ["customer_Id"], folder / CUSTOMERS)
    products = _unique_rows(files[PRODUCTS], ["prod_cat_code", "prod_sub_cat_code"], folder / PRODUCTS)
    items, assumptions = _items(sold, products)
    unknown = sold["cust_id"].notna() & ~sold["cust_id"].isin(people["customer_Id"])
    if unknown.any():
        what = "it does not know the customer, who has no attributes"
        assumptions.append(Assumption(CUSTOMERS, what, "add the customer's row", rows=int(unknown.sum())))
    dates = parse_dates(sold["tran_date"], timezone, name="tran_date", default_order="day", date_format=date_format)
    customers, impossible = _customers(people, dates.values.max(), timezone)
    if impossible:
        years = f"the {_MAX_AGE} years before the last transaction"
        what = f"it is no date in {years}, so these customers have no age"
        assumptions.append(Assumption(f"column DOB of {CUSTOMERS}", what, "write the date of birth", rows=impossible))
    assumptions += dates.assumptions
    returned = sold["Qty"].str.startswith("-").fillna(False)
    frame = pd.DataFrame(
        {
            columns.INVOICE_NO: sold["transaction_id"].where(~returned, "R" + sold["transaction_id"]),
            columns.STOCK_CODE: items[columns.STOCK_CODE],
            columns.DESCRIPTION: items["category"] + ", " + items["subcategory"] + ", " + items["store"],
            columns.QUANTITY: sold["Qty"],
            columns.INVOICE_DATE: dates.values,
            columns.UNIT_PRICE: sold["Rate"].str.lstrip("-"),
            columns.CUSTOMER_ID: sold["cust_id"],
        }
    )
    distinct = items.dropna().drop_duplicates(columns.STOCK_CODE).sort_values(columns.STOCK_CODE, ignore_index=True)
    return RawTable(frame, tuple(assumptions)), AttributeTables(customers, distinct)


def _items(sold: pd.DataFrame, products: pd.DataFrame) -> tuple[pd.DataFrame, list[Assumption]]:
    """Stock code and attributes of the item of each row, and what was assumed about them."""
    named = sold.merge(
        products,
        how="left",
        left_on=["prod_cat_code", "prod_subcat_code"],
        right_on=["prod_cat_code", "prod_sub_cat_code"],
    )
    assumptions = []
    coded = named["prod_cat_code"].notna() & named["prod_subcat_code"].notna() & named["Store_type"].notna()
    unknown = coded & named["prod_cat"].isna()
    if unknown.any():
        what = "it does not know the product, which is named by its codes"
        assumptions.append(Assumption(PRODUCTS, what, "add the product's row", rows=int(unknown.sum())))
        named["prod_cat"] = named["prod_cat"].where(~unknown, "category " + named["prod_cat_code"])
        named["prod_subcat"] = named["prod_subcat"].where(~unknown, "subcategory " + named["prod_subcat_code"])
    items = pd.DataFrame(
        {
            columns.STOCK_CODE: named["prod_cat_code"] + "-" + named["prod_subcat_code"] + "-" + named["Store_type"],
            "category": named["prod_cat"],
            "subcategory": named["prod_subcat"],
            "store": named["Store_type"],
        }
    )
    return items, assumptions


def _customers(people: pd.DataFrame, last: pd.Timestamp, timezone: str) -> tuple[pd.DataFrame, int]:
    """Attributes of the customers, and of how many of them the birth date is impossible at the last transaction."""
    born = parse_dates(people["DOB"], timezone, name="DOB", default_order="day", sale=False).values
    impossible = people["DOB"].notna() & ~born.between(last - pd.DateOffset(years=_MAX_AGE), last)
    customers = pd.DataFrame(
        {
            "customer_id": people["customer_Id"],
            "birth_date": born.mask(impossible).dt.tz_convert(timezone).dt.tz_localize(None).dt.normalize(),
            "gender": people["Gender"],
            "city": people["city_code"],
        }
    )
    return customers, int(impossible.sum())


def _read_text(path: Path, names: tuple[str, ...]) -> pd.DataFrame:
    """Columns of a file as trimmed text.

    Whole numbers are written without a decimal point: tools write 268408.0 where another row of the column is empty,
    and keys must be equal.
    """

    def require_published(header: list[str], where: str) -> dict[str, str]:
        if missing := [name for name in names if name not in header]:
            raise MissingColumns(
                f"{where} lacks {', '.join(missing)}: found {', '.join(header)}. Take the file as published."
            )
        return {name: name for name in names}

    with refuse_damaged(path):
        raw = read_csv(path, require_published)
    frame: pd.DataFrame = raw.frame[[*names]].apply(_trimmed)
    return frame


def _trimmed(column: "pd.Series[str]") -> "pd.Series[str]":
    trimmed = column.str.strip().str.replace(r"^(-?[0-9]+)\.0+$", r"\1", regex=True)
    return trimmed.mask(trimmed.str.fullmatch(_MISSING), pd.NA)


def _unique_rows(rows: pd.DataFrame, key: list[str], path: Path) -> pd.DataFrame:
    """The distinct rows of a file whose key identifies a row.

    Raises:
        BrokenReference: The key is missing, or repeated with different content.
    """
    lacking = rows[key].isna().any(axis=1)
    if lacking.any():
        line = int(lacking.to_numpy().argmax()) + 2  # the header is line 1
        raise BrokenReference(f"{path}: line {line} lacks {' or '.join(key)}. Give the row its key, or take it out.")
    distinct = rows.drop_duplicates(ignore_index=True)
    repeated = distinct.duplicated(key)
    if repeated.any():
        which = ", ".join(distinct.loc[repeated, key].iloc[0])
        raise BrokenReference(
            f"{path}: {' and '.join(key)} {which} is there twice, with different content. Keep one row."
        )
    return distinct
