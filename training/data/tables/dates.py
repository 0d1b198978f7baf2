"""Dates of a column: each as written, and whether day or month comes first decided once for all of them."""

import re
from collections.abc import Iterable
from datetime import date, datetime, time
from typing import Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from state.events.dates import FIRST, LAST, parse_date, to_seconds
from training.data.distinct import map_distinct
from training.data.errors import UnclearDates

_TIME = r"(?:[ T,]+([0-9]{1,2}):([0-9]{2})(?::([0-9]{2})(?:[.,][0-9]+)?)?(?: ?([AaPp])[Mm])?)?"
_YEAR_FIRST = re.compile(r"([0-9]{4})[-/.]([0-9]{1,2})[-/.]([0-9]{1,2})" + _TIME)
_YEAR_LAST = re.compile(r"([0-9]{1,2})[-/.]([0-9]{1,2})[-/.]([0-9]{4}|[0-9]{2})" + _TIME)
_COMPACT = re.compile(r"((?:19|20)[0-9]{2})([0-9]{2})([0-9]{2})")

_NOT_A_TIME = np.iinfo("int64").min
_CENTURY_TURNS = 70
"""Years of two digits below it are after 2000."""


First = Literal["day", "month"]
"""What comes first in ``12/9/2011`` and its like."""


class Dates(NamedTuple):
    """A column as dates in UTC to the second (missing where there is none), and what was taken for granted, if it was.

    ``parsed`` tells the rows that were text.
    """

    stamps: pd.Series
    note: str | None
    parsed: np.ndarray


def read_dates(column: pd.Series, timezone: str, *, name: str, undecided: First | None) -> Dates:
    """Read a column of dates, of a type of their own or as text.

    Text may be what the wire takes, or a day with or without a time: ``2011-12-09``, ``20111209``, ``9.12.2011``,
    ``09-12-11 12:50``, ``12/9/2011 1:05 PM``; a day without a time is its first second. A fraction is dropped.

    Args:
        column: Dates, or text.
        timezone: Zone of dates that name none.
        name: What the messages call the column.
        undecided: What comes first where no date of the column tells; None: that is an error.

    Raises:
        UnclearDates: Nothing tells whether day or month comes first, or dates of both kinds are there.
    """
    zone = ZoneInfo(timezone)
    aware = isinstance(column.dtype, pd.DatetimeTZDtype)
    if aware or (pd.api.types.is_datetime64_dtype(column.dtype) and timezone == "UTC"):
        column = column.dt.tz_convert("UTC").dt.tz_localize(None) if aware else column
        seconds = pd.Series(column.dt.floor("s").to_numpy("datetime64[s]").astype("int64"), dtype="Int64")
        seconds = seconds.where(column.notna() & seconds.between(FIRST, LAST))
        return Dates(_stamps(seconds, column.index), None, np.zeros(len(column), dtype=bool))
    cells = column.astype(object)
    texts = [value for value in cells.dropna().unique() if isinstance(value, str)]
    first, note = _order(texts, name, undecided)
    seconds = map_distinct(cells, lambda value: _seconds(value, zone, first)).astype("Int64")
    parsed = map_distinct(cells, lambda value: isinstance(value, str) or None).notna().to_numpy()
    return Dates(_stamps(seconds, column.index), note, parsed)


def _stamps(seconds: pd.Series, index: pd.Index) -> pd.Series:
    values = seconds.to_numpy("int64", na_value=_NOT_A_TIME).view("datetime64[s]")
    return pd.Series(values, index=index).dt.tz_localize("UTC")


def _order(texts: Iterable[str], name: str, undecided: First | None) -> tuple[First, str | None]:
    """What comes first in all of some texts, and a sentence that says so where it matters."""
    tells: dict[First, str] = {}
    either = None
    for text in texts:
        if not (match := _YEAR_LAST.fullmatch(text.strip())):
            continue
        one, two = int(match[1]), int(match[2])
        if one > 12 >= two:
            tells.setdefault("day", text)
        elif two > 12 >= one:
            tells.setdefault("month", text)
        elif one != two and max(one, two) <= 12:
            either = either or text
    if len(tells) == 2:
        raise UnclearDates(
            f"{name} holds {tells['day']!r}, where the day comes first, and {tells['month']!r}, where the month does: "
            "write all dates as 2011-12-09 12:50."
        )
    if tells:
        ((first, text),) = tells.items()
        return first, f"Dates of {name} are read {first} first: {text} tells."
    if either is None:
        return undecided or "day", None
    if undecided is None:
        raise UnclearDates(
            f"{name} holds dates such as {either!r}, and none of them tells whether day or month comes first: "
            "write them as 2011-12-09 12:50."
        )
    return undecided, f"Dates of {name} such as {either} are read {undecided} first: none of them tells otherwise."


def _seconds(value: Any, zone: ZoneInfo, first: First) -> int | None:
    """Of a date as text, or as a spreadsheet's cell (where a midnight comes without its time)."""
    if isinstance(value, str):
        return _parsed(value.strip(), zone, first)
    if isinstance(value, datetime):
        return to_seconds(value if value.tzinfo else value.replace(tzinfo=zone))
    if isinstance(value, date):
        return to_seconds(datetime.combine(value, time(), zone))
    return None


def _parsed(text: str, zone: ZoneInfo, first: First) -> int | None:
    if match := _YEAR_LAST.fullmatch(text):
        one, two, year, *rest = match.groups()
        month, day = (one, two) if first == "month" else (two, one)
    elif match := _YEAR_FIRST.fullmatch(text) or _COMPACT.fullmatch(text):
        year, month, day, *rest = match.groups()
    else:
        return parse_date(text, zone)
    hour, minute, second, half = rest or (None, None, None, None)
    try:
        moment = datetime(
            _year(year), int(month), int(day), _hour(hour, half), int(minute or 0), int(second or 0), tzinfo=zone
        )
        seconds = to_seconds(moment)
    except (ValueError, OverflowError):  # no such day or hour
        return None
    return seconds if FIRST <= seconds <= LAST else None


def _year(text: str) -> int:
    year = int(text)
    return year if len(text) > 2 else year + (2000 if year < _CENTURY_TURNS else 1900)


def _hour(text: str | None, half: str | None) -> int:
    """Of the day; with AM or PM it is one of twelve.

    Raises:
        ValueError: There is no such hour.
    """
    hour = int(text or 0)
    if half is None:
        return hour
    if not 1 <= hour <= 12:
        raise ValueError(f"no hour of twelve: {hour}")
    return hour % 12 + (12 if half in "Pp" else 0)
