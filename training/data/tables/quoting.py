"""Quotes in delimited text: whether they delimit fields or are signs like any other, decided by the whole file."""

import csv
import re
from collections.abc import Container
from typing import NamedTuple

from training.data.assumption import Assumption
from training.data.errors import UnreadableTable

_MAX_LINES = 1_000
"""Lines that one quoted field may span."""
_NOT_CLOSED = "a quote is not closed"
_MORE_CELLS = "it has more cells than the header"


class QuotedLines(NamedTuple):
    """The rows below a header where quotes are not those of RFC 4180, and how they were read."""

    rows: list[list[str]]
    assumption: Assumption


class _Fault(NamedTuple):
    """The first line, by its index, that contradicts a way to read the quotes, and why."""

    line: int
    reason: str


def mend_quotes(
    lines: list[str], delimiter: str, cells: int, text_cells: Container[int], where: str, first_line: int
) -> QuotedLines | None:
    r"""Rows of lines whose quotes need another reading than RFC 4180's; None where that reading fits.

    The first way to read them that fits all lines is taken: quotes around fields, doubled within (RFC 4180); the same
    with a backslash before a quote within (``\"``, as MySQL writes it); every line is a row, and a quote that opens no
    whole field is a sign of the text.

    Args:
        lines: The lines below the header.
        delimiter: What is between cells.
        cells: Number of columns of the header.
        text_cells: Indices of the columns of free text, where a quote may be a sign of the text.
        where: What messages call the file.
        first_line: Number of the first of the lines in the file.

    Raises:
        UnreadableTable: No way fits: a quote is never closed, or a quoted field holds what looks like rows.
    """
    if not any('"' in line for line in lines):
        return None
    _, fault = _records(lines, delimiter, cells, escaped=False)
    if fault is None:
        return None
    if any('\\"' in line for line in lines):
        records, escaped_fault = _records(lines, delimiter, cells, escaped=True)
        if escaped_fault is None:
            rows = [_split_escaped(record, delimiter) for record in records if record]
            what = 'quotes within a field are written \\" and are read so'
            return QuotedLines(rows, Assumption(where, what, 'write a quote within a field twice ("")'))
    by_line, literal = _line_by_line(lines, delimiter, cells, text_cells)
    if by_line is None and fault.reason == _MORE_CELLS:
        return None  # as rows without quotes that have more cells than the header: the reader refuses them
    if by_line is None:
        raise UnreadableTable(
            f"{where} cannot be read as a table (line {first_line + fault.line}: {fault.reason}). Write a quote within "
            'a field twice ("") and put quotes around the field.'
        )
    example = first_line + literal[0] if literal else first_line + fault.line
    what = "quotes that do not enclose a field are read as signs of the text, and every line as a row"
    cure = "put quotes around the field, and write those within it twice"
    return QuotedLines(by_line, Assumption(where, what, cure, f"line {example}", len(literal)))


def split_records(lines: list[str], delimiter: str, cells: int, *, last: bool) -> int | None:
    """Number of the lines that are whole records by RFC 4180; None where their quotes need another reading.

    Args:
        lines: Lines below a header; the first begins a record.
        delimiter: What is between cells.
        cells: Number of columns of the header.
        last: Whether no lines follow; if some do, the last record may end in them.
    """
    if not any('"' in line for line in lines):
        return len(lines)
    _, fault = _records(lines, delimiter, cells, escaped=False)
    if fault is None:
        return len(lines)
    open_at_end = fault.reason == _NOT_CLOSED and len(lines) - fault.line <= _MAX_LINES
    return fault.line if open_at_end and not last else None


def _field(delimiter: str, *, escaped: bool) -> tuple[str, str]:
    """Regular expressions of a whole field, and of a quoted one that is not closed."""
    quoted = r'"[^"\\]*(?:(?:\\.|"")[^"\\]*)*' if escaped else r'"[^"]*(?:""[^"]*)*'
    sign = re.escape(delimiter)
    return rf'(?:{quoted}"|(?:[^"{sign}][^{sign}]*)?)', quoted


def _records(lines: list[str], delimiter: str, cells: int, *, escaped: bool) -> tuple[list[str], _Fault | None]:
    """The records of lines with quoted fields, which may hold line breaks; with the first fault they end."""
    field, opened = _field(delimiter, escaped=escaped)
    sign = re.escape(delimiter)
    whole = re.compile(rf"{field}(?:{sign}{field})*", re.DOTALL)
    open_at_end = re.compile(rf"(?:{field}{sign})*{opened}", re.DOTALL)
    records: list[str] = []
    index = 0
    while index < len(lines):
        record, start = lines[index], index
        index += 1
        while '"' in record and not whole.fullmatch(record):
            if not open_at_end.fullmatch(record):
                return records, _Fault(start, "text follows a closed quote, or a quote is not closed")
            if index == len(lines) or index - start > _MAX_LINES:
                return records, _Fault(start, _NOT_CLOSED)
            following = lines[index]
            before_quote = following.partition('"')[0]
            closes = '"' in following
            if following.count(delimiter) >= cells - 1 and (not closes or delimiter in before_quote):
                return records, _Fault(index, "a quoted field of lines before holds what looks like a row")
            record += "\n" + following
            index += 1
        if '"' in record and len(re.findall(rf"(?:^|{sign}){field}", record, re.DOTALL)) > cells:
            return records, _Fault(start, _MORE_CELLS)
        records.append(record)
    return records, None


def _split_escaped(record: str, delimiter: str) -> list[str]:
    field, _ = _field(delimiter, escaped=True)
    found = re.findall(rf"(?:^|{re.escape(delimiter)})({field})", record, re.DOTALL)
    return [
        re.sub(r'\\(.)|""', lambda match: match[1] or '"', cell[1:-1], flags=re.DOTALL) if cell[:1] == '"' else cell
        for cell in found
    ]


def _line_by_line(
    lines: list[str], delimiter: str, cells: int, text_cells: Container[int]
) -> tuple[list[list[str]] | None, list[int]]:
    """Every line as a row, and the indices of those with literal quotes; no rows where one has other cells."""
    field, _ = _field(delimiter, escaped=False)
    whole = re.compile(rf"{field}(?:{re.escape(delimiter)}{field})*")
    rows: list[list[str]] = []
    literal: list[int] = []
    for index, line in enumerate(lines):
        if not line:
            continue
        if '"' not in line:
            row = line.split(delimiter)
            if len(row) > cells:
                return None, []
        elif whole.fullmatch(line) and len(row := next(csv.reader([line], delimiter=delimiter))) == cells:
            pass
        elif len(row := line.split(delimiter)) == cells:
            row = [cell[1:-1] if re.fullmatch(r'"[^"]*"', cell) else cell for cell in row]
            if any('"' in cell and position not in text_cells for position, cell in enumerate(row)):
                return None, []
            literal.append(index)
        else:
            return None, []
        rows.append(row)
    return rows, literal
