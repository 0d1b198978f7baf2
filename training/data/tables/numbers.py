"""Numbers of a column: signs, thousands and the decimal mark, which is one for all columns of a file."""

import re
from collections.abc import Iterable
from typing import Literal

import numpy as np
import pandas as pd

from state.events.missing import is_missing
from state.events.numbers import to_decimal
from training.data.distinct import map_distinct
from training.data.tables.cells import ParsedCells

DecimalMark = Literal[".", ","]

_BLANKS = "\\s\u00a0\u202f\u2009'’"
_CURRENCY = re.compile(r"[$€£¥₹₽₺₩₪฿₫₴]|(?<![A-Za-z])(?:[A-Z]{3}|kr|zł|Kč|Ft|R\$|Fr\.?|lei)(?![A-Za-z])")
_DECIMAL = {
    ",": re.compile(
        r"[0-9]*,(?:[0-9]{1,2}|[0-9]{4,})|0,[0-9]+|[0-9]{1,3}(?:\.[0-9]{3})+,[0-9]+|[0-9]{1,3}(?:\.[0-9]{3}){2,}"
    ),
    ".": re.compile(
        r"[0-9]*\.(?:[0-9]{1,2}|[0-9]{4,})|0\.[0-9]+|[0-9]{1,3}(?:,[0-9]{2,3})*,[0-9]{3}\.[0-9]+"
        r"|[0-9]{1,3}(?:,[0-9]{3}){2,}"
    ),
}
"""Numbers that show the decimal mark: before three digits a mark may separate thousands as well."""
_THOUSANDS = {
    ",": re.compile(r"[0-9]{1,3}(?:\.[0-9]{3})+(?:,[0-9]+)?"),
    ".": re.compile(r"[0-9]{1,3}(?:,[0-9]{2,3})*,[0-9]{3}(?:\.[0-9]+)?"),
}
_THREE_DIGITS = re.compile(r"[1-9][0-9]{0,2}\.[0-9]{3}")
_PLAIN = re.compile(r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


def find_decimal_mark(columns: Iterable[pd.Series]) -> DecimalMark | None:
    """The decimal mark of all columns of numbers of a file; None where no number shows it, or some show the other."""
    shown: set[DecimalMark] = set()
    for column in columns:
        for text in _texts(column):
            number = _unsigned(text)[0]
            shown |= {mark for mark in (",", ".") if _DECIMAL[mark].fullmatch(number)}
    return shown.pop() if len(shown) == 1 else None


def parse_numbers(column: pd.Series, name: str, mark: DecimalMark | None) -> ParsedCells:
    """Numbers, float64, NaN where a cell is none.

    ``12-``, ``(12)`` and ``−12`` are negative; signs of currencies and blanks between thousands are left out. A float
    becomes the decimal that it stands for.

    Args:
        column: Numbers or text.
        name: What notes call the column.
        mark: Of the file.
    """
    if pd.api.types.is_bool_dtype(column.dtype):
        column = column.astype(object)
    if pd.api.types.is_numeric_dtype(column.dtype):
        return ParsedCells(_decimals(column.astype("float64")), np.zeros(len(column), dtype=bool))
    currencies: dict[str, None] = {}
    unclear: list[str] = []
    unread: list[str] = []
    found: set[str] = set()

    def parse(value: object) -> float | None:
        if not isinstance(value, str):
            return None if isinstance(value, bool) else float(pd.to_numeric(value, errors="coerce"))  # type: ignore[call-overload]
        number, negative, currency = _unsigned(value)
        if currency:
            currencies[currency] = None
        if mark is not None and _THOUSANDS[mark].fullmatch(number):
            found.add("thousands")
            number = number.replace("." if mark == "," else ",", "")
        if (mark == "," or _DECIMAL[","].fullmatch(number)) and "," in number:
            found.add("comma")
            number = number.replace(",", ".", 1)
        if not _PLAIN.fullmatch(number):
            if not is_missing(value):
                unread.append(value)
            return None
        if mark is None and _THREE_DIGITS.fullmatch(number):
            unclear.append(value)
        return -float(number) if negative else float(number)

    was_text = map_distinct(column, lambda value: isinstance(value, str) or None).notna().to_numpy()
    numbers = _decimals(map_distinct(column, parse).astype("float64"))
    notes = []
    if "comma" in found:
        notes.append(f"In {name} a comma stands for the decimal point.")
    if "thousands" in found:
        notes.append(f"In {name} a {'point' if mark == ',' else 'comma'} separates thousands.")
    if currencies:
        notes.append(f"In {name} {', '.join(currencies)} is left out: all prices are taken as of one currency.")
    if unclear and not any(_DECIMAL["."].fullmatch(_unsigned(text)[0]) for text in _texts(column)):
        notes.append(
            f"In {name} the point of {unclear[0].strip()} is read as the decimal point: no number shows the mark."
        )
    if unread:
        notes.append(f"Cells of {name} such as {unread[0].strip()[:40]!r} are no numbers: their rows are left out.")
    return ParsedCells(numbers, was_text, " ".join(notes) or None)


def _texts(column: pd.Series) -> list[str]:
    if pd.api.types.is_numeric_dtype(column.dtype):
        return []
    return [value for value in pd.unique(column.dropna()) if isinstance(value, str)]


def _unsigned(text: str) -> tuple[str, bool, str]:
    """A number without sign, blanks and currency; whether it is negative; the currency."""
    number = text.strip()
    currency = match[0] if (match := _CURRENCY.search(number)) else ""
    if currency:
        number = number.replace(currency, "", 1).strip()
    number = re.sub(r"[\u2212\u2013\u2012\ufe63\uff0d]", "-", number)
    negative = False
    if inner := re.fullmatch(r"\((.*)\)", number):
        number, negative = inner[1], True
    elif number.startswith("-"):
        number, negative = number[1:], True
    elif number.endswith("-"):
        number, negative = number[:-1], True
    elif number.startswith("+"):
        number = number[1:]
    number = number.strip()
    if re.fullmatch(rf"[0-9]{{1,3}}(?:[{_BLANKS}][0-9]{{3}})+(?:[.,][0-9]+)?", number):
        number = re.sub(rf"[{_BLANKS}]", "", number)
    return number, negative, currency


def _decimals(values: pd.Series) -> pd.Series:
    """The decimals that floats stand for."""
    with np.errstate(invalid="ignore"):
        noisy = np.isfinite(values) & (values.round(4) != values)
    if noisy.any():
        values = values.copy()
        values[noisy] = [to_decimal(value) for value in values[noisy].tolist()]
    return values
