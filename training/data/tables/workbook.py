"""Workbooks: .xlsx, all sheets that have the needed columns."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
from python_calamine import CalamineWorkbook

from training.data import columns
from training.data.assumption import Assumption
from training.data.errors import MissingColumns
from training.data.tables.raw_table import HEADER_ROWS, RawTable, join_tables, titles_above, unique_columns


def read_workbook(path: Path) -> RawTable:
    """Read all sheets with the needed columns, one after the other (Online Retail II has one a year)."""
    with CalamineWorkbook.from_path(str(path)) as workbook:
        tables = []
        left_out = []
        refused: MissingColumns | None = None
        for name in workbook.sheet_names:
            sheet = workbook.get_sheet_by_name(name)
            where = f"sheet {name!r} of {path.name}"
            try:
                tables.append(_read_sheet(sheet.iter_rows(), where, f"Sheet {name!r} of {path}"))
            except MissingColumns as error:
                refused = refused or error
                if next(sheet.iter_rows(), []):
                    what = "it is left out, as it lacks columns of an invoice table"
                    left_out.append(Assumption(where, what, "name its columns as those of the others"))
    if not tables:
        raise refused or MissingColumns(f"{path} has no sheets.")
    joined = join_tables(tables)
    return joined._replace(assumptions=(*left_out, *joined.assumptions))


def _read_sheet(rows: Iterator[list[Any]], sheet_name: str, where: str) -> RawTable:
    """A sheet below its column names, read row by row; equal cells are one object.

    Args:
        rows: Of the sheet.
        sheet_name: What assumptions call the sheet.
        where: What errors call it.

    Raises:
        MissingColumns: None of the first rows names the needed columns.
    """
    refused: MissingColumns | None = None
    for position, row in enumerate(islice(rows, HEADER_ROWS)):
        above = position
        header = [str(cell).strip() for cell in row]
        try:
            columns.require_columns(header, where)
            break
        except MissingColumns as error:
            refused = refused or error
    else:
        raise refused or MissingColumns(f"{where} is empty.")
    while header and not header[-1]:
        header.pop()
    values: list[list[Any]] = [[] for _ in header]
    shared: dict[Any, Any] = {}
    for row in rows:
        if any(cell != "" for cell in row):
            for column, cell in zip(values, row, strict=False):
                column.append(None if cell == "" else shared.setdefault((type(cell), cell), cell))
    frame = pd.DataFrame({position: pd.Series(column, dtype=object) for position, column in enumerate(values)})
    return unique_columns(frame, header, where, tuple(titles_above(above, above + 1, sheet_name)))
