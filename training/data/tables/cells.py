"""Cells of a column as text or numbers, whatever type the file holds them in."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from training.data.distinct import map_distinct, where_distinct

_DECIMAL_COMMA = r"\s*-?[0-9]+,(?:[0-9]{1,2}|[0-9]{4,})\s*"
"""A number with a decimal comma; before three digits a comma may separate thousands as well."""


class ParsedCells(NamedTuple):
    """The values of a column, which rows the file holds in another type, and what was assumed, if anything."""

    values: pd.Series
    converted: NDArray[np.bool_]
    note: str | None = None


def parse_texts(column: pd.Series) -> ParsedCells:
    """Text as written; whole numbers without a decimal point; empty cells are missing."""
    texts: pd.Series = map_distinct(column, _text).astype("str")
    if isinstance(column.dtype, pd.StringDtype):
        return ParsedCells(texts, np.zeros(len(column), dtype=bool))
    return ParsedCells(texts, where_distinct(column, lambda value: not isinstance(value, str)).to_numpy())


def _text(value: Any) -> str | None:
    if isinstance(value, str):
        return value or None
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def parse_numbers(column: pd.Series, name: str) -> ParsedCells:
    """Numbers, float64, NaN where a cell is none; ``name`` is what the note calls the column."""
    if pd.api.types.is_numeric_dtype(column.dtype):
        return ParsedCells(column.astype("float64"), np.zeros(len(column), dtype=bool))
    text = map_distinct(column, lambda value: value if isinstance(value, str) else None)
    note = None
    if text.dropna().drop_duplicates().astype("str").str.fullmatch(_DECIMAL_COMMA).any():
        column = map_distinct(column, lambda value: value.replace(",", ".", 1) if isinstance(value, str) else value)
        note = f"In {name} a comma stands for the decimal point."
    numbers = pd.to_numeric(column, errors="coerce").astype("float64")
    return ParsedCells(numbers, text.notna().to_numpy(), note)
