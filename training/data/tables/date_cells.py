"""Formats of a date in one cell: text, a number, or a date of a spreadsheet."""

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

import numpy as np

from state.events.dates import DAY, FIRST, LAST, parse_date, to_seconds
from training.data.tables.month_names import MONTH_NAME, month_number

DateOrder = Literal["day", "month", "year"]
"""What comes first in ``12/9/2011`` or ``11/12/09``; then the month, or the day where the month is first."""

_ZONE = (  # +01:00, UTC, GMT+1, +0000 UTC, +01:00[Europe/Paris]
    r"(?: ?(?:(?:UTC|GMT)(?=[+-]))?(UTC|GMT|[Zz]|[+-][0-9]{1,2}:?(?:[0-9]{2})?)"
    r"(?: UTC|\[[A-Za-z/_]+\]| \([A-Za-z ]+\))?)?"
)
_TIME = (  # 10:00, 10.00.05, 1:05 PM, -10.00.00.000000 as DB2 writes it
    r"(?:(?:[ T,]+(?:um |at )?|-(?=[0-9]{2}\.[0-9]{2}\.))"
    r"([0-9]{1,2})[:.]([0-9]{2})(?:[:.]([0-9]{2})(?:[.,][0-9]+)?)?(?: ?([AaPp])\.?[Mm]\.?| ?Uhr)?)?"
) + _ZONE
_YEAR_FIRST = re.compile(r"([0-9]{4})[-/.]([0-9]{1,2})[-/.]([0-9]{1,2})" + _TIME)
YEAR_LAST = re.compile(r"([0-9]{1,2})[-/.]([0-9]{1,2})[-/.]([0-9]{4}|[0-9]{2})" + _TIME)
_COMPACT = re.compile(
    r"((?:19|20)[0-9]{2})([0-9]{2})([0-9]{2})(?:[T_ ]?([0-9]{2}):?([0-9]{2})(?::?([0-9]{2}))?)?(?:\.0+)?" + _ZONE
)
_WEEKDAY = r"(?:[^\W\d_]{2,13}\.?,? +)?"
_DAY = r"([0-9]{1,2})(?:st|nd|rd|th|er)?"
_BETWEEN = r"(?:[-/ .,]|de )*"
_DAY_NAME = re.compile(_WEEKDAY + _DAY + _BETWEEN + MONTH_NAME + _BETWEEN + r"([0-9]{4}|[0-9]{2})" + _TIME, re.I)
_NAME_DAY = re.compile(_WEEKDAY + MONTH_NAME + r"[-/ .]*" + _DAY + r"[-/ .,]+([0-9]{4})" + _TIME, re.I)
_YEAR_NAME = re.compile(r"([0-9]{4})[-/ .]*" + MONTH_NAME + r"[-/ .]*([0-9]{1,2})" + _TIME, re.I)
_CTIME = re.compile(  # Tue Mar 14 10:30:00 2011, as C and Python write it, or with UTC before the year
    _WEEKDAY + MONTH_NAME + r" +([0-9]{1,2})" + _TIME + r" ([0-9]{4})", re.I
)
_NUMBER = re.compile(r"[0-9]+(?:\.([0-9]+))?(?:[eE]\+?([0-9]{1,2}))?")

_CENTURY_PIVOT = 70
"""Years of two digits below it are after 2000."""
EXCEL_EPOCH = datetime(1899, 12, 30)  # noqa: DTZ001 - a date of the table's zone
_EXCEL_DAYS = (32_874.0, 73_051.0)  # 1990 to 2100
_EPOCH_SECONDS = (631_152_000, 4_102_444_800)  # 1990 to 2100
_EPOCH_UNITS = (("seconds", 1), ("milliseconds", 10**3), ("microseconds", 10**6), ("nanoseconds", 10**9))
_EXACT_DECIMALS = 6
"""Decimals from which a number in scientific notation is all there: a spreadsheet shows five at most."""


def month_word(text: str) -> str | None:
    """The name of the month in a date, whether it is known or not; None where a text is no date with a name."""
    for pattern, group in ((_DAY_NAME, 2), (_NAME_DAY, 1), (_YEAR_NAME, 2), (_CTIME, 1)):
        if match := pattern.fullmatch(text.strip()):
            return match[group]
    return None


def excel_days(value: Any) -> float | None:
    """A number of days as a spreadsheet holds a date, or the text of one; None for another cell."""
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = float(value)
    if isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool):
        return float(value) if _EXCEL_DAYS[0] <= value < _EXCEL_DAYS[1] else None
    return None


def cell_seconds(value: Any, zone: ZoneInfo, order: DateOrder, date_format: str) -> tuple[int | None, str | None]:
    """Seconds since 1970 of a cell, and what its number counts where it is a number; None for a cell that is no date.

    Args:
        value: Text, a number, or a date; a date without a time is its midnight, as in spreadsheets.
        zone: Zone of dates that name none.
        order: What comes first in a date of three numbers whose year is last, or has two digits.
        date_format: A format of ``strptime``, the only one that texts may have; without ``%`` it is ignored.
    """
    if isinstance(value, str):
        text = value.strip()
        if "%" in date_format:
            try:
                parsed = datetime.strptime(text, date_format)  # noqa: DTZ007 - the zone follows
            except ValueError:
                return None, None
            return to_seconds(parsed if parsed.tzinfo else parsed.replace(tzinfo=zone)), None
        seconds = text_seconds(text, zone, order)
        if seconds is None and (match := _NUMBER.fullmatch(text)) and not _lost_digits(match):
            return _from_number(float(text), zone)
        return seconds, None
    if isinstance(value, datetime):
        return to_seconds(value if value.tzinfo else value.replace(tzinfo=zone)), None
    if isinstance(value, date):
        return to_seconds(datetime.combine(value, time(), zone)), None
    if isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool) and value == value:
        seconds = text_seconds(f"{value:.0f}", zone, order) if float(value).is_integer() else None
        return (seconds, None) if seconds is not None else _from_number(float(value), zone)
    return None, None


def text_seconds(text: str, zone: ZoneInfo, order: DateOrder) -> int | None:
    """Seconds since 1970 of a text in one of the formats above or of the wire; None where it is no date of these."""
    if match := YEAR_LAST.fullmatch(text):
        first, second, third, *others = match.groups()
        if order == "year" and len(third) == 2:
            year, month, day = first, second, third
        else:
            month, day, year = (first, second, third) if order == "month" else (second, first, third)
    elif match := _YEAR_FIRST.fullmatch(text):
        year, month, day, *others = match.groups()
    elif match := _COMPACT.fullmatch(text):
        year, month, day, *clock_groups, zone_group = match.groups()
        others = [*clock_groups, None, zone_group]
    elif match := _DAY_NAME.fullmatch(text):
        day, month, year, *others = match.groups()
    elif match := _NAME_DAY.fullmatch(text):
        month, day, year, *others = match.groups()
    elif match := _YEAR_NAME.fullmatch(text):
        year, month, day, *others = match.groups()
    elif match := _CTIME.fullmatch(text):
        month, day, *others, year = match.groups()
    else:
        return parse_date(text, zone)
    hour, minute, second_, half, named_zone = others
    try:
        number = month_number(month) or int(month)
        clock = _hour(hour, half), int(minute or 0), int(second_ or 0)
        parsed = datetime(full_year(year), number, int(day), *clock, tzinfo=zone)
        seconds = to_seconds(_localised(parsed, named_zone))
    except (ValueError, OverflowError):  # no such day, hour or zone
        return None
    return seconds if FIRST <= seconds <= LAST else None


def _from_number(value: float, zone: ZoneInfo) -> tuple[int | None, str | None]:
    """Seconds since 1970 of a number by its size, which no two kinds share, and the kind."""
    if _EXCEL_DAYS[0] <= value < _EXCEL_DAYS[1]:
        local = EXCEL_EPOCH + timedelta(seconds=round(value * DAY))
        return to_seconds(local.replace(tzinfo=zone)), "Excel's number of days"
    for unit, size in _EPOCH_UNITS:
        if _EPOCH_SECONDS[0] <= value / size < _EPOCH_SECONDS[1]:
            return int(value // size), f"{unit} since 1970"
    return None, None


def _lost_digits(number: re.Match[str]) -> bool:
    """Whether a spreadsheet shortened a number, as ``1.30010E+12``, so that its minute is not known."""
    decimals, exponent = len(number[1] or ""), int(number[2] or 0)
    return decimals < min(exponent, _EXACT_DECIMALS)


def _localised(parsed: datetime, named: str | None) -> datetime:
    """A date in the zone that its text names (``UTC``, ``Z``, ``-0400``), else as it is."""
    if not named:
        return parsed
    if named.upper() in ("UTC", "GMT", "Z"):
        return parsed.replace(tzinfo=UTC)
    offset = timedelta(hours=int(named[1:3]), minutes=int(named[3:].lstrip(":") or 0))
    if offset >= timedelta(days=1):
        raise ValueError(f"no such zone: {named}")
    return parsed.replace(tzinfo=UTC) + (offset if named[0] == "-" else -offset)


def full_year(text: str) -> int:
    """The year of two or four digits."""
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
