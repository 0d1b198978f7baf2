"""Dates of a column as written in tables; whether day or month comes first is decided once for the whole column."""

import re
from collections.abc import Iterable
from datetime import date, datetime, time
from typing import Any, Literal
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from state.events.dates import FIRST, LAST, parse_date, to_seconds
from training.data.distinct import map_distinct, where_distinct
from training.data.errors import UnclearDates
from training.data.tables.cells import ParsedCells

_TIME = r"(?:[ T,]+([0-9]{1,2}):([0-9]{2})(?::([0-9]{2})(?:[.,][0-9]+)?)?(?: ?([AaPp])[Mm])?)?"
_YEAR_FIRST = re.compile(r"([0-9]{4})[-/.]([0-9]{1,2})[-/.]([0-9]{1,2})" + _TIME)
_YEAR_LAST = re.compile(r"([0-9]{1,2})[-/.]([0-9]{1,2})[-/.]([0-9]{4}|[0-9]{2})" + _TIME)
_COMPACT = re.compile(r"((?:19|20)[0-9]{2})([0-9]{2})([0-9]{2})")

_NOT_A_TIME = np.iinfo("int64").min
_CENTURY_PIVOT = 70
"""Years of two digits below it are after 2000."""

DateOrder = Literal["day", "month"]
"""What comes first in ``12/9/2011``."""


def parse_dates(column: pd.Series, timezone: str, *, name: str, default_order: DateOrder | None) -> ParsedCells:
    """Parse a column of dates, text or a date type: UTC to the second, missing where a cell is no date.

    Text may have any format of the wire, or be a day with or without a time: ``2011-12-09``, ``20111209``,
    ``9.12.2011``, ``09-12-11 12:50``, ``12/9/2011 1:05 PM``. A day without a time is its first second; fractions of a
    second are dropped.

    Args:
        column: Dates, or text.
        timezone: Zone of dates that name none.
        name: What notes and messages call the column.
        default_order: What comes first where no date of the column shows it; None: that is an error.

    Raises:
        UnclearDates: No date shows whether day or month comes first, or some show the one and some the other.
    """
    zone = ZoneInfo(timezone)
    aware = isinstance(column.dtype, pd.DatetimeTZDtype)
    if aware or (pd.api.types.is_datetime64_dtype(column.dtype) and timezone == "UTC"):
        column = column.dt.tz_convert("UTC").dt.tz_localize(None) if aware else column
        seconds = pd.Series(column.dt.floor("s").to_numpy("datetime64[s]").astype("int64"), dtype="Int64")
        seconds = seconds.where(column.notna() & seconds.between(FIRST, LAST))
        return ParsedCells(_timestamps(seconds, column.index), np.zeros(len(column), dtype=bool))
    cells = column.astype(object)
    texts = [value for value in cells.dropna().unique() if isinstance(value, str)]
    order, note = _find_order(texts, name, default_order)
    seconds = map_distinct(cells, lambda value: _seconds(value, zone, order)).astype("Int64")
    was_text = where_distinct(cells, lambda value: isinstance(value, str)).to_numpy()
    return ParsedCells(_timestamps(seconds, column.index), was_text, note)


def _timestamps(seconds: pd.Series, index: pd.Index) -> pd.Series:
    values = seconds.to_numpy("int64", na_value=_NOT_A_TIME).view("datetime64[s]")
    return pd.Series(values, index=index).dt.tz_localize("UTC")


def _find_order(texts: Iterable[str], name: str, default: DateOrder | None) -> tuple[DateOrder, str | None]:
    """What comes first in all dates of a column, and a note where it makes a difference.

    A number above 12 is a day, so a date with one shows the order.
    """
    examples: dict[DateOrder, str] = {}
    ambiguous = None
    for text in texts:
        if not (match := _YEAR_LAST.fullmatch(text.strip())):
            continue
        first, second = int(match[1]), int(match[2])
        if first > 12 >= second:
            examples.setdefault("day", text)
        elif second > 12 >= first:
            examples.setdefault("month", text)
        elif first != second and max(first, second) <= 12:
            ambiguous = ambiguous or text
    if len(examples) == 2:
        raise UnclearDates(
            f"{name} holds {examples['day']!r}, where the day comes first, and {examples['month']!r}, where the month "
            "does: write all dates as 2011-12-09 12:50."
        )
    if examples:
        ((order, text),) = examples.items()
        return order, f"Dates of {name} are read {order} first, as {text} shows."
    if ambiguous is None:
        return default or "day", None
    if default is None:
        raise UnclearDates(
            f"{name} holds dates such as {ambiguous!r}, and none of them shows whether day or month comes first: "
            "write them as 2011-12-09 12:50."
        )
    return default, f"Dates of {name} such as {ambiguous} are read {default} first: none of them shows the order."


def _seconds(value: Any, zone: ZoneInfo, order: DateOrder) -> int | None:
    """Seconds since 1970 of a date as text, or as a cell of a spreadsheet (which holds a midnight as a day)."""
    if isinstance(value, str):
        return _parse(value.strip(), zone, order)
    if isinstance(value, datetime):
        return to_seconds(value if value.tzinfo else value.replace(tzinfo=zone))
    if isinstance(value, date):
        return to_seconds(datetime.combine(value, time(), zone))
    return None


def _parse(text: str, zone: ZoneInfo, order: DateOrder) -> int | None:
    if match := _YEAR_LAST.fullmatch(text):
        leading, following, year, *rest = match.groups()
        month, day = (leading, following) if order == "month" else (following, leading)
    elif match := _YEAR_FIRST.fullmatch(text) or _COMPACT.fullmatch(text):
        year, month, day, *rest = match.groups()
    else:
        return parse_date(text, zone)
    hour, minute, second, half = rest or (None, None, None, None)
    try:
        parsed = datetime(
            _year(year), int(month), int(day), _hour(hour, half), int(minute or 0), int(second or 0), tzinfo=zone
        )
        seconds = to_seconds(parsed)
    except (ValueError, OverflowError):  # no such day or hour
        return None
    return seconds if FIRST <= seconds <= LAST else None


def _year(text: str) -> int:
    year = int(text)
    return year if len(text) > 2 else year + (2000 if year < _CENTURY_PIVOT else 1900)


def _hour(text: str | None, half: str | None) -> int:
    """Hour of the day, 0 to 23; ``half`` is the first letter of AM or PM where it was given.

    Raises:
        ValueError: There is no such hour.
    """
    hour = int(text or 0)
    if half is None:
        return hour
    if not 1 <= hour <= 12:
        raise ValueError(f"no hour of twelve: {hour}")
    return hour % 12 + (12 if half in "Pp" else 0)
