"""Files of tables: .xlsx, .parquet and .csv, read as published, with only the columns that are used."""

import csv
import gzip
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from python_calamine import CalamineWorkbook

from training.data import columns
from training.data.errors import MissingColumns, UnreadableTable
from training.data.tables.raw_table import RawTable, refuse_damaged

SUFFIXES = (".parquet", ".xlsx", ".csv", ".csv.gz")
"""Formats that are read, by the end of the file's name."""

_SAMPLE_BYTES = 1 << 16
"""Of a CSV file, from which its encoding and delimiter are found."""
_DELIMITERS = (",", ";", "\t", "|")

MapColumns = Callable[[list[str], str], dict[str, str]]
"""From a header and what messages call the file: the columns that are read, each with its name in the header."""


def read_file(path: Path) -> RawTable:
    """Read the file of a table.

    Raises:
        UnreadableTable: The file is damaged, no table, or of another format.
        MissingColumns: A needed column is missing.
    """
    if not path.name.endswith(SUFFIXES):
        raise UnreadableTable(f"{path} has another format than {', '.join(SUFFIXES)}. Save it as one of them.")
    if path.suffix == ".parquet":
        from training.data.tables.parquet import read_parquet  # pyarrow: not in the core

        return read_parquet(path)
    with refuse_damaged(path):
        return read_workbook(path) if path.suffix == ".xlsx" else read_csv(path)


def read_batches(path: Path) -> tuple[int, Iterator[RawTable]] | None:
    """The number of lines of a file that can be read in batches, and the batches; None for other files.

    Raises:
        UnreadableTable: The file is damaged or no table.
        MissingColumns: A needed column is missing.
    """
    if path.suffix != ".parquet":
        return None
    from training.data.tables import parquet

    return parquet.read_batches(path)


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
