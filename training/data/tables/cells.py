"""Cells of a column as text, whatever type the file holds them in."""

import re
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from state.events.missing import is_missing
from training.data.assumption import Assumption, of_column
from training.data.distinct import map_distinct, map_distinct_texts, where_distinct

_POINT_ZERO = re.compile(r"\s*-?[0-9]+\.0+\s*")
"""A whole number as a data frame writes it that holds a column with gaps as floats."""
_FRACTION = re.compile(r"\s*-?[0-9]+\.[0-9]*[1-9][0-9]*\s*")


class ParsedCells(NamedTuple):
    """The values of a column, which rows the file holds in another type, and what was assumed."""

    values: pd.Series
    converted: NDArray[np.bool_]
    assumptions: tuple[Assumption, ...] = ()


def parse_texts(column: pd.Series) -> ParsedCells:
    """Text as written; whole numbers without a decimal point; empty cells are missing."""
    texts: pd.Series = map_distinct(column, _text).astype("str")
    if isinstance(column.dtype, pd.StringDtype):
        return ParsedCells(texts, np.zeros(len(column), dtype=bool))
    return ParsedCells(texts, where_distinct(column, lambda value: not isinstance(value, str)).to_numpy())


def parse_codes(column: pd.Series, name: str, *, whole: bool) -> ParsedCells:
    """``parse_texts`` of a column of identities: words for missing are missing.

    Args:
        column: Codes, invoice numbers or customers.
        name: Of the column in the file.
        whole: Whether ``22613.0`` is ``22613``, unless a code of the column has a fraction: then the point belongs to
            the codes.
    """
    texts, converted, _ = parse_texts(column)
    distinct = pd.unique(texts.dropna())
    assumptions = []
    if words := [text for text in distinct if is_missing(text) and text.strip()]:
        rows = int(texts.isin(words).sum())
        texts = map_distinct_texts(texts, lambda text: None if is_missing(text) else text)
        example = ", ".join(repr(word) for word in words[:5])
        what = "a word for missing stands for a missing value"
        assumptions.append(Assumption(of_column(name), what, "write another word for what is no gap", example, rows))
    pointed = [text for text in distinct if _POINT_ZERO.fullmatch(text)]
    if whole and pointed and not any(_FRACTION.fullmatch(text) for text in distinct):
        rows = int(texts.isin(pointed).sum())
        texts = map_distinct_texts(texts, lambda text: text.partition(".")[0] if _POINT_ZERO.fullmatch(text) else text)
        what, cure = "whole numbers are read without the decimal point", "write codes without points"
        assumptions.append(Assumption(of_column(name), what, cure, pointed[0].strip(), rows))
    return ParsedCells(texts, converted, tuple(assumptions))


def _text(value: Any) -> str | None:
    if isinstance(value, str):
        return value or None
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace") or None
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)
