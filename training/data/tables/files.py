"""Files: a table as its file holds it, .xlsx, .parquet or .csv, of the columns that are read."""

import csv
import gzip
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from python_calamine import CalamineError, CalamineWorkbook

from training.data import columns
from training.data.errors import MissingColumns, UnreadableTable

SUFFIXES = (".parquet", ".xlsx", ".csv", ".csv.gz")
"""Formats that are read, by the end of the file's name."""

LINES = "lines"
"""Column of lists in a Parquet file whose rows are whole invoices, as on the wire."""

BATCH = 50_000
"""Rows of a Parquet file that are in memory at once, where it is read in batches."""

_SNIFFED_BYTES = 1 << 16
_DELIMITERS = (",", ";", "\t", "|")
_BROKEN = (
    *(CalamineError, pa.ArrowException, pd.errors.ParserError, pd.errors.ParserWarning, pd.errors.EmptyDataError),
    *(EOFError, UnicodeError, OSError, csv.Error),
)


class RawTable(NamedTuple):
    """A table as published, of the columns that are read, and sentences about what reading took for granted."""

    frame: pd.DataFrame
    notes: tuple[str, ...] = ()


def read(path: Path) -> RawTable:
    """Read the file of a table.

    Raises:
        UnreadableTable: The file is damaged, no table, or of another format.
        MissingColumns: A needed column is missing.
    """
    if not path.name.endswith(SUFFIXES):
        raise UnreadableTable(
            f"{path} is of no format that is read: {', '.join(SUFFIXES)} are. Save it as one of them."
        )
    reader = {".xlsx": read_workbook, ".parquet": read_parquet}.get(path.suffix, read_csv)
    return whole(path, reader)


def whole(path: Path, reader: Callable[[Path], RawTable]) -> RawTable:
    """What a reader makes of a file, and one sentence where the file is damaged.

    Raises:
        UnreadableTable: It is.
    """
    with _sound(path):
        return reader(path)


@contextmanager
def _sound(path: Path) -> Iterator[None]:
    try:
        yield
    except _BROKEN as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UnreadableTable(
            f"{path} cannot be read as a table ({reason}). Check that the file is whole and is what its name says."
        ) from error


def require(published: Iterable[str], where: str = "The table") -> dict[str, str]:
    """The columns that are read, ours to theirs, of a header that has all that are needed.

    Needed are customer, date and stock code or description. A table that has stock codes by their name on the wire or
    in UCI's tables is one of invoice lines, which has invoice number, quantity and price too.

    Raises:
        MissingColumns: It has not; the message says what was found and what would be taken.
    """
    found = list(published)
    held = columns.taken(found)
    needed: tuple[str, ...] = (columns.CUSTOMER_ID, columns.INVOICE_DATE)
    if columns.is_standard_name(held.get(columns.STOCK_CODE, "")):
        needed = columns.REQUIRED
    missing = [name for name in needed if name not in held]
    if columns.STOCK_CODE not in held and columns.DESCRIPTION not in held:
        missing.append(columns.STOCK_CODE)
    if missing:
        names = ", ".join(" ".join(name.split())[:40] for name in found[:20])
        taken = "; ".join(columns.accepted_names(name) for name in missing)
        raise MissingColumns(
            f"{where} lacks {', '.join(missing)}: found {names or 'no columns'}. "
            f"Name the columns as one of these: {taken}."
        )
    return held


class _Parquet:
    """A Parquet file with a row a line; or a row an invoice, with its lines as a list."""

    def __init__(self, path: Path) -> None:
        # The copy we keep of a download has checksums.
        self.file = pq.ParquetFile(path, page_checksum_verification=True)
        schema = self.file.schema_arrow
        self.nested = LINES in schema.names and pa.types.is_list(schema.field(LINES).type)
        inner = [*schema.field(LINES).type.value_type] if self.nested else []
        outer = [field for field in schema if field.name != LINES]
        held = require([field.name for field in [*outer, *inner]], str(path))
        self._inner = [field.name for field in inner if field.name in held.values()]
        self._outer = [name for name in schema.names if name in held.values() and name != LINES]
        self.columns = [*self._outer, LINES] if self.nested else self._outer
        self.types = {
            name: field.type for name, theirs in held.items() for field in [*inner, *outer] if field.name == theirs
        }

    @property
    def rows(self) -> int:
        """Lines in it, from its metadata alone."""
        metadata = self.file.metadata
        names = [metadata.schema.column(place).path for place in range(metadata.num_columns)]
        place = next((place for place, name in enumerate(names) if self.nested and name.startswith(f"{LINES}.")), None)
        if place is None:
            return metadata.num_rows
        return sum(metadata.row_group(group).column(place).num_values for group in range(metadata.num_row_groups))

    def flat(self, table: pa.Table) -> pd.DataFrame:
        """A row a line, of the columns that are read."""
        if not self.nested:
            frame: pd.DataFrame = table.to_pandas()
            return frame
        table = table.combine_chunks()
        lines = table[LINES].combine_chunks()
        frame = table.select(self._outer).take(pc.list_parent_indices(lines)).to_pandas()
        structs: Any = pc.list_flatten(lines)
        return pd.concat([frame, pa.Table.from_struct_array(structs).to_pandas()[self._inner]], axis=1)


def read_parquet(path: Path) -> RawTable:
    """A row a line; or a row an invoice, with its lines as a list."""
    parquet = _Parquet(path)
    return RawTable(parquet.flat(parquet.file.read(columns=parquet.columns)))


def in_batches(path: Path) -> tuple[int, Iterator[RawTable]] | None:
    """The number of lines of a Parquet file, and these, ``BATCH`` rows at a time.

    None for other files, and where dates or numbers are text: only the whole column says how they are written.

    Raises:
        UnreadableTable: The file is damaged or no table.
        MissingColumns: A needed column is missing.
    """
    if path.suffix != ".parquet":
        return None
    with _sound(path):
        parquet = _Parquet(path)
    date = parquet.types[columns.INVOICE_DATE]
    numbers = [parquet.types[name] for name in (columns.QUANTITY, columns.UNIT_PRICE) if name in parquet.types]
    if not pa.types.is_temporal(date) or not all(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) for kind in numbers
    ):
        return None

    def batches() -> Iterator[RawTable]:
        with _sound(path):
            for batch in parquet.file.iter_batches(BATCH // (20 if parquet.nested else 1), columns=parquet.columns):
                yield RawTable(parquet.flat(pa.Table.from_batches([batch])))

    return parquet.rows, batches()


def read_csv(path: Path, needed: Callable[[list[str], str], dict[str, str]] | None = None) -> RawTable:
    """As text throughout: a stock code 00123 is not the number 123, and a description NA is not missing.

    Args:
        path: A .csv or .csv.gz file, with commas, semicolons, tabs or bars between cells.
        needed: Gives the columns to read, ours to theirs, of a header; ``require`` unless given.
    """
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        start = file.read(_SNIFFED_BYTES)
    encoding = "utf-16" if start.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    if b"\0" in start and encoding != "utf-16":
        raise UnreadableTable(f"{path} is no text, so no CSV file. Check that it is what its name says.")
    text = start.decode(encoding, errors="replace").lstrip("\r\n")
    if not text.strip():
        raise MissingColumns(f"{path} is empty; it should begin with a line of column names.")
    header, delimiter = _header(text)
    held = (needed or require)(header, str(path))
    options: Any = {
        "sep": delimiter,
        "dtype": "str",
        "keep_default_na": False,
        "na_values": [""],
        "index_col": False,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)  # rows with more cells than the header has
        try:
            return RawTable(pd.read_csv(path, encoding=encoding, **options)[[*held.values()]])
        except UnicodeDecodeError:  # the copy of UCI's table that goes around as CSV is in Latin-1
            frame = pd.read_csv(path, encoding="latin-1", **options)[[*held.values()]]
    return RawTable(frame, (f"{path.name} is not in UTF-8 and was read as Windows-1252: check a name with an accent.",))


def _header(text: str) -> tuple[list[str], str]:
    """The first line's cells, and what stands between them: what gives most columns that are known, then most cells."""
    lines = text.splitlines()[:1]
    split = {delimiter: next(csv.reader(lines, delimiter=delimiter)) for delimiter in _DELIMITERS}
    best = max(_DELIMITERS, key=lambda delimiter: (len(columns.taken(split[delimiter])), len(split[delimiter])))
    return split[best], best


def read_workbook(path: Path) -> RawTable:
    """All sheets with the needed columns, one after the other (Online Retail II has one a year)."""
    with CalamineWorkbook.from_path(str(path)) as workbook:
        frames = []
        notes = []
        refused: MissingColumns | None = None
        for name in workbook.sheet_names:
            rows = workbook.get_sheet_by_name(name).iter_rows()
            header = [str(cell) for cell in next(rows, [])]
            try:
                held = require(header, f"Sheet {name!r} of {path}")
            except MissingColumns as error:
                refused = refused or error
                if header:
                    notes.append(f"Sheet {name!r} is passed over: it has not the columns of a table.")
                continue
            frames.append(_read_sheet(header, held, rows))
    if not frames:
        raise refused or MissingColumns(f"{path} has no sheets.")
    return RawTable(pd.concat(frames, ignore_index=True), tuple(notes))


def _read_sheet(header: list[str], held: dict[str, str], rows: Iterator[list[Any]]) -> pd.DataFrame:
    """Column by column, without holding all cells of the sheet at once."""
    wanted = [header.index(name) for name in held.values()]
    cells: list[list[Any]] = [[] for _ in wanted]
    shared: dict[Any, Any] = {}
    for row in rows:
        if any(cell != "" for cell in row):
            for column, place in zip(cells, wanted, strict=True):
                cell = row[place]
                column.append(None if cell == "" else shared.setdefault(cell, cell))
    data = {header[place]: pd.Series(column, dtype=object) for place, column in zip(wanted, cells, strict=True)}
    return pd.DataFrame(data)
