"""Datasets: a raw invoice table from a file, as published, without judging its rows (that is ``cleaning``).

Read are UCI Online Retail and Online Retail II, the retail case study, any table with the wire's columns, and tables of
others, whose missing columns get a default that a sentence tells (docs/reference/data.md).
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from state.events.dialect import dialect_named
from state.events.text import clean_text
from training.data import columns
from training.data.distinct import map_distinct
from training.data.errors import NoTable, NothingLeft
from training.data.tables import case_study
from training.data.tables.dates import read_dates
from training.data.tables.files import SUFFIXES, RawTable, in_batches, read, require

logger = logging.getLogger(__name__)

_UCI_PRODUCTS = 0.9
"""Where fewer of the rows have a product's code, it is another shop's table in UCI's columns; there nearly all have."""
_ROWS_THAT_TELL = 100
_NO_ROWS = "{} holds no rows below its column names. Give a table with purchases."


@dataclass(frozen=True)
class InvoiceTable:
    """A raw invoice table: one row a line, in the order of the file, nothing left out.

    ``frame`` has all columns of ``training.data.columns``, optional ones as missing values where the file has none:

    - ``invoice_no``, ``stock_code``, ``customer_id``, ``description``, ``country``, ``line_id``: text or missing; codes
      that a spreadsheet holds as numbers are written as whole numbers;
    - ``quantity`` (units), ``unit_price``: float64, NaN where there is no number;
    - ``invoice_date``: UTC to the second, missing where there is no date.

    ``uci`` tells a table with the columns of UCI Online Retail (I or II) as published, and with stock codes as there:
    it is in that dialect.
    ``timezone`` is the zone in which dates without one were read. ``notes`` are sentences about what reading took for
    granted; ``retyped`` counts the rows with a cell that the file holds in another type. ``attributes`` is what the
    retail case study says of customers and items, None for other tables.
    """

    frame: pd.DataFrame
    uci: bool
    timezone: str = "UTC"
    notes: tuple[str, ...] = ()
    retyped: int = 0
    attributes: case_study.Attributes | None = None


def load(path: Path, *, timezone: str = "UTC") -> InvoiceTable:
    """Read a table, the one table that a folder holds, or the folder of the retail case study.

    Args:
        path: An .xlsx (all sheets that have the columns), .parquet, .csv or .csv.gz file, or a folder.
        timezone: Zone of dates that name none.

    Raises:
        NoTable: There is nothing at the path, or no table or several in the folder.
        UnreadableTable: The file is damaged or of another format.
        MissingColumns: A needed column is missing.
        UnclearDates: Nothing tells whether day or month comes first.
        BrokenReference: A key in a file of the case study is missing or twice.
        NothingLeft: The table has no rows.
    """
    attributes = None
    if path.is_dir() and case_study.is_case_study(path):
        raw, attributes = case_study.read(path, timezone)
    else:
        path = _find(path)
        raw = read(path)
    if raw.frame.empty:
        raise NothingLeft(_NO_ROWS.format(path))
    logger.info("read %d rows of %s", len(raw.frame), path)
    return _table(raw, timezone, attributes)


class TableBatches(NamedTuple):
    """A table as several, one after the other: each a stretch of its rows, at least one; ``rows`` in all of them."""

    rows: int
    tables: Iterator[InvoiceTable]


def load_batches(path: Path, *, timezone: str = "UTC") -> TableBatches:
    """``load`` for a table that may be larger than memory; what is not in Parquet comes as one stretch.

    Raises:
        DataError: As ``load``; also while the stretches are read.
    """
    found = None if path.is_dir() and case_study.is_case_study(path) else in_batches(_find(path))
    if found is None:
        table = load(path, timezone=timezone)
        return TableBatches(len(table.frame), iter([table]))
    rows, batches = found
    if not rows:
        raise NothingLeft(_NO_ROWS.format(path))
    return TableBatches(rows, _tables(batches, timezone))


def from_frame(raw: pd.DataFrame, *, timezone: str = "UTC") -> InvoiceTable:
    """A table from a data frame with published column names; ``load`` for what is in memory already.

    Raises:
        MissingColumns: A needed column is missing.
        UnclearDates: Nothing tells whether day or month comes first.
    """
    return _table(RawTable(raw), timezone, None)


def _find(path: Path) -> Path:
    if not path.exists():
        raise NoTable(f"There is nothing at {path}. Check the path; it may be a table or a folder that holds one.")
    if path.is_file():
        if case_study.is_case_study(path.parent) and case_study.is_case_study_file(path):
            raise NoTable(f"{path} is one of the three files of the retail case study. Give their folder.")
        return path
    tables = sorted(entry for entry in path.iterdir() if entry.is_file() and entry.name.endswith(SUFFIXES))
    if not tables:
        raise NoTable(f"The folder {path} holds no table ({', '.join(SUFFIXES)}). Check the path.")
    if len(tables) > 1:
        names = ", ".join(table.name for table in tables[:10])
        raise NoTable(f"The folder {path} holds {len(tables)} tables ({names}). Name the one to read.")
    return tables[0]


def _tables(batches: Iterator[RawTable], timezone: str) -> Iterator[InvoiceTable]:
    """Stretches of one table, all of the dialect of the first."""
    uci = None
    for raw in batches:
        table = _table(raw, timezone, None, uci)
        uci = table.uci
        yield table


def _table(
    raw: RawTable, timezone: str, attributes: case_study.Attributes | None, uci: bool | None = None
) -> InvoiceTable:
    """A table as read; ``uci`` where it is known already whether it is in that dialect."""
    published = [str(name) for name in raw.frame.columns]
    held = require(published)
    notes = [*raw.notes]
    if others := [f"{name} from {theirs}" for name, theirs in held.items() if not columns.is_standard_name(theirs)]:
        notes.append(f"Columns of other names are read: {', '.join(others)}.")
    frame = pd.DataFrame(index=pd.RangeIndex(len(raw.frame)))
    retyped = np.zeros(len(frame), dtype=bool)
    for name in columns.ALL:
        column = raw.frame[held[name]].reset_index(drop=True) if name in held else None
        if column is None:
            frame[name] = pd.Series(pd.NA, index=frame.index, dtype="str")
        elif name == columns.INVOICE_DATE:
            as_on_the_wire = columns.is_standard_name(held.get(columns.STOCK_CODE, ""))
            dates = read_dates(column, timezone, name=held[name], undecided="month" if as_on_the_wire else None)
            frame[name] = dates.stamps
            retyped |= dates.parsed
            notes += [dates.note] if dates.note else []
        elif name in (columns.QUANTITY, columns.UNIT_PRICE):
            frame[name], parsed, note = _numbers(column, held[name])
            retyped |= parsed
            notes += [note] if note else []
        else:
            frame[name], parsed = _texts(column)
            retyped |= parsed
    notes += _assume(frame, held, timezone)
    if uci is None:
        uci = set(columns.UCI) <= set(published) or set(columns.UCI_II) <= set(published)
        if uci and (share := _products(frame[columns.STOCK_CODE])) < _UCI_PRODUCTS:
            uci = False
            notes.append(
                f"The columns are named as UCI's, but {share:.0%} of the stock codes begin with five digits as those "
                "of products do there: nothing is taken as peculiar to UCI. NEXTBASKET_DIALECT=uci overrules it."
            )
    return InvoiceTable(frame, uci, timezone, tuple(notes), int(retyped.sum()), attributes)


def _products(codes: pd.Series) -> float:
    """Which share of the rows with a stock code has one of a product in UCI's way; 1 where too few have one to tell."""
    given = codes.dropna()
    dialect = dialect_named("uci")
    product = map_distinct(given, lambda text: dialect.is_product(text.strip()) or None).notna()
    return float(product.mean()) if len(given) >= _ROWS_THAT_TELL else 1.0


def _assume(frame: pd.DataFrame, held: dict[str, str], timezone: str) -> list[str]:
    """Put a default where the table has no such column, and say so."""
    notes = []
    if columns.STOCK_CODE not in held:
        frame[columns.STOCK_CODE] = map_distinct(
            frame[columns.DESCRIPTION], lambda text: clean_text(text) or None
        ).astype("str")
        notes.append("There is no stock code: the description names the item.")
    if columns.INVOICE_NO not in held:
        days = frame[columns.INVOICE_DATE].dt.tz_convert(timezone).dt.strftime("%Y-%m-%d")
        both = frame[columns.CUSTOMER_ID].fillna("") + " " + days.fillna("")
        frame[columns.INVOICE_NO] = both.str.strip().replace("", pd.NA).astype("str")
        notes.append("There is no invoice number: what one customer bought on one day is one invoice.")
    for name, words in ((columns.QUANTITY, "quantity"), (columns.UNIT_PRICE, "price")):
        if name not in held:
            frame[name] = 1.0
            notes.append(f"There is no {words}: it is taken as 1 in every row.")
    return notes


def _texts(column: pd.Series) -> tuple[pd.Series, np.ndarray]:
    """Text as written, whole numbers without a point, what is empty as missing; and which rows were no text."""
    texts: pd.Series = map_distinct(column, _text).astype("str")
    if isinstance(column.dtype, pd.StringDtype):
        return texts, np.zeros(len(column), dtype=bool)
    return texts, map_distinct(column, lambda value: not isinstance(value, str) or None).notna().to_numpy()


def _text(value: Any) -> str | None:
    if isinstance(value, str):
        return value or None
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def _numbers(column: pd.Series, name: str) -> tuple[pd.Series, np.ndarray, str | None]:
    """Numbers, NaN where there is none; which rows were text; and a sentence where commas stand for points."""
    if pd.api.types.is_numeric_dtype(column.dtype):
        return column.astype("float64"), np.zeros(len(column), dtype=bool), None
    text = map_distinct(column, lambda value: value if isinstance(value, str) else None)
    commas = text.dropna().drop_duplicates().astype("str").str.fullmatch(r"\s*-?[0-9]+,(?:[0-9]{1,2}|[0-9]{4,})\s*")
    note = None
    if commas.any():
        column = map_distinct(column, lambda value: value.replace(",", ".", 1) if isinstance(value, str) else value)
        note = f"In {name} a comma stands for the decimal point."
    numbers = pd.to_numeric(column, errors="coerce").astype("float64")
    return numbers, text.notna().to_numpy(), note
