"""Catalogue tables: one row an item, as the fields of item events. Bounds are for the decoder of events to check."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from state.events.dates import to_iso
from training.data import columns
from training.data.assumption import Assumption, of_columns
from training.data.errors import MissingColumns, NothingLeft, UnreadableTable
from training.data.tables.cells import parse_codes, parse_texts
from training.data.tables.dates import parse_dates
from training.data.tables.delimited import read_csv
from training.data.tables.files import SUFFIXES, find_files
from training.data.tables.numbers import find_decimal_mark, parse_numbers
from training.data.tables.raw_table import RawTable, refuse_damaged
from training.data.tables.workbook import read_workbook

CODE = "stock_code"
NUMBERS = ("price", "stock")
DATES = ("on_sale_from", "on_sale_until", "updated")
TEXTS = ("name", "category", "image", "url")
BLOCKED = "blocked"

ALIASES: dict[str, tuple[str, ...]] = {
    CODE: (*columns.ALIASES[columns.STOCK_CODE], "code", "article", "handle", "id"),
    "name": ("title", "product_name", "item_name", "product_title", "description", "product_description"),
    "category": (
        *("category_path", "categories", "product_category", "product_type", "google_product_category", "department"),
        *("product_group", "type"),
    ),
    "price": ("unit_price", "regular_price", "list_price", "retail_price", "variant_price", "sale_price"),
    "stock": (
        *("stock_quantity", "stock_level", "on_hand", "inventory", "inventory_quantity", "variant_inventory_qty"),
        *("quantity", "qty", "available_quantity"),
    ),
    "image": ("image_link", "image_url", "image_src", "picture", "photo"),
    "url": ("link", "product_url", "page", "page_url", "permalink"),
    "on_sale_from": ("available_from", "sale_from", "valid_from", "availability_date", "launch_date"),
    "on_sale_until": ("available_until", "sale_until", "valid_until", "expiration_date", "end_date"),
    BLOCKED: ("is_blocked", "hidden", "disabled"),
    "updated": ("updated_at", "modified", "modified_at", "last_modified"),
}
"""Names of the columns in other systems, best first."""

_TRUE = frozenset({"true", "t", "yes", "y", "1", "x"})
_FALSE = frozenset({"false", "f", "no", "n", "0"})


class CatalogueTable(NamedTuple):
    """A catalogue table: for each row its number, from 1 below the column names, and the fields of its item.

    A cell that could not be read is among the fields as it is written, so that the decoder of events refuses the row.
    """

    rows: list[tuple[int, dict[str, Any]]]
    assumptions: tuple[Assumption, ...]


def load(path: Path, *, timezone: str = "UTC", date_format: str = "", decimal_mark: str = "") -> CatalogueTable:
    """Read a catalogue table; columns that are not known become attributes under their names.

    Args:
        path: An .xlsx, .parquet, .csv or .csv.gz file.
        timezone: Zone of dates that name none.
        date_format: How dates are written (``dates.parse_dates``); empty: it is found out.
        decimal_mark: The decimal mark of numbers; empty: it is found out.

    Raises:
        DataError: There is no such file, it is damaged, has no column of stock codes, no rows, or unclear dates or
            numbers.
    """
    raw = _read(path)
    if raw.frame.empty:
        raise NothingLeft(f"{path} holds no rows below its column names. Give a table with items.")
    frame = raw.frame.reset_index(drop=True)
    header = [str(name) for name in frame.columns]
    frame.columns = pd.Index(header)
    mapping = require_columns(header, str(path))
    assumptions = [*raw.assumptions]
    fields: dict[str, pd.Series] = {}
    codes = parse_codes(frame[mapping[CODE]], mapping[CODE], whole=True)
    fields[CODE] = codes.values
    assumptions += codes.assumptions
    mark = find_decimal_mark({mapping[name]: frame[mapping[name]] for name in NUMBERS if name in mapping}, decimal_mark)
    for name in (each for each in NUMBERS if each in mapping):
        numbers = parse_numbers(frame[mapping[name]], mapping[name], mark)
        fields[name] = _or_as_written(numbers.values, frame[mapping[name]])
        assumptions += numbers.assumptions
    for name in (each for each in DATES if each in mapping):
        column = frame[mapping[name]]
        if column.notna().any():
            dates = parse_dates(
                column, timezone, name=mapping[name], default_order=None, date_format=date_format, sale=False
            )
            texts = [None if pd.isna(date) else to_iso(int(date.timestamp())) for date in dates.values]
            fields[name] = _or_as_written(pd.Series(texts, dtype=object), column)
            assumptions += dates.assumptions
    for name in (each for each in TEXTS if each in mapping):
        fields[name] = parse_texts(frame[mapping[name]]).values
    if BLOCKED in mapping:
        fields[BLOCKED] = frame[mapping[BLOCKED]].map(_truth)
    others = [name for name in header if name not in mapping.values() and not columns.numbers_rows(name)]
    if others:
        what = "they become attributes of the item"
        assumptions.append(Assumption(of_columns(others[:20]), what, "take them out of the table"))
    attributes = {name: parse_texts(frame[name]).values for name in others}
    return CatalogueTable(list(_rows(fields, attributes)), tuple(assumptions))


def map_columns(header: list[str]) -> dict[str, str]:
    """The columns that a header has: the field to its name in the header; the best of several names."""
    plain = {_normalised(name): name for name in reversed(header)}
    found: dict[str, str] = {}
    for field, aliases in ALIASES.items():
        names = (plain.get(_normalised(alias)) for alias in (field, *aliases))
        if (
            name := next((each for each in names if each is not None and each not in found.values()), None)
        ) is not None:
            found[field] = name
    return found


def require_columns(header: list[str], where: str) -> dict[str, str]:
    """``map_columns`` of a header with a column of stock codes.

    Raises:
        MissingColumns: It has none.
    """
    mapping = map_columns(header)
    if CODE not in mapping:
        raise MissingColumns(
            f"{where} has no column of stock codes, such as {CODE}, sku or product_id. It has: "
            f"{', '.join(header[:20]) or 'none'}."
        )
    return mapping


def _code_column(header: list[str], where: str) -> dict[str, str]:
    """The only column whose cells are no free text."""
    return {CODE: require_columns(header, where)[CODE]}


def _read(path: Path) -> RawTable:
    (path,) = find_files(path) if path.exists() and path.is_file() else (path,)
    if path.name.lower().endswith(".parquet"):
        from training.data.tables.parquet import read_columns  # pyarrow: not in the core

        return read_columns(path)
    if not path.name.lower().endswith(SUFFIXES):
        raise UnreadableTable(f"{path} has another format than {', '.join(SUFFIXES)}. Save it as one of them.")
    with refuse_damaged(path):
        if path.name.lower().endswith(".xlsx"):
            return read_workbook(path, _code_column)
        return read_csv(path, _code_column)


def _rows(fields: dict[str, pd.Series], attributes: dict[str, pd.Series]) -> Iterator[tuple[int, dict[str, Any]]]:
    of_item = {name: column.tolist() for name, column in fields.items()}
    of_attribute = {name: column.tolist() for name, column in attributes.items()}
    for index in range(len(of_item[CODE])):
        row = {name: cells[index] for name, cells in of_item.items() if not _is_gap(cells[index])}
        given = {name: cells[index] for name, cells in of_attribute.items() if not _is_gap(cells[index])}
        yield index + 1, {**row, "attributes": given} if given else row


def _is_gap(cell: object) -> bool:
    return cell is None or cell is pd.NA or cell is pd.NaT or cell != cell or cell == ""


def _or_as_written(values: pd.Series, written: pd.Series) -> pd.Series:
    """The values, and where a cell gave none its text: a row must not lose what nobody could read."""
    texts = parse_texts(written).values
    lost = values.isna() & texts.notna() & (texts.astype("object").map(lambda text: bool(str(text).strip())))
    mixed = values.astype(object)
    mixed[lost] = texts[lost]
    return mixed


def _truth(cell: object) -> object:
    """A cell as a boolean; as it is where it is none."""
    if _is_gap(cell):
        return None
    text = re.sub(r"\.0+$", "", str(cell).strip().lower())
    return True if text in _TRUE else False if text in _FALSE else cell


def _normalised(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())
