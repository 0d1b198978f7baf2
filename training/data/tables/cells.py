"""Cells of a column as text, whatever type the file holds them in."""

import re
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from state.events.missing import is_missing
from training.data.assumption import Assumption, of_column
from training.data.distinct import distinct_values, map_distinct_texts, where_distinct
from training.data.errors import UnreadableTable

_POINT_ZERO = re.compile(r"\s*(-?[0-9]+)(?:\.0+|,00?)\s*")
"""A whole number as a data frame writes it that holds a column with gaps as floats."""
_FRACTION = re.compile(r"\s*-?[0-9]+[.,][0-9]*[1-9][0-9]*\s*")
_SCIENTIFIC = re.compile(r"\s*([0-9])(?:[.,]([0-9]+))?[eE]\+([0-9]{2})\s*")
"""A long number as spreadsheets show it: 2.2613E+04."""
_THOUSANDS = re.compile("\\s*[0-9]{1,3}(?:[,\u00a0\u202f'’][0-9]{3})*\\s*")
_GROUP = 3
"""Digits between separators of thousands."""
_QUOTED = re.compile(r"\s*'.*[^']'?\s*")
_LIST = re.compile(r"\s*(?:[\[{(]\s*(['\"]).*\1\s*[\]})]|\[[^\]]*,[^\]]*\])\s*", re.DOTALL)


class ParsedCells(NamedTuple):
    """The values of a column, which rows the file holds in another type, and what was assumed."""

    values: pd.Series
    converted: NDArray[np.bool_]
    assumptions: tuple[Assumption, ...] = ()


def parse_texts(column: pd.Series) -> ParsedCells:
    """Text as written; whole numbers without a decimal point; empty cells are missing."""
    texts = map_distinct_texts(column, _text)
    if isinstance(column.dtype, pd.StringDtype):
        return ParsedCells(texts, np.zeros(len(column), dtype=bool))
    return ParsedCells(texts, where_distinct(column, lambda value: not isinstance(value, str)).to_numpy())


class CodeStyle(NamedTuple):
    """How the codes of a whole column are written.

    Attributes:
        quoted: All have the ' that marks text in spreadsheets.
        pointed: Whole numbers may have a decimal point that is no part of them, as no code has a fraction.
        grouped: All are whole numbers, some with separators of thousands.
        zeros: The first code of digits with zeros at its start, by the code without them.
    """

    quoted: bool = False
    pointed: bool = True
    grouped: bool = False
    zeros: Mapping[str, str] = {}


class CodeStyleBuilder:
    """Finds the style of the codes of a column, over batches of it."""

    def __init__(self) -> None:
        """Start before the first batch."""
        self.given = False
        """Whether there is a code."""
        self._quoted = self._thousands = True
        self._grouped = self._fraction = False
        self._zeros: dict[str, str] = {}

    def add(self, texts: Iterable[str]) -> None:
        """Add distinct cells; those that are missing do not count."""
        for text in texts:
            code = text.strip()
            if code.isdigit():
                self.given = True
                self._quoted = False
                self._thousands &= len(code) <= _GROUP
                if code[0] == "0":
                    self._zeros.setdefault(code.lstrip("0"), code)
            elif not is_missing(code):
                self.given = True
                self._quoted &= _QUOTED.fullmatch(text) is not None
                self._fraction |= _FRACTION.fullmatch(text) is not None
                self._thousands &= _THOUSANDS.fullmatch(text) is not None
                self._grouped = True

    def build(self) -> CodeStyle:
        """The style of all cells."""
        quoted, grouped = self.given and self._quoted, self._grouped and self._thousands
        return CodeStyle(quoted, not self._fraction, grouped, self._zeros)


def parse_codes(column: pd.Series, name: str, *, whole: bool, style: CodeStyle | None = None) -> ParsedCells:
    """``parse_texts`` of a column of identities: words for missing are missing, and marks of spreadsheets are left out.

    Args:
        column: Codes, invoice numbers or customers.
        name: Of the column in the file.
        whole: Whether ``22613.0`` is ``22613``, unless a code of the column has a fraction: then the point belongs to
            the codes.
        style: Of the whole column, where this is a part of it.

    Raises:
        UnreadableTable: Cells lost digits, as 4.00638E+12, or hold lists.
    """
    _refuse_rounded_codes(column, name)
    texts, converted, _ = parse_texts(column)
    distinct = distinct_values(texts)
    _refuse_lost_codes(distinct, name)
    assumptions = []

    def assume(cells: list[str], what: str, cure: str, example: str = "") -> None:
        shown = example or cells[0].strip()
        assumptions.append(Assumption(of_column(name), what, cure, shown, int(texts.isin(cells).sum())))

    rewritten: dict[str, str | None] = {}
    if words := [text for text in distinct if is_missing(text) and text.strip()]:
        what = "a word for missing stands for a missing value"
        assume(words, what, "write another word for what is no gap", ", ".join(repr(word) for word in words[:5]))
        rewritten |= dict.fromkeys(words)
    given = [text for text in distinct if not is_missing(text)]
    if style is None:
        builder = CodeStyleBuilder()
        builder.add(given)
        style = builder.build()
    if given and style.quoted:
        assume(given, "the ' before codes, a mark of spreadsheets, is left out", "leave it out in the file")
        rewritten |= {text: text.strip().removeprefix("'").removesuffix("'") for text in given}
    if shown := [text for text in given if _SCIENTIFIC.fullmatch(text)]:
        assume(shown, "whole numbers are written with all digits", "export codes as text")
        rewritten |= {text: _all_digits(text) for text in shown}
    pointed = [text for text in given if _POINT_ZERO.fullmatch(text) and (whole or "," in text)]
    if pointed and style.pointed:
        assume(pointed, "whole numbers are read without the decimal point", "write codes without points")
        rewritten |= {text: _POINT_ZERO.sub(r"\1", text) for text in pointed}
    grouped = [text for text in given if not text.strip().isdigit()]
    if grouped and style.grouped:
        assume(grouped, "whole numbers are read without separators of thousands", "write codes without separators")
        rewritten |= {text: re.sub("[^0-9]", "", text) for text in grouped}
    if differing := [text for text in given if _with_other_zeros(text, style.zeros) is not None]:
        pair = sorted((differing[0].strip(), str(_with_other_zeros(differing[0], style.zeros))), key=len)
        what = "codes that differ from others in zeros at their start only are different"
        assume(differing, what, "export the column as text, with its zeros", " and ".join(pair))
    if rewritten:
        texts = map_distinct_texts(texts, lambda text: rewritten.get(text, text))
    if dates := [str(value) for value in pd.unique(column.dropna()) if isinstance(value, date)]:
        rows = int(where_distinct(column, lambda value: isinstance(value, date)).sum())
        what = "cells hold dates, which spreadsheets make of codes such as 3-4"
        assumptions.append(Assumption(of_column(name), what, "export codes as text", dates[0], rows))
    return ParsedCells(texts, converted, tuple(assumptions))


def _with_other_zeros(text: str, zeros: Mapping[str, str]) -> str | None:
    """The code of ``CodeStyle.zeros`` that differs from a code in zeros at its start only; None where there is none."""
    code = text.strip()
    other = zeros.get(code.lstrip("0")) if code.isdigit() else None
    return other if other != code else None


def _refuse_rounded_codes(column: pd.Series, name: str) -> None:
    if pd.api.types.is_float_dtype(column.dtype):
        exact, largest = 2.0 ** (24 if column.dtype == np.float32 else 53), column.abs().max()
    else:
        exact, largest = 2.0**53, max((abs(each) for each in pd.unique(column) if isinstance(each, float)), default=0)
    if largest > exact:
        raise UnreadableTable(
            f"{name} holds {largest:.0f} as a floating-point number, whose last digits may be wrong. Export the column "
            "as text."
        )


def _refuse_lost_codes(codes: Iterable[str], name: str) -> None:
    for text in codes:
        match = _SCIENTIFIC.fullmatch(text)
        if match and match[2] and len(match[2]) < int(match[3]):
            raise UnreadableTable(
                f"{name} holds {text.strip()!r}: a spreadsheet shortened the number, and its last digits are lost. "
                "Export the column as text."
            )
        if _LIST.fullmatch(text):
            raise UnreadableTable(
                f"{name} holds a list in one cell, {text.strip()[:60]!r}. Write a row for each item of an invoice."
            )


def _all_digits(text: str) -> str:
    """The whole number that a text in scientific notation stands for; the text where that is no whole number."""
    match = _SCIENTIFIC.fullmatch(text)
    assert match is not None
    digits, whole = match[1] + (match[2] or ""), 1 + int(match[3])
    return text if digits[whole:].strip("0") else digits[:whole].ljust(whole, "0")


def _text(value: Any) -> str | None:
    if isinstance(value, str):
        return value or None
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace") or None
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)
