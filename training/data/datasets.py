"""Datasets: a raw invoice table from a file, as published, without judging its rows (that is ``cleaning``).

Read are UCI Online Retail and Online Retail II, and any table with the wire's columns, as .xlsx, .parquet or .csv.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from python_calamine import CalamineError, CalamineWorkbook

from state.dates import FIRST, LAST, parse_date, to_seconds
from training.data import columns
from training.data.errors import MissingColumns, NoTable, UnreadableTable

logger = logging.getLogger(__name__)

SUFFIXES = (".parquet", ".xlsx", ".csv", ".csv.gz")
"""Formats that are read, by the end of the file's name."""

_NOT_A_TIME = np.iinfo("int64").min


@dataclass(frozen=True)
class Table:
    """A raw invoice table: one row a line, in the order of the file, nothing left out.

    ``frame`` has all columns of ``training.data.columns``, optional ones as missing values where the file has none:

    - ``invoice_no``, ``stock_code``, ``customer_id``, ``description``, ``country``, ``line_id``: text or missing; codes
      that a spreadsheet holds as numbers are written as whole numbers;
    - ``quantity`` (units), ``unit_price``: float64, NaN where there is no number;
    - ``invoice_date``: UTC to the second, missing where there is no date.

    ``uci`` tells a table with the columns of UCI Online Retail (I or II) as published: it is in that dialect.
    ``timezone`` is the zone in which dates without one were read. ``notes`` are sentences about what reading took for
    granted; ``retyped`` counts the rows with a cell that the file holds in another type.
    """

    frame: pd.DataFrame
    uci: bool
    timezone: str = "UTC"
    notes: tuple[str, ...] = ()
    retyped: int = 0


def load(path: Path, *, timezone: str = "UTC") -> Table:
    """Read a table, or the one table that a folder holds.

    Args:
        path: An .xlsx (all sheets that have the columns), .parquet, .csv or .csv.gz file, or a folder with one of them.
        timezone: Zone of dates that name none.

    Raises:
        NoTable: There is nothing at the path, or no table or several in the folder.
        UnreadableTable: The file is damaged or of another format.
        MissingColumns: A needed column is missing.
    """
    path = _find(path)
    try:
        if path.suffix == ".xlsx":
            raw = _read_workbook(path)
        elif path.suffix == ".parquet":
            raw = _read_parquet(path)
        else:
            raw = _read_csv(path)
    except (CalamineError, pa.ArrowException, pd.errors.ParserError, EOFError, UnicodeError, OSError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UnreadableTable(
            f"{path} cannot be read as a table ({reason}). Check that the file is whole and is what its name says."
        ) from error
    logger.info("read %d rows of %s", len(raw), path)
    return from_frame(raw, timezone=timezone)


def from_frame(raw: pd.DataFrame, *, timezone: str = "UTC") -> Table:
    """A table from a data frame with published column names; ``load`` for what is in memory already.

    Raises:
        MissingColumns: A needed column is missing.
    """
    published = [str(name) for name in raw.columns]
    require(published)
    uci = set(columns.UCI) <= set(published) or set(columns.UCI_II) <= set(published)
    source = {name: column for column in reversed(published) if (name := columns.ours(column)) is not None}
    frame = pd.DataFrame(index=pd.RangeIndex(len(raw)))
    for name in columns.ALL:
        column = raw[source[name]].reset_index(drop=True) if name in source else None
        if column is None:
            frame[name] = pd.Series(pd.NA, index=frame.index, dtype="str")
        elif name == columns.INVOICE_DATE:
            frame[name] = _dates(column, timezone)
        elif name in (columns.QUANTITY, columns.UNIT_PRICE):
            frame[name] = pd.to_numeric(column, errors="coerce").astype("float64")
        else:
            frame[name] = _texts(column)
    return Table(frame, uci, timezone)


def require(published: Iterable[str], where: str = "The table") -> None:
    """Check that a header has every needed column.

    Raises:
        MissingColumns: It has not; the message says what was found and what is needed.
    """
    found = list(published)
    held = {columns.ours(name) for name in found}
    missing = [name for name in columns.REQUIRED if name not in held]
    if missing:
        raise MissingColumns(
            f"{where} lacks {', '.join(missing)}: found {', '.join(found[:20]) or 'no columns'}; needed are "
            f"{', '.join(columns.REQUIRED)} (or the names of UCI Online Retail)."
        )


def _find(path: Path) -> Path:
    if not path.exists():
        raise NoTable(f"There is nothing at {path}. Check the path; it may be a table or a folder that holds one.")
    if path.is_file():
        if not path.name.endswith(SUFFIXES):
            raise UnreadableTable(f"{path} is of no format that is read: {', '.join(SUFFIXES)} are.")
        return path
    tables = sorted(entry for entry in path.iterdir() if entry.is_file() and entry.name.endswith(SUFFIXES))
    if not tables:
        raise NoTable(f"The folder {path} holds no table ({', '.join(SUFFIXES)}). Check the path.")
    if len(tables) > 1:
        names = ", ".join(table.name for table in tables[:10])
        raise NoTable(f"The folder {path} holds {len(tables)} tables ({names}). Name the one to read.")
    return tables[0]


def _read_parquet(path: Path) -> pd.DataFrame:
    file = pq.ParquetFile(path, page_checksum_verification=True)  # the copy we keep of a download has checksums
    published = file.schema_arrow.names
    require(published, str(path))
    wanted = [name for name in published if columns.ours(name) is not None]
    frame: pd.DataFrame = file.read(columns=wanted).to_pandas()
    return frame


def _read_csv(path: Path) -> pd.DataFrame:
    """As text throughout: a stock code 00123 is not the number 123, and a description NA is not missing."""
    options: Any = {"dtype": "str", "keep_default_na": False, "na_values": [""]}
    try:
        header = pd.read_csv(path, nrows=0, encoding="utf-8-sig")
        require(header.columns, str(path))
        frame: pd.DataFrame = pd.read_csv(path, encoding="utf-8-sig", **options)
    except pd.errors.EmptyDataError:
        raise MissingColumns(f"{path} is empty; needed are {', '.join(columns.REQUIRED)}.") from None
    except UnicodeDecodeError:  # the copy of UCI's table that goes around as CSV is in Latin-1
        frame = pd.read_csv(path, encoding="latin-1", **options)
    return frame


def _read_workbook(path: Path) -> pd.DataFrame:
    """All sheets with the needed columns, one after the other (Online Retail II has one a year)."""
    with CalamineWorkbook.from_path(str(path)) as workbook:
        frames = []
        refused: MissingColumns | None = None
        for name in workbook.sheet_names:
            rows = workbook.get_sheet_by_name(name).iter_rows()
            header = [str(cell) for cell in next(rows, [])]
            try:
                require(header, f"Sheet {name!r} of {path}")
            except MissingColumns as error:
                refused = refused or error
                continue
            frames.append(_read_sheet(header, rows))
    if not frames:
        raise refused or MissingColumns(f"{path} has no sheets.")
    return pd.concat(frames, ignore_index=True)


def _read_sheet(header: list[str], rows: Iterator[list[Any]]) -> pd.DataFrame:
    """Column by column, without holding all cells of the sheet at once."""
    wanted = [place for place, name in enumerate(header) if columns.ours(name) is not None]
    cells: list[list[Any]] = [[] for _ in wanted]
    shared: dict[Any, Any] = {}
    for row in rows:
        if any(cell != "" for cell in row):
            for column, place in zip(cells, wanted, strict=True):
                cell = row[place]
                column.append(None if cell == "" else shared.setdefault(cell, cell))
    data = {header[place]: pd.Series(column, dtype=object) for place, column in zip(wanted, cells, strict=True)}
    return pd.DataFrame(data)


def _texts(column: pd.Series) -> pd.Series:
    """Text as written; whole numbers without a point; what is empty as missing."""
    texts: pd.Series = mapped(column, _text).astype("str")
    return texts


def _text(value: Any) -> str | None:
    if isinstance(value, str):
        return value or None
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def _dates(column: pd.Series, timezone: str) -> pd.Series:
    """UTC to the second, a fraction dropped; missing where there is no date that the wire would take."""
    zone = ZoneInfo(timezone)
    aware = isinstance(column.dtype, pd.DatetimeTZDtype)
    if aware or (pd.api.types.is_datetime64_dtype(column.dtype) and timezone == "UTC"):
        column = column.dt.tz_convert("UTC").dt.tz_localize(None) if aware else column
        seconds = pd.Series(column.dt.floor("s").to_numpy("datetime64[s]").astype("int64"), dtype="Int64")
        seconds = seconds.where(column.notna() & seconds.between(FIRST, LAST))
    else:
        seconds = mapped(column.astype(object), lambda value: _seconds(value, zone)).astype("Int64")
    stamps = seconds.to_numpy("int64", na_value=_NOT_A_TIME).view("datetime64[s]")
    return pd.Series(stamps, index=column.index).dt.tz_localize("UTC")


def _seconds(value: Any, zone: ZoneInfo) -> int | None:
    """Of a date as text, or as a spreadsheet's cell (where a midnight comes without its time)."""
    if isinstance(value, str):
        return parse_date(value, zone)
    if isinstance(value, datetime):
        return to_seconds(value if value.tzinfo else value.replace(tzinfo=zone))
    if isinstance(value, date):
        return to_seconds(datetime.combine(value, time(), zone))
    return None


def mapped(column: pd.Series, function: Callable[[Any], Any]) -> pd.Series:
    """Apply a function to each distinct value once; missing stays missing.

    Args:
        column: Any values.
        function: Gives the new value, None for a missing one.
    """
    codes, distinct = pd.factorize(column, use_na_sentinel=True)
    results: list[Any] = [*(function(value) for value in distinct), None]  # a missing value has the code -1
    return pd.Series(pd.array(results, dtype=object).take(codes), index=column.index, dtype=object)
