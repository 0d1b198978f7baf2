"""The retail case study (Kaggle, darpan25bajaj/retail-case-study-data): three CSV files in a folder, joined by keys.

An item is a category, subcategory and type of store: the transactions know no finer one. What the files say of
customers and items is kept aside in a typed form, for models that use it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from state.events.attributes import Attributes as Values
from state.events.attributes import clean_attributes
from training.data import columns
from training.data.errors import BrokenReference, MissingColumns
from training.data.tables.dates import read_dates
from training.data.tables.files import RawTable, read_csv, whole

TRANSACTIONS = "Transactions.csv"
CUSTOMERS = "Customer.csv"
PRODUCTS = "prod_cat_info.csv"

_HEADERS = {
    TRANSACTIONS: (
        *("transaction_id", "cust_id", "tran_date", "prod_cat_code", "prod_subcat_code"),
        *("Qty", "Rate", "Store_type"),
    ),
    CUSTOMERS: ("customer_Id", "DOB", "Gender", "city_code"),
    PRODUCTS: ("prod_cat_code", "prod_cat", "prod_sub_cat_code", "prod_subcat"),
}
"""The columns that are read of each file."""

_NOTHING = r"(?i:[+-]?(?:nan|inf|infinity))?"
"""What a cell holds that holds nothing: no text, or a number that is none or infinite."""
_OLDEST = 120
"""Years: nobody is older at the last transaction, and the towers read no such age."""


@dataclass(frozen=True)
class Attributes:
    """What is known of customers and items beside the transactions; one row each, as far as the files go.

    Attributes:
        customers: ``customer_id``; ``birth_date`` (datetime64[s], missing where unknown); ``gender`` and ``city`` (text
            as in the file, missing where unknown).
        items: ``stock_code``, ``category``, ``subcategory``, ``store`` (text), sorted by stock code.
    """

    customers: pd.DataFrame
    items: pd.DataFrame

    def by_customer(self) -> dict[str, Values]:
        """By customer the attributes as an event says them: ``birth_date`` (``1973-05-11``), ``gender``, ``city``."""
        born = self.customers["birth_date"].dt.strftime("%Y-%m-%d")
        return _by_key(self.customers.assign(birth_date=born), "customer_id")

    def by_item(self) -> dict[str, Values]:
        """By stock code the attributes as an event says them: ``category``, ``subcategory``, ``store``."""
        return _by_key(self.items, columns.STOCK_CODE)


def is_case_study(folder: Path) -> bool:
    """Whether a folder holds the three files."""
    return all((folder / name).is_file() for name in _HEADERS)


def is_case_study_file(path: Path) -> bool:
    """Whether a file is called as one of the three."""
    return path.name in _HEADERS


def read(folder: Path, timezone: str = "UTC") -> tuple[RawTable, Attributes]:
    """Read the three files as one table of lines in the wire's columns, and the attributes.

    A negative quantity is a return; it comes under the number of its purchase and later, so it is an invoice of its own
    here (``R`` before the number), or what happens later would be known at the purchase. A price is the rate without
    its sign. Dates are day first unless one tells otherwise. A customer or product that the other two files do not
    know is kept, without attributes or named by its codes; a birth date that cannot be is passed over. Notes
    count both.

    Raises:
        UnreadableTable: A file is damaged.
        MissingColumns: A file lacks a column.
        UnclearDates: Dates of both orders are there.
        BrokenReference: In ``Customer.csv`` or ``prod_cat_info.csv`` a key is missing, or there twice with different
            content.
    """
    files = {name: _cells(folder / name, names) for name, names in _HEADERS.items()}
    notes: list[str] = []
    sold = files[TRANSACTIONS]
    people = _keyed(files[CUSTOMERS], ["customer_Id"], folder / CUSTOMERS)
    dates = read_dates(sold["tran_date"], timezone, name="tran_date", undecided="day")
    born = read_dates(people["DOB"], timezone, name="DOB", undecided="day").stamps
    last = dates.stamps.max()
    impossible = people["DOB"].notna() & ~born.between(last - pd.DateOffset(years=_OLDEST), last)
    customers = pd.DataFrame(
        {
            "customer_id": people["customer_Id"],
            "birth_date": born.mask(impossible).dt.tz_convert(timezone).dt.tz_localize(None).dt.normalize(),
            "gender": people["Gender"],
            "city": people["city_code"],
        }
    )
    named = sold.merge(
        _keyed(files[PRODUCTS], ["prod_cat_code", "prod_sub_cat_code"], folder / PRODUCTS),
        how="left",
        left_on=["prod_cat_code", "prod_subcat_code"],
        right_on=["prod_cat_code", "prod_sub_cat_code"],
    )
    coded = named["prod_cat_code"].notna() & named["prod_subcat_code"].notna() & named["Store_type"].notna()
    strange = coded & named["prod_cat"].isna()
    if strange.any():
        notes.append(f"{PRODUCTS} does not know the product of {strange.sum():,} rows: they are named by their codes.")
        named["prod_cat"] = named["prod_cat"].where(~strange, "category " + named["prod_cat_code"])
        named["prod_subcat"] = named["prod_subcat"].where(~strange, "subcategory " + named["prod_subcat_code"])
    unknown = sold["cust_id"].notna() & ~sold["cust_id"].isin(people["customer_Id"])
    if unknown.any():
        notes.append(f"{CUSTOMERS} does not know the customer of {unknown.sum():,} rows: they have no attributes.")
    if impossible.any():
        years = f"the {_OLDEST} years before the last transaction"
        notes.append(f"DOB of {impossible.sum():,} customers is no date in {years}: they have no age.")
    items = pd.DataFrame(
        {
            columns.STOCK_CODE: named["prod_cat_code"] + "-" + named["prod_subcat_code"] + "-" + named["Store_type"],
            "category": named["prod_cat"],
            "subcategory": named["prod_subcat"],
            "store": named["Store_type"],
        }
    )
    notes += [dates.note] if dates.note else []
    back = sold["Qty"].str.startswith("-").fillna(False)
    frame = pd.DataFrame(
        {
            columns.INVOICE_NO: sold["transaction_id"].where(~back, "R" + sold["transaction_id"]),
            columns.STOCK_CODE: items[columns.STOCK_CODE],
            columns.DESCRIPTION: items["category"] + ", " + items["subcategory"] + ", " + items["store"],
            columns.QUANTITY: sold["Qty"],
            columns.INVOICE_DATE: dates.stamps,
            columns.UNIT_PRICE: sold["Rate"].str.lstrip("-"),
            columns.CUSTOMER_ID: sold["cust_id"],
        }
    )
    distinct = items.dropna().drop_duplicates(columns.STOCK_CODE).sort_values(columns.STOCK_CODE, ignore_index=True)
    return RawTable(frame, tuple(notes)), Attributes(customers, distinct)


def _by_key(rows: pd.DataFrame, key: str) -> dict[str, Values]:
    """The values of the other columns by key; ``clean_attributes`` leaves out missing ones."""
    names = [name for name in rows.columns if name != key]
    return {
        known: clean_attributes(zip(names, values, strict=True))
        for known, *values in rows[[key, *names]].itertuples(index=False)
    }


def _cells(path: Path, names: tuple[str, ...]) -> pd.DataFrame:
    """The columns of a file as trimmed text; missing is what is empty, no number or infinite.

    Whole numbers have no point: tools write 268408 as 268408.0 where another row has none, and keys must meet.
    """
    raw = whole(path, lambda file: read_csv(file, _needed(names)))
    frame: pd.DataFrame = raw.frame.apply(_present)
    return frame


def _present(column: "pd.Series[str]") -> "pd.Series[str]":
    trimmed = column.str.strip().str.replace(r"^(-?[0-9]+)\.0+$", r"\1", regex=True)
    return trimmed.mask(trimmed.str.fullmatch(_NOTHING), pd.NA)


def _needed(names: tuple[str, ...]) -> Callable[[list[str], str], dict[str, str]]:
    def require(header: list[str], where: str) -> dict[str, str]:
        if missing := [name for name in names if name not in header]:
            raise MissingColumns(
                f"{where} lacks {', '.join(missing)}: found {', '.join(header)}. Take the file as published."
            )
        return {name: name for name in names}

    return require


def _keyed(rows: pd.DataFrame, key: list[str], path: Path) -> pd.DataFrame:
    """The distinct rows, once it is sure that their key is there and only once.

    Raises:
        BrokenReference: It is missing, or there with different content.
    """
    lacking = rows[key].isna().any(axis=1)
    if lacking.any():
        line = int(lacking.to_numpy().argmax()) + 2  # the header is line 1
        raise BrokenReference(f"{path}: line {line} lacks {' or '.join(key)}. Give the row its key, or take it out.")
    distinct = rows.drop_duplicates(ignore_index=True)
    twice = distinct.duplicated(key)
    if twice.any():
        which = ", ".join(distinct.loc[twice, key].iloc[0])
        raise BrokenReference(
            f"{path}: {' and '.join(key)} {which} is there twice, with different content. Keep one row."
        )
    return distinct
