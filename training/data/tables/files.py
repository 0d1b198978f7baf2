"""Files of tables: .xlsx, .parquet and .csv, read as published, with only the columns that are used."""

import csv
import gzip
import warnings
from collections.abc import Callable, Iterator
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

BATCH_ROWS = 50_000
"""Rows of a Parquet file that are in memory at once, where it is read in batches."""
_LINES_PER_INVOICE = 20
"""Of a Parquet file with a row an invoice: how many fewer rows a batch has."""

_SAMPLE_BYTES = 1 << 16
"""Of a CSV file, from which its encoding and delimiter are found."""
_DELIMITERS = (",", ";", "\t", "|")
_READ_ERRORS = (
    *(CalamineError, pa.ArrowException, pd.errors.ParserError, pd.errors.ParserWarning, pd.errors.EmptyDataError),
    *(EOFError, UnicodeError, OSError, csv.Error),
)

MapColumns = Callable[[list[str], str], dict[str, str]]
"""From a header and what messages call the file: the columns that are read, each with its name in the header."""


class RawTable(NamedTuple):
    """A table as its file holds it, with the columns that are read, and what the reader assumed (``notes``)."""

    frame: pd.DataFrame
    notes: tuple[str, ...] = ()


def read_file(path: Path) -> RawTable:
    """Read the file of a table.

    Raises:
        UnreadableTable: The file is damaged, no table, or of another format.
        MissingColumns: A needed column is missing.
    """
    if not path.name.endswith(SUFFIXES):
        raise UnreadableTable(f"{path} has another format than {', '.join(SUFFIXES)}. Save it as one of them.")
    reader = {".xlsx": read_workbook, ".parquet": read_parquet}.get(path.suffix, read_csv)
    with refuse_damaged(path):
        return reader(path)


@contextmanager
def refuse_damaged(path: Path) -> Iterator[None]:
    """Turn the errors of the libraries that read files into one sentence.

    Raises:
        UnreadableTable: The file is damaged.
    """
    try:
        yield
    except _READ_ERRORS as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UnreadableTable(
            f"{path} cannot be read as a table ({reason}). Check that the file is complete and has the format of its "
            "name."
        ) from error


class _ParquetFile:
    """A Parquet file with a row a line, or with a row an invoice and its lines as a list."""

    def __init__(self, path: Path) -> None:
        # The cached copy of a download has checksums.
        self.file = pq.ParquetFile(path, page_checksum_verification=True)
        schema = self.file.schema_arrow
        self.nested = LINES in schema.names and pa.types.is_list(schema.field(LINES).type)
        of_lines = [*schema.field(LINES).type.value_type] if self.nested else []
        of_invoices = [field for field in schema if field.name != LINES]
        mapping = columns.require_columns([field.name for field in [*of_invoices, *of_lines]], str(path))
        self._line_columns = [field.name for field in of_lines if field.name in mapping.values()]
        self._invoice_columns = [name for name in schema.names if name in mapping.values() and name != LINES]
        self.columns = [*self._invoice_columns, LINES] if self.nested else self._invoice_columns
        self.types = {
            column: field.type
            for column, name in mapping.items()
            for field in [*of_lines, *of_invoices]
            if field.name == name
        }

    def count_lines(self) -> int:
        """Number of lines, from the metadata alone."""
        metadata = self.file.metadata
        paths = [metadata.schema.column(index).path for index in range(metadata.num_columns)]
        nested = (index for index, path in enumerate(paths) if self.nested and path.startswith(f"{LINES}."))
        index = next(nested, None)
        if index is None:
            return metadata.num_rows
        return sum(metadata.row_group(group).column(index).num_values for group in range(metadata.num_row_groups))

    def to_lines(self, table: pa.Table) -> pd.DataFrame:
        """A row a line, with the columns that are read."""
        if not self.nested:
            frame: pd.DataFrame = table.to_pandas()
            return frame
        table = table.combine_chunks()
        lines = table[LINES].combine_chunks()
        frame = table.select(self._invoice_columns).take(pc.list_parent_indices(lines)).to_pandas()
        structs: Any = pc.list_flatten(lines)
        return pd.concat([frame, pa.Table.from_struct_array(structs).to_pandas()[self._line_columns]], axis=1)


def read_parquet(path: Path) -> RawTable:
    """Read a Parquet file with a row a line, or with a row an invoice and its lines as a list."""
    parquet = _ParquetFile(path)
    return RawTable(parquet.to_lines(parquet.file.read(columns=parquet.columns)))


def read_batches(path: Path) -> tuple[int, Iterator[RawTable]] | None:
    """The number of lines of a Parquet file, and the lines in batches of ``BATCH_ROWS`` rows.

    None for other files, and where dates or numbers are text: their notation is found from the whole column.

    Raises:
        UnreadableTable: The file is damaged or no table.
        MissingColumns: A needed column is missing.
    """
    if path.suffix != ".parquet":
        return None
    with refuse_damaged(path):
        parquet = _ParquetFile(path)
    date = parquet.types[columns.INVOICE_DATE]
    numbers = [parquet.types[name] for name in (columns.QUANTITY, columns.UNIT_PRICE) if name in parquet.types]
    if not pa.types.is_temporal(date) or not all(
        pa.types.is_integer(number) or pa.types.is_floating(number) for number in numbers
    ):
        return None

    def batches() -> Iterator[RawTable]:
        size = BATCH_ROWS // (_LINES_PER_INVOICE if parquet.nested else 1)
        with refuse_damaged(path):
            for batch in parquet.file.iter_batches(size, columns=parquet.columns):
                yield RawTable(parquet.to_lines(pa.Table.from_batches([batch])))

    return parquet.count_lines(), batches()


def read_csv(path: Path, map_columns: MapColumns = columns.require_columns) -> RawTable:
    """Read a CSV file with all cells as text: a stock code 00123 is not the number 123, and NA is a description.

    Args:
        path: A .csv or .csv.gz file, with commas, semicolons, tabs or vertical bars between cells.
        map_columns: Returns the columns to read.
    """
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        start = file.read(_SAMPLE_BYTES)
    encoding = "utf-16" if start.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    if b"\0" in start and encoding != "utf-16":
        raise UnreadableTable(f"{path} is no text, so no CSV file. Check that it has the format of its name.")
    text = start.decode(encoding, errors="replace").lstrip("\r\n")
    if not text.strip():
        raise MissingColumns(f"{path} is empty; it should begin with a line of column names.")
    header, delimiter = _split_header(text)
    names = [*map_columns(header, str(path)).values()]
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
            return RawTable(pd.read_csv(path, encoding=encoding, **options)[names])
        except UnicodeDecodeError:  # the CSV copy of UCI's table in circulation is in Latin-1
            frame = pd.read_csv(path, encoding="latin-1", **options)[names]
    return RawTable(frame, (f"{path.name} is not in UTF-8 and was read as Windows-1252: check a name with an accent.",))


def _split_header(text: str) -> tuple[list[str], str]:
    """The cells of the first line, and the delimiter: the one with most known columns, of these with most cells."""
    lines = text.splitlines()[:1]
    cells = {delimiter: next(csv.reader(lines, delimiter=delimiter)) for delimiter in _DELIMITERS}
    best = max(_DELIMITERS, key=lambda delimiter: (len(columns.map_columns(cells[delimiter])), len(cells[delimiter])))
    return cells[best], best


def read_workbook(path: Path) -> RawTable:
    """Read all sheets with the needed columns, one after the other (Online Retail II has one a year)."""
    with CalamineWorkbook.from_path(str(path)) as workbook:
        frames = []
        notes = []
        refused: MissingColumns | None = None
        for name in workbook.sheet_names:
            rows = workbook.get_sheet_by_name(name).iter_rows()
            header = [str(cell) for cell in next(rows, [])]
            try:
                mapping = columns.require_columns(header, f"Sheet {name!r} of {path}")
            except MissingColumns as error:
                refused = refused or error
                if header:
                    notes.append(f"Sheet {name!r} is left out: it lacks columns of an invoice table.")
                continue
            frames.append(_read_sheet(header, [*mapping.values()], rows))
    if not frames:
        raise refused or MissingColumns(f"{path} has no sheets.")
    return RawTable(pd.concat(frames, ignore_index=True), tuple(notes))


def _read_sheet(header: list[str], names: list[str], rows: Iterator[list[Any]]) -> pd.DataFrame:
    """Some columns of a sheet, read row by row: never all cells of the sheet are in memory."""
    indices = [header.index(name) for name in names]
    values: list[list[Any]] = [[] for _ in indices]
    shared: dict[Any, Any] = {}  # one object for equal cells
    for row in rows:
        if any(cell != "" for cell in row):
            for column, index in zip(values, indices, strict=True):
                cell = row[index]
                column.append(None if cell == "" else shared.setdefault(cell, cell))
    return pd.DataFrame(
        {header[index]: pd.Series(column, dtype=object) for index, column in zip(indices, values, strict=True)}
    )
