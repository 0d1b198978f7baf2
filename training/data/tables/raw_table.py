"""A table as its file holds it, and the error for a damaged file."""

import csv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from python_calamine import CalamineError

from training.data import columns
from training.data.assumption import Assumption, merge_assumptions, of_column
from training.data.distinct import where_distinct
from training.data.errors import MissingColumns, UnreadableTable

_READ_ERRORS: tuple[type[Exception], ...] = (
    *(CalamineError, pd.errors.ParserError, pd.errors.ParserWarning, pd.errors.EmptyDataError),
    *(EOFError, UnicodeError, OSError, csv.Error),
)

HEADER_ROWS = 30
"""Rows of a file among which the column names are looked for: exports begin with titles."""

_DIGITS = 5
"""Of a date: those of a spreadsheet's day number, at least."""

MapColumns = Callable[[list[str], str], dict[str, str]]
"""From a header and what messages call the file: the columns that are read, each with its name in the header."""


class RawTable(NamedTuple):
    """A table as its file holds it, with all columns, and what the reader assumed."""

    frame: pd.DataFrame
    assumptions: tuple[Assumption, ...] = ()


def titles_above(above: int, line: int, where: str) -> list[Assumption]:
    """The assumption where the column names are not in the first line of a file or sheet."""
    if not above:
        return []
    lines = f"{above} {'lines' if above > 1 else 'line'} above them are left out"
    cure = "put the column names into the first line"
    return [Assumption(f"line {line} of {where}", f"the column names are in line {line}, and {lines}", cure)]


def name_columns(
    frame: pd.DataFrame, header: Sequence[str], where: str, assumptions: tuple[Assumption, ...]
) -> RawTable:
    """A frame, whose columns are numbered, with the names of a header, and of the headers among its rows.

    Where exports were put one below the other, the column names are there again; the rows below have their order.

    Raises:
        UnreadableTable: Columns that are read have one name and other values.
    """
    date = columns.map_columns(header).get(columns.INVOICE_DATE)
    cells = frame.iloc[:, [*header].index(date)] if date is not None else frame.iloc[:, 0]
    named = where_distinct(cells, lambda cell: isinstance(cell, str) and columns.is_known_name(cell))
    tables = []
    first, names, repeated = 0, list(header), 0
    for position in np.flatnonzero(named.to_numpy()).tolist() if date is not None else ():
        found = [cell.strip() if isinstance(cell, str) else "" for cell in frame.iloc[position]]
        if not set(columns.map_columns(header)) <= set(columns.map_columns(found)):
            continue
        tables.append(unique_columns(frame.iloc[first:position], names, where, ()))
        first, names, repeated = position + 1, found, repeated + 1
    if not repeated:
        return unique_columns(frame, header, where, assumptions)
    tables.append(unique_columns(frame.iloc[first:], names, where, ()))
    what = "the column names are there again, and the rows below are read by them"
    again = Assumption(where, what, "write them once", rows=repeated)
    joined = join_tables(tables)
    return joined._replace(assumptions=(*assumptions, again, *joined.assumptions))


def unique_columns(
    frame: pd.DataFrame, header: Sequence[str], where: str, assumptions: tuple[Assumption, ...]
) -> RawTable:
    """A frame, whose columns are numbered, with the names of a header; of columns with one name the first is read.

    Raises:
        UnreadableTable: Columns that are read have one name and other values.
    """
    named: dict[str, int] = {}
    repeated = []
    for position, name in enumerate(header):
        if name not in named:
            named[name] = position
        elif name in columns.map_columns(header).values():
            first, other = (frame.iloc[:, at].astype("str").fillna("") for at in (named[name], position))
            if not first.equals(other):
                raise UnreadableTable(f"{where} has two columns {name!r} with different values. Take one of them out.")
            what = "it is there twice, with the same values, and is read once"
            repeated.append(Assumption(of_column(name), what, "take one of the two out"))
    frame = frame.iloc[:, list(named.values())].set_axis(list(named), axis=1)
    return RawTable(frame, (*assumptions, *repeated))


def refuse_rows_without_header(error: MissingColumns, where: str, table: RawTable) -> None:
    """Refuse a file or sheet that begins with what looks like a row of a table: it may be the rest of that table.

    Args:
        error: That the file or sheet lacks columns.
        where: What messages call it.
        table: The first one with column names.

    Raises:
        UnreadableTable: It begins with such a row.
    """
    header = [str(name) for name in table.frame.columns]
    date = columns.map_columns(header).get(columns.INVOICE_DATE)
    if date is None or len(error.found) != len(header):
        return
    if sum(character.isdigit() for character in error.found[header.index(date)]) < _DIGITS:
        return
    raise UnreadableTable(
        f"{where} has no column names, and begins with what looks like a row of the table: "
        f"{', '.join(error.found)[:100]}. Write the column names into its first line."
    )


def join_tables(tables: Sequence[RawTable]) -> RawTable:
    """The rows of several tables, one after the other; a column has the name that it has in the first table with it."""
    if len(tables) == 1:
        return tables[0]
    names: dict[str, str] = {}
    frames = []
    for frame, _ in tables:
        mapping = columns.map_columns([str(name) for name in frame.columns])
        for column, name in mapping.items():
            names.setdefault(column, name)
        frames.append(frame.rename(columns={name: names[column] for column, name in mapping.items()}))
    assumptions = merge_assumptions(each for table in tables for each in table.assumptions)
    return RawTable(pd.concat(frames, ignore_index=True), assumptions)


@contextmanager
def refuse_damaged(path: Path, *errors: type[Exception]) -> Iterator[None]:
    """Turn the errors of the libraries that read files into one sentence.

    Args:
        path: The file.
        errors: Further errors of the library that reads it.

    Raises:
        UnreadableTable: The file is damaged.
    """
    try:
        yield
    except _READ_ERRORS + errors as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UnreadableTable(
            f"{path} cannot be read as a table ({reason}). Check that the file is complete and has the format of its "
            "name."
        ) from error
