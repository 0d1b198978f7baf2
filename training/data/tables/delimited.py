"""Delimited text: .csv and .csv.gz."""

import csv
import gzip
import io
import re
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from training.data import columns
from training.data.assumption import Assumption
from training.data.distinct import map_distinct_texts
from training.data.errors import MissingColumns, UnreadableTable
from training.data.tables.encodings import decode_windows_1252
from training.data.tables.quoting import mend_quotes
from training.data.tables.raw_table import HEADER_ROWS, MapColumns, RawTable, name_columns, titles_above

_DELIMITERS = (",", ";", "\t", "|")
NOT_UTF_8 = ("it is not in UTF-8 and was read as Windows-1252: check a name with an accent", "save it as UTF-8")
"""What is assumed about such a file, and the cure."""
_FORMULA = re.compile(r'\s*="([^"]*)"\s*')


class Header(NamedTuple):
    """The line of column names: its index, its cells, and what is between them."""

    line: int
    cells: list[str]
    delimiter: str


def read_csv(path: Path, map_columns: MapColumns = columns.require_columns) -> RawTable:
    """Read a CSV file with all cells as text: a stock code 00123 is not the number 123, and NA is a description.

    Lines above the column names are left out. Quotes are read in the way that fits all lines (``quoting``).

    Args:
        path: A .csv or .csv.gz file, with commas, semicolons, tabs or vertical bars between cells.
        map_columns: Returns the columns that are needed.
    """
    text, assumptions = _decode(path)
    if not text.strip():
        raise MissingColumns(f"{path} is empty; it should begin with a line of column names.")
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    first = first_line(lines)
    header = find_header(lines, first, map_columns, str(path))
    assumptions += titles_above(header.line - first, header.line + 1, path.name)
    below = lines[header.line + 1 :]
    assumptions += short_lines(below, header, path.name, header.line + 2)
    del lines
    needed = map_columns(header.cells, str(path))
    exact = {name for column, name in needed.items() if column not in (columns.DESCRIPTION, columns.COUNTRY)}
    text_cells = [position for position, name in enumerate(header.cells) if name not in exact]
    mended = mend_quotes(below, header.delimiter, len(header.cells), text_cells, str(path), header.line + 2)
    if mended is not None:
        rows = [[cell or None for cell in row] + [None] * (len(header.cells) - len(row)) for row in mended.rows]
        frame = pd.DataFrame(rows, columns=range(len(header.cells)), dtype="str")
        assumptions.append(replace(mended.assumption, where=path.name))
    else:
        frame = read_rows(below, header)
    if any('="' in line for line in below):
        frame, formulas = read_formulas(frame)
        assumptions += [replace(formulas, where=path.name)] if formulas else []
    return name_columns(frame, header.cells, str(path), tuple(assumptions))


def first_line(lines: list[str]) -> int:
    """Index of the first line that may be the column names."""
    first = next(index for index, line in enumerate(lines) if line)
    names_delimiter = lines[first].lower().startswith("sep=") and len(lines) > first + 1  # as Excel does
    return first + names_delimiter


def read_rows(lines: list[str], header: Header) -> pd.DataFrame:
    """Lines with quotes of RFC 4180 as a frame of text, whose columns are numbered."""
    names = header.delimiter.join(str(index) for index in range(len(header.cells)))
    options: Any = {"sep": header.delimiter, "dtype": "str", "keep_default_na": False, "na_values": [""]}
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)  # rows with more cells than the header has
        frame: pd.DataFrame = pd.read_csv(io.StringIO("\n".join([names, *lines])), index_col=False, **options)
    return frame


def short_lines(lines: list[str], header: Header, where: str, first_line: int) -> list[Assumption]:
    """The assumption about lines with fewer cells than the header, as a line break without quotes leaves them.

    Args:
        lines: Lines below the header.
        header: The column names.
        where: What the assumption calls the file.
        first_line: Number of the first of the lines in the file.
    """
    cells, sign = len(header.cells), header.delimiter
    short = [at for at, line in enumerate(lines) if line and line.count(sign) < cells - 1 and '"' not in line]
    if not short:
        return []
    what = "a line with fewer cells than the column names lacks the last ones"
    example = f"line {first_line + short[0]}"
    return [Assumption(where, what, "put quotes around cells that hold line breaks", example, len(short))]


def read_formulas(frame: pd.DataFrame) -> tuple[pd.DataFrame, Assumption | None]:
    """Cells such as ``="00123"``, which keep a spreadsheet from reading a number, as the text in them."""
    found = [text for name in frame for text in pd.unique(frame[name].dropna()) if _FORMULA.fullmatch(text)]
    if not found:
        return frame, None
    rows = int(frame.isin(found).any(axis=1).sum())
    texts = frame.apply(lambda cells: map_distinct_texts(cells, lambda text: _FORMULA.sub(r"\1", text)))
    what = "formulas that give a text are read as that text"
    return texts, Assumption("", what, "write the text alone", found[0].strip(), rows)


def _decode(path: Path) -> tuple[str, list[Assumption]]:
    """The text of a file, without marks of byte order, and the encoding where it was assumed."""
    with gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb") as file:
        content = file.read()
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return without_marks(content.decode("utf-16")), []
    if b"\0" in content[: 1 << 16]:
        raise UnreadableTable(f"{path} is no text, so no CSV file. Check that it has the format of its name.")
    try:
        return without_marks(content.decode("utf-8")), []
    except UnicodeDecodeError:  # as the CSV copy of UCI's table in circulation
        return without_marks(decode_windows_1252(content)), [Assumption(path.name, *NOT_UTF_8)]


def without_marks(text: str) -> str:
    """A text without marks of byte order at its start, also where another program took them for letters."""
    return re.sub("^(?:\ufeff|\u00ef\u00bb\u00bf)+", "", text)


def find_header(lines: list[str], first: int, map_columns: MapColumns, where: str) -> Header:
    """The first line with the needed columns; where none has them, the error of the first line."""
    refused: MissingColumns | None = None
    for index in range(first, min(first + HEADER_ROWS, len(lines))):
        if not lines[index].strip():
            continue
        cells, delimiter = _split_header(lines[index])
        try:
            map_columns(cells, where)
        except MissingColumns as error:
            refused = refused or error
        else:
            return Header(index, cells, delimiter)
    assert refused is not None  # the first line is not blank
    raise refused


def _split_header(line: str) -> tuple[list[str], str]:
    """The cells of a line, and the delimiter: the one with most known columns, of these with most cells."""
    cells = {delimiter: next(csv.reader([line], delimiter=delimiter)) for delimiter in _DELIMITERS}
    best = max(_DELIMITERS, key=lambda delimiter: (len(columns.map_columns(cells[delimiter])), len(cells[delimiter])))
    return [cell.strip().lstrip("\ufeff") for cell in cells[best]], best
