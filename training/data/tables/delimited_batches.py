"""Delimited text that may exceed memory: whole records a few megabytes at a time, after a first pass over all."""

import codecs
import gzip
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from training.data import columns
from training.data.assumption import Assumption
from training.data.errors import MissingColumns
from training.data.tables.decisions import BatchedTable, DecisionBuilder, need_all_rows
from training.data.tables.delimited import (
    NOT_UTF_8,
    Header,
    find_header,
    first_line,
    read_formulas,
    read_rows,
    short_lines,
    without_marks,
)
from training.data.tables.encodings import decode_windows_1252
from training.data.tables.quoting import split_records
from training.data.tables.raw_table import HEADER_ROWS, RawTable, refuse_damaged, titles_above, unique_columns

BATCH_BYTES = 4_000_000
"""Of a file that are read at once: some 50,000 lines."""


class _TextFile(NamedTuple):
    """A file, and whether it is in UTF-8 or else in Windows-1252."""

    path: Path
    utf_8: bool


class _Records(NamedTuple):
    """Lines of whole records, and the number of the first of them in the file."""

    lines: list[str]
    first_line: int


class _AllRowsNeeded(Exception):
    """The file is read otherwise than in batches."""


def read_csv_batches(paths: Sequence[Path], timezone: str, date_format: str, decimal_mark: str) -> BatchedTable | None:
    """A table in .csv or .csv.gz files with one header, in batches; None where only all rows show how it is read.

    So it is where quotes are not those of RFC 4180, the column names are there again, only the first row of an order
    has its number, customer or date, some dates are none, or a column has types of rows, times or numbers of lines.

    Args:
        paths: At least one.
        timezone: Zone of dates that name none.
        date_format: How dates are written (``dates.parse_dates``); empty: it is found out.
        decimal_mark: ``.`` or ``,`` of all numbers; empty: it is found out.

    Raises:
        UnreadableTable: A file is damaged.
        UnclearDates: How the dates are written cannot be found out.
        UnclearNumbers: Which mark is the decimal one cannot be found out.
    """
    files: list[_TextFile] = []
    names: list[str] | None = None
    builder: DecisionBuilder | None = None
    try:
        for path in paths:
            with refuse_damaged(path):
                file = _TextFile(path, _is_utf_8(path))
                for batch in _batches(file):
                    found = [str(name) for name in batch.frame.columns]
                    if builder is None:
                        names = found
                        if need_all_rows(names, columns.require_columns(names)):
                            return None
                        builder = DecisionBuilder(names, timezone, date_format, decimal_mark)
                    if found != names or _repeats_header(batch.frame) or not builder.add(batch.frame):
                        return None
            files.append(file)
    except (_AllRowsNeeded, MissingColumns):
        return None
    decisions = builder.build() if builder is not None else None
    if builder is None or decisions is None:
        return None

    def batches() -> Iterator[RawTable]:
        for file in files:
            with refuse_damaged(file.path):
                yield from _batches(file)

    return BatchedTable(builder.rows, batches(), decisions)


def _open(path: Path) -> gzip.GzipFile | io.BufferedReader:
    return gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb")


def _is_utf_8(path: Path) -> bool:
    """Whether all of a file is UTF-8.

    Raises:
        _AllRowsNeeded: It is no text in an encoding of single bytes.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    utf_8 = True
    with _open(path) as file:
        content = file.read(BATCH_BYTES)
        if content.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in content[: 1 << 16]:
            raise _AllRowsNeeded
        while content and utf_8:
            try:
                decoder.decode(content)
                content = file.read(BATCH_BYTES)
                if not content:
                    decoder.decode(b"", final=True)
            except UnicodeDecodeError:
                utf_8 = False
    return utf_8


def _texts(file: _TextFile) -> Iterator[str]:
    """The text of a file, with line feeds as the ends of lines, some megabytes at a time."""
    decoder = codecs.getincrementaldecoder("utf-8" if file.utf_8 else "latin-1")()
    newlines = io.IncrementalNewlineDecoder(decoder, translate=True)
    first = True
    with _open(file.path) as opened:
        while content := opened.read(BATCH_BYTES):
            text = newlines.decode(content)
            if not file.utf_8:
                text = decode_windows_1252(text.encode("latin-1"))
            yield without_marks(text) if first else text
            first = False
        yield newlines.decode(b"", final=True)


def _lines(file: _TextFile) -> Iterator[list[str]]:
    """The lines of a file, some at once."""
    rest = ""
    for text in _texts(file):
        *lines, rest = (rest + text).split("\n")
        yield lines
    yield [rest]


def _batches(file: _TextFile) -> Iterator[RawTable]:
    """The rows of a file in batches; the first has what was assumed about the file.

    Raises:
        _AllRowsNeeded: Its quotes, or its header, are found by all lines.
    """
    blocks = _lines(file)
    lines: list[str] = []
    for block in blocks:
        lines += block
        if len(lines) > HEADER_ROWS + 2 and any(lines):
            break
    if not any(line.strip() for line in lines):
        raise _AllRowsNeeded
    where = str(file.path)
    first = first_line(lines)
    header = find_header(lines, first, columns.require_columns, where)
    assumptions = [] if file.utf_8 else [Assumption(file.path.name, *NOT_UTF_8)]
    assumptions += titles_above(header.line - first, header.line + 1, file.path.name)
    below = lines[header.line + 1 :]
    del lines
    for records in _whole_records(below, blocks, header):
        about = [*assumptions, *short_lines(records.lines, header, file.path.name, records.first_line)]
        with _lines_from(records.first_line - header.line - 2):
            frame = read_rows(records.lines, header)
        if any('="' in line for line in records.lines):
            frame, formulas = read_formulas(frame)
            about += [replace(formulas, where=file.path.name)] if formulas else []
        yield unique_columns(frame, header.cells, where, tuple(about))
        assumptions = []


def _whole_records(lines: list[str], blocks: Iterator[list[str]], header: Header) -> Iterator[_Records]:
    """Lines below a header, so that no quoted field of several lines goes beyond the last."""
    number = header.line + 2
    while True:
        following = next(blocks, None)
        end = split_records(lines, header.delimiter, len(header.cells), last=following is None)
        if end is None:
            raise _AllRowsNeeded
        if end:
            yield _Records(lines[:end], number)
            number += end
        if following is None:
            return
        lines = [*lines[end:], *following]


@contextmanager
def _lines_from(before: int) -> Iterator[None]:
    """Count the lines of an earlier part of the file in errors that name a line."""
    try:
        yield
    except pd.errors.ParserError as error:
        message = re.sub(r"(?<=line )[0-9]+", lambda number: str(int(number[0]) + before), str(error))
        raise pd.errors.ParserError(message) from error


def _repeats_header(frame: pd.DataFrame) -> bool:
    """Whether a row may be the column names once more."""
    date = columns.require_columns([str(name) for name in frame.columns])[columns.INVOICE_DATE]
    return any(columns.is_known_name(cell) for cell in pd.unique(frame[date].dropna()))
