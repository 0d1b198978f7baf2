"""Invoice tables: the entry to all tables that can be read. Rows are typed here; ``cleaning`` decides which count.

``load`` reads UCI Online Retail and Online Retail II, the retail case study, any table with the columns of the wire,
and foreign tables (docs/reference/data.md). ``columns`` decides which column is which, ``dates`` how dates are written,
``cells`` how numbers and texts are, ``files`` and ``parquet`` read the formats. Whatever a reader assumes becomes a
sentence in ``InvoiceTable.notes``, which the ledger repeats.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from state.events.dialect import dialect_named
from state.events.text import clean_text
from training.data import columns
from training.data.distinct import map_distinct_texts, where_distinct
from training.data.errors import NoTable, NothingLeft
from training.data.tables.case_study import AttributeTables, is_case_study, is_case_study_file, read_case_study
from training.data.tables.cells import parse_numbers, parse_texts
from training.data.tables.dates import parse_dates
from training.data.tables.files import SUFFIXES, read_batches, read_file
from training.data.tables.raw_table import RawTable

logger = logging.getLogger(__name__)

_UCI_PRODUCT_SHARE = 0.9
"""A table in UCI's columns with fewer rows of product codes is another shop's; in UCI's own nearly all rows are."""
_MIN_CODES = 100
"""Rows with a stock code below which that share means nothing."""


@dataclass(frozen=True)
class InvoiceTable:
    """An invoice table with typed columns: one row a line, in the order of the file, nothing left out.

    Attributes:
        frame: All columns of ``training.data.columns``, optional ones as missing values where the file has none:

            - ``invoice_no``, ``stock_code``, ``customer_id``, ``description``, ``country``, ``line_id``: text or
              missing; codes that a spreadsheet holds as numbers are written as whole numbers;
            - ``quantity`` (units), ``unit_price``: float64, NaN where there is no number;
            - ``invoice_date``: UTC to the second, missing where there is no date.
        uci: Whether columns and stock codes are those of UCI Online Retail (I or II), so that its dialect applies.
        timezone: The zone in which dates without one were read.
        notes: A sentence for everything that reading the table assumed.
        retyped: Number of rows with a cell that the file holds in another type.
        attributes: Attributes of customers and items in the retail case study, None for other tables.
    """

    frame: pd.DataFrame
    uci: bool
    timezone: str = "UTC"
    notes: tuple[str, ...] = ()
    retyped: int = 0
    attributes: AttributeTables | None = None


class TableBatches(NamedTuple):
    """An invoice table in batches of consecutive rows, at least one; ``rows`` of all batches together."""

    rows: int
    tables: Iterator[InvoiceTable]


def load(path: Path, *, timezone: str = "UTC") -> InvoiceTable:
    """Read a table, the one table in a folder, or the folder of the retail case study.

    Args:
        path: An .xlsx (all sheets that have the columns), .parquet, .csv or .csv.gz file, or a folder.
        timezone: Zone of dates that name none.

    Raises:
        NoTable: There is nothing at the path, or no table or several in the folder.
        UnreadableTable: The file is damaged or of another format.
        MissingColumns: A needed column is missing.
        UnclearDates: No date shows whether day or month comes first.
        BrokenReference: A key in a file of the case study is missing or repeated.
        NothingLeft: The table has no rows.
    """
    attributes = None
    if path.is_dir() and is_case_study(path):
        raw, attributes = read_case_study(path, timezone)
    else:
        path = _find_file(path)
        raw = read_file(path)
    _require_rows(len(raw.frame), path)
    logger.info("read %d rows of %s", len(raw.frame), path)
    return _typed(raw, timezone, attributes)


def load_batches(path: Path, *, timezone: str = "UTC") -> TableBatches:
    """``load`` for a table that may exceed memory; a table that is not in Parquet comes as one batch.

    Raises:
        DataError: As ``load``; also while the batches are read.
    """
    found = None if path.is_dir() and is_case_study(path) else read_batches(_find_file(path))
    if found is None:
        table = load(path, timezone=timezone)
        return TableBatches(len(table.frame), iter([table]))
    rows, batches = found
    _require_rows(rows, path)
    return TableBatches(rows, _typed_batches(batches, timezone))


def from_frame(frame: pd.DataFrame, *, timezone: str = "UTC") -> InvoiceTable:
    """``load`` for a data frame with the column names of a file.

    Raises:
        MissingColumns: A needed column is missing.
        UnclearDates: No date shows whether day or month comes first.
    """
    return _typed(RawTable(frame), timezone, None)


def _find_file(path: Path) -> Path:
    if not path.exists():
        raise NoTable(f"There is nothing at {path}. Check the path; it may be a table or a folder that holds one.")
    if path.is_file():
        if is_case_study(path.parent) and is_case_study_file(path):
            raise NoTable(f"{path} is one of the three files of the retail case study. Give their folder.")
        return path
    tables = sorted(entry for entry in path.iterdir() if entry.is_file() and entry.name.endswith(SUFFIXES))
    if not tables:
        raise NoTable(f"The folder {path} holds no table ({', '.join(SUFFIXES)}). Check the path.")
    if len(tables) > 1:
        names = ", ".join(table.name for table in tables[:10])
        raise NoTable(f"The folder {path} holds {len(tables)} tables ({names}). Name the one to read.")
    return tables[0]


def _require_rows(rows: int, path: Path) -> None:
    if not rows:
        raise NothingLeft(f"{path} holds no rows below its column names. Give a table with purchases.")


def _typed_batches(batches: Iterator[RawTable], timezone: str) -> Iterator[InvoiceTable]:
    """Batches of one table, all in the dialect of the first."""
    uci = None
    for raw in batches:
        table = _typed(raw, timezone, None, uci)
        uci = table.uci
        yield table


def _typed(raw: RawTable, timezone: str, attributes: AttributeTables | None, uci: bool | None = None) -> InvoiceTable:
    """The table with typed columns; ``uci`` where it is known already whether the dialect is UCI's."""
    header = [str(name) for name in raw.frame.columns]
    mapping = columns.require_columns(header)
    notes = [*raw.notes]
    if aliases := [f"{column} from {name}" for column, name in mapping.items() if not columns.is_standard_name(name)]:
        notes.append(f"Columns of other names are read: {', '.join(aliases)}.")
    frame = pd.DataFrame(index=pd.RangeIndex(len(raw.frame)))
    converted = np.zeros(len(frame), dtype=bool)
    for column in columns.ALL:
        if column not in mapping:
            frame[column] = pd.Series(pd.NA, index=frame.index, dtype="str")
            continue
        name = mapping[column]
        published = raw.frame[name].reset_index(drop=True)
        if column == columns.INVOICE_DATE:
            on_the_wire = columns.is_standard_name(mapping.get(columns.STOCK_CODE, ""))
            cells = parse_dates(published, timezone, name=name, default_order="month" if on_the_wire else None)
        elif column in (columns.QUANTITY, columns.UNIT_PRICE):
            cells = parse_numbers(published, name)
        else:
            cells = parse_texts(published)
        frame[column] = cells.values
        converted |= cells.converted
        notes += [cells.note] if cells.note else []
    notes += _fill_missing_columns(frame, mapping, timezone)
    if uci is None:
        uci = set(columns.UCI) <= set(header) or set(columns.UCI_II) <= set(header)
        if uci and (share := _uci_product_share(frame[columns.STOCK_CODE])) < _UCI_PRODUCT_SHARE:
            uci = False
            notes.append(
                f"The columns are named as UCI's, but {share:.0%} of the stock codes begin with five digits as those "
                "of products do there: the UCI dialect is not used. NEXTBASKET_DIALECT=uci overrules it."
            )
    return InvoiceTable(frame, uci, timezone, tuple(notes), int(converted.sum()), attributes)


def _uci_product_share(codes: pd.Series) -> float:
    """Share of the rows with a stock code whose code is a product's in UCI's dialect; 1 where there are too few."""
    given = codes.dropna()
    if len(given) < _MIN_CODES:
        return 1.0
    dialect = dialect_named("uci")
    return float(where_distinct(given, lambda text: dialect.is_product(text.strip())).mean())


def _fill_missing_columns(frame: pd.DataFrame, mapping: dict[str, str], timezone: str) -> list[str]:
    """Give columns that the table lacks a default, and return a note of each."""
    notes = []
    if columns.STOCK_CODE not in mapping:
        described = map_distinct_texts(frame[columns.DESCRIPTION], lambda text: clean_text(text) or None)
        frame[columns.STOCK_CODE] = described
        notes.append("There is no stock code: the description names the item.")
    if columns.INVOICE_NO not in mapping:
        days = frame[columns.INVOICE_DATE].dt.tz_convert(timezone).dt.strftime("%Y-%m-%d")
        both = frame[columns.CUSTOMER_ID].fillna("") + " " + days.fillna("")
        frame[columns.INVOICE_NO] = both.str.strip().replace("", pd.NA).astype("str")
        notes.append("There is no invoice number: what one customer bought on one day is one invoice.")
    for column, noun in ((columns.QUANTITY, "quantity"), (columns.UNIT_PRICE, "price")):
        if column not in mapping:
            frame[column] = 1.0
            notes.append(f"There is no {noun}: it is taken as 1 in every row.")
    return notes
