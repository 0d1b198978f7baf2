"""Workbooks: .xlsx, all sheets that have the needed columns."""

from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
from python_calamine import CalamineSheet, CalamineWorkbook

from training.data import columns
from training.data.assumption import Assumption
from training.data.errors import MissingColumns
from training.data.tables.raw_table import (
    HEADER_ROWS,
    MapColumns,
    RawTable,
    join_tables,
    name_columns,
    refuse_rows_without_header,
    titles_above,
)


def read_workbook(path: Path, map_columns: MapColumns = columns.require_columns) -> RawTable:
    """Read all sheets with the needed columns, one after the other (Online Retail II has one a year).

    Args:
        path: An .xlsx file.
        map_columns: Returns the columns that are needed.
    """
    with CalamineWorkbook.from_path(str(path)) as workbook:
        tables = []
        read = []
        about_sheets = []
        refused: dict[str, MissingColumns] = {}
        for name in workbook.sheet_names:
            sheet = workbook.get_sheet_by_name(name)
            where = f"sheet {name!r} of {path.name}"
            try:
                tables.append(_read_sheet(sheet, where, f"Sheet {name!r} of {path}", map_columns))
                read.append(name)
            except MissingColumns as error:
                refused[f"Sheet {name!r} of {path}"] = error
                if next(sheet.iter_rows(), []):
                    what = "it is left out, as it lacks columns of an invoice table"
                    about_sheets.append(Assumption(where, what, "name its columns as those of the others"))
    if not tables:
        raise next(iter(refused.values()), MissingColumns(f"{path} has no sheets."))
    for where, lacking in refused.items():
        refuse_rows_without_header(lacking, where, tables[0])
    if len(tables) > 1:
        what = f"{len(tables)} sheets are read as one table"
        sheets = Assumption(path.name, what, "take out those that do not belong to it", ", ".join(read[:5]))
        about_sheets.append(sheets)
    joined = join_tables(tables)
    return joined._replace(assumptions=(*about_sheets, *joined.assumptions))


def _read_sheet(sheet: CalamineSheet, sheet_name: str, where: str, map_columns: MapColumns) -> RawTable:
    """A sheet below its column names, read row by row; equal cells are one object.

    Args:
        sheet: The sheet.
        sheet_name: What assumptions call the sheet.
        where: What errors call it.
        map_columns: Returns the columns that are needed.

    Raises:
        MissingColumns: None of the first rows names the needed columns.
    """
    refused: MissingColumns | None = None
    rows = iter(sheet.iter_rows())
    for position, row in enumerate(islice(rows, HEADER_ROWS)):
        above = position
        header = [str(cell).strip() for cell in row]
        try:
            map_columns(header, where)
            break
        except MissingColumns as error:
            refused = refused or error
    else:
        raise refused or MissingColumns(f"{where} is empty.")
    while header and not header[-1]:
        header.pop()
    values: list[list[Any]] = [[] for _ in header]
    shared: dict[Any, Any] = {}
    merged = _merged_cells(sheet, header)
    filled = 0
    for number, row in enumerate(rows, above + 1):
        if any(cell != "" for cell in row):
            cells = merged.get(number, {})
            filled += bool(cells)
            for position, (column, cell) in enumerate(zip(values, row, strict=False)):
                value = cells.get(position, cell)
                column.append(None if value == "" else shared.setdefault((type(value), value), value))
    frame = pd.DataFrame({position: pd.Series(column, dtype=object) for position, column in enumerate(values)})
    assumptions = titles_above(above, above + 1, sheet_name)
    if filled:
        what = "merged cells of an order stand for each of their rows"
        assumptions.append(Assumption(sheet_name, what, "take the cells apart", rows=filled))
    return name_columns(frame, header, where, tuple(assumptions))


def _merged_cells(sheet: CalamineSheet, header: list[str]) -> dict[int, dict[int, Any]]:
    """The values of merged cells with the fields of an order, by row and column, but for the first row of each."""
    mapping = columns.map_columns(header)
    fields = {header.index(name) for column, name in mapping.items() if column in columns.OF_ORDER}
    left = sheet.start[1] if sheet.start else 0
    ranges = {
        (first, column - left): last
        for (first, column), (last, _) in sheet.merged_cell_ranges or ()
        if last > first and column - left in fields
    }
    if not ranges:
        return {}
    starts = {row for row, _ in ranges}
    cells = {row: values for row, values in enumerate(sheet.iter_rows()) if row in starts}
    merged: dict[int, dict[int, Any]] = {}
    for (first, column), last in ranges.items():
        for row in range(first + 1, last + 1):
            merged.setdefault(row, {})[column] = cells[first][column]
    return merged
