"""Numbers of a column: signs, thousands and the decimal mark, which is one for all columns of a file."""

import re
from collections.abc import Mapping
from typing import Literal, NamedTuple, get_args

import numpy as np
import pandas as pd

from state.events.missing import is_missing
from state.events.numbers import to_decimal
from training.data.assumption import Assumption, of_column
from training.data.distinct import map_distinct
from training.data.errors import UnclearNumbers
from training.data.tables.cells import ParsedCells

DecimalMark = Literal[".", ","]
_MARKS: tuple[DecimalMark, ...] = get_args(DecimalMark)

_BLANKS = "\\s\u00a0\u202f\u2009'’"
_BLANK_GROUPS = re.compile(rf"(?<![0-9.,])[0-9]{{1,3}}(?:[{_BLANKS}][0-9]{{3}})+(?![0-9])")
"""Thousands between blanks or apostrophes."""
_CURRENCY = re.compile(
    r"(?<![A-Za-z])[A-Z]{1,2}\$|[$€£¥₹₽₺₩₪฿₫₴]"
    r"|(?<![A-Za-z])(?:[A-Z]{3}|(?i:euros?|eur|gbp|usd|chf)|kr\.?|zł|Kč|Ft|Fr\.?|Rs\.?|lei)(?![A-Za-z])"
)
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
_EITHER = re.compile(r"[1-9][0-9]{0,2}[.,][0-9]{3}")
"""Numbers whose mark may be the decimal one or separate thousands."""
_WHOLE = re.compile(r"[0-9]+")
_PLAIN = re.compile(r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


class FoundMark(NamedTuple):
    """The decimal mark of a file, None where no number has a mark, and why, where it was concluded."""

    mark: DecimalMark | None
    reason: str = ""


def find_decimal_mark(columns: Mapping[str, pd.Series], given: str = "") -> FoundMark:
    """The decimal mark of all columns of numbers of a file, by name.

    A number such as ``1.200`` shows none: the others decide. Where they do not, its mark is the decimal one if blanks
    separate thousands, and separates thousands if all numbers of its column without a mark are below 1,000.

    Args:
        columns: The columns.
        given: The mark, where it is set.

    Raises:
        UnclearNumbers: The mark of some number may be the decimal one or separate thousands.
    """
    for mark in _MARKS:
        if given == mark:
            return FoundMark(mark)
    numbers = {name: [_unsigned(text)[0] for text in _texts(column)] for name, column in columns.items()}
    every = [number for each in numbers.values() for number in each]
    shown = {mark for mark in _MARKS if any(_DECIMAL[mark].fullmatch(number) for number in every)}
    if len(shown) == 1:
        return FoundMark(shown.pop())
    either = [number for number in every if _EITHER.fullmatch(number)]
    if not either:
        return FoundMark(None)
    marks = {mark for mark in _MARKS if any(mark in number for number in either)}
    if not shown and len(marks) == 1:
        if any(_BLANK_GROUPS.search(text) for column in columns.values() for text in _texts(column)):
            return FoundMark(marks.pop())
        for each in numbers.values():
            whole = [number for number in each if _WHOLE.fullmatch(number)]
            below = bool(whole) and all(len(number.lstrip("0")) <= 3 for number in whole)
            if below and any(_EITHER.fullmatch(number) for number in each):
                return FoundMark("," if marks == {"."} else ".", ", as the numbers without a mark are below 1,000")
    name = next(name for name, each in numbers.items() if any(_EITHER.fullmatch(number) for number in each))
    example = next(number for number in numbers[name] if _EITHER.fullmatch(number))
    raise UnclearNumbers(
        f"{name} holds {example!r}, and no number shows whether its mark is the decimal mark or separates thousands: "
        "set NEXTBASKET_DECIMAL_MARK='.' where a point is the decimal mark, NEXTBASKET_DECIMAL_MARK=',' where a "
        "comma is."
    )


def parse_numbers(column: pd.Series, name: str, decimal_mark: FoundMark) -> ParsedCells:
    """Numbers, float64, NaN where a cell is none.

    ``12-``, ``(12)`` and ``−12`` are negative; signs of currencies and blanks between thousands are left out. A float
    becomes the decimal that it stands for.

    Args:
        column: Numbers or text.
        name: Of the column in the file.
        decimal_mark: Of the file.
    """
    mark, reason = decimal_mark
    if pd.api.types.is_bool_dtype(column.dtype):
        column = column.astype(object)
    if pd.api.types.is_numeric_dtype(column.dtype):
        return ParsedCells(_decimals(column.astype("float64")), np.zeros(len(column), dtype=bool))
    currencies: dict[str, list[str]] = {}
    unread: list[str] = []
    found: dict[str, list[str]] = {"comma": [], "thousands": []}

    def parse(value: object) -> float | None:
        if not isinstance(value, str):
            return None if isinstance(value, bool) else float(pd.to_numeric(value, errors="coerce"))  # type: ignore[call-overload]
        number, negative, currency = _unsigned(value)
        if currency:
            currencies.setdefault(currency, []).append(value)
        if mark is not None and _THOUSANDS[mark].fullmatch(number):
            found["thousands"].append(value)
            number = number.replace("." if mark == "," else ",", "")
        if (mark == "," or _DECIMAL[","].fullmatch(number)) and "," in number:
            found["comma"].append(value)
            number = number.replace(",", ".", 1)
        if not _PLAIN.fullmatch(number):
            if not is_missing(value):
                unread.append(value)
            return None
        return -float(number) if negative else float(number)

    was_text = map_distinct(column, lambda value: isinstance(value, str) or None).notna().to_numpy()
    numbers = _decimals(map_distinct(column, parse).astype("float64"))
    assumptions = []

    def assume(values: list[str], what: str, cure: str) -> None:
        rows = int(column.isin(values).sum())
        assumptions.append(Assumption(of_column(name), what, cure, values[0].strip()[:40], rows))

    if found["comma"]:
        assume(found["comma"], "a comma stands for the decimal point", "write a point for it")
    if found["thousands"]:
        what = f"a {'point' if mark == ',' else 'comma'} separates thousands{reason}"
        assume(found["thousands"], what, f"set NEXTBASKET_DECIMAL_MARK='{'.' if mark == ',' else ','}'")
    for currency, values in currencies.items():
        what = f"{currency} is left out, and all prices are taken as of one currency"
        assume(values, what, "convert the prices to one currency")
    if unread:
        what = "a cell that is no number is missing, and its row is left out"
        assume(unread, what, "write the number alone")
    return ParsedCells(numbers, was_text, tuple(assumptions))


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
    number = re.sub(r"[\u2010-\u2013\u2212\ufe63\uff0d]", "-", number)
    number = re.sub(r"(?<=[0-9])[.,]-{1,2}$", "", number)  # 4,- is 4 and no cents
    negative = False
    if inner := re.fullmatch(r"\(-?(.*)\)", number):
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
