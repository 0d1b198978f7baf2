"""Dates of a column as written in tables; how they are written is decided once for the whole column."""

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from state.events.dates import DAY, FIRST, LAST, parse_date, to_seconds
from state.events.missing import is_missing
from training.data.assumption import Assumption, of_column
from training.data.distinct import map_distinct, where_distinct
from training.data.errors import UnclearDates
from training.data.tables.cells import ParsedCells
from training.data.tables.month_names import MONTH_NAME, is_english, month_number

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
_YEAR_LAST = re.compile(r"([0-9]{1,2})[-/.]([0-9]{1,2})[-/.]([0-9]{4}|[0-9]{2})" + _TIME)
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

_OTHER: dict[DateOrder, DateOrder] = {"day": "month", "month": "day"}
_GIVEN_ORDER: dict[str, DateOrder] = {"dmy": "day", "mdy": "month", "ymd": "year"}
_OTHER_ORDER: dict[DateOrder, str] = {
    "day": "give --date-format mdy or ymd",
    "month": "give --date-format dmy or ymd",
    "year": "give --date-format dmy or mdy",
}
_NOT_A_TIME = np.iinfo("int64").min
_CENTURY_PIVOT = 70
"""Years of two digits below it are after 2000."""
_FIRST_SALE = DAY
_LAST_SALE = to_seconds(datetime(2100, 1, 1, tzinfo=UTC))
"""A sale outside these dates has the default date of some software: 0001, 1899-12-30, 1900-01-01, 1970-01-01, 9999."""

_MIN_UNREAD = 3
_UNREAD_SHARE = 0.25
"""Of the different cells of a column: with more that are no dates, they are dates of an unknown format."""

_EXCEL_EPOCH = datetime(1899, 12, 30)  # noqa: DTZ001 - a date of the table's zone
_EXCEL_DAYS = (32_874.0, 73_051.0)  # 1990 to 2100
_EPOCH_SECONDS = (631_152_000, 4_102_444_800)  # 1990 to 2100
_EPOCH_UNITS = (("seconds", 1), ("milliseconds", 10**3), ("microseconds", 10**6), ("nanoseconds", 10**9))
_EXACT_DECIMALS = 6
"""Decimals from which a number in scientific notation is all there: a spreadsheet shows five at most."""
_EXAMPLE = "write all dates as 2011-12-09 12:50, or give --date-format"


class _Triple(NamedTuple):
    """Three numbers of a date whose year is not known to come first."""

    text: str
    parts: tuple[int, int, int]
    long_year: bool
    points: bool


def parse_dates(
    column: pd.Series,
    timezone: str,
    *,
    name: str,
    default_order: DateOrder | None,
    date_format: str = "",
    sale: bool = True,
) -> ParsedCells:
    """Parse a column of dates, text or a date type: UTC to the second, missing where a cell is no date.

    Text may have any format of the wire, or be a day with or without a time: ``2011-12-09``, ``20111209``,
    ``9.12.2011``, ``09-12-11 12:50``, ``12/9/2011 1:05 PM``, ``9 Dec 2011``. Numbers may be Excel's days, or seconds,
    milliseconds, microseconds or nanoseconds since 1970. A day without a time is its first second; fractions of a
    second are dropped.

    Args:
        column: Dates, numbers or text.
        timezone: Zone of dates that name none.
        name: Of the column in the file.
        default_order: What comes first in ``12/9/2011`` where no date of the column shows it; None: that is an error.
        date_format: ``dmy``, ``mdy`` or ``ymd`` for the order of the numbers, or a format of ``strptime``.
        sale: Whether dates before 1970-01-02 and from 2100 on, which are the defaults of some software, are missing.

    Raises:
        UnclearDates: Two orders of day, month and year fit, or none; no cell is a date; date cells are mixed with text
            in the way of an export whose days and months were swapped.
    """
    zone = ZoneInfo(timezone)
    aware = isinstance(column.dtype, pd.DatetimeTZDtype)
    if aware or (pd.api.types.is_datetime64_dtype(column.dtype) and timezone == "UTC"):
        column = column.dt.tz_convert("UTC").dt.tz_localize(None) if aware else column
        seconds = pd.Series(column.dt.floor("s").to_numpy("datetime64[s]").astype("int64"), dtype="Int64")
        seconds = seconds.where(column.notna().to_numpy() & seconds.between(FIRST, LAST))
        seconds, impossible = _of_sales(seconds, name) if sale else (seconds, [])
        return ParsedCells(_timestamps(seconds, column.index), np.zeros(len(column), dtype=bool), tuple(impossible))
    cells = column.astype(object)
    distinct = list(cells.dropna().unique())
    texts = [value for value in distinct if isinstance(value, str)]
    _refuse_swapped(distinct, name)
    assumptions: list[Assumption] = []

    def assume(values: list[Any], what: str, cure: str, example: Any = None) -> None:
        rows = int(cells.isin(values).sum())
        shown = str(values[0] if example is None else example)[:40]
        assumptions.append(Assumption(of_column(name), what, cure, shown, rows))

    order: DateOrder = "day"
    if "%" not in date_format:
        triples = _triples(texts)
        order, reason, example = _find_order(triples, name, default_order, date_format)
        if reason:
            what = f"dates are read {order} first{reason}"
            assume([triple.text for triple in triples], what, _OTHER_ORDER[order], example)
    kinds: dict[str, list[Any]] = {}
    unread: list[Any] = []

    def convert(value: Any) -> int | None:
        seconds, kind = _seconds(value, zone, order, date_format)
        if seconds is None and not (isinstance(value, str) and is_missing(value)):
            unread.append(value)
        elif kind:
            kinds.setdefault(kind, []).append(value)
        return seconds

    seconds = map_distinct(cells, convert).astype("Int64")
    given = sum(not (isinstance(value, str) and is_missing(value)) for value in distinct)
    if sale and unread and len(unread) == given:
        raise UnclearDates(f"No cell of {name} can be read as a date, for example {str(unread[0])!r}: {_EXAMPLE}.")
    if sale:
        _refuse_unknown_months(unread, name)
    if sale and len(unread) >= _MIN_UNREAD and len(unread) > given * _UNREAD_SHARE:
        raise UnclearDates(
            f"{len(unread):,} of {given:,} different cells of {name} cannot be read as dates, for example "
            f"{str(unread[0])!r} and {str(unread[-1])!r}: {_EXAMPLE}."
        )
    foreign = [text for text in texts if (word := _month_name(text)) and month_number(word) and not is_english(word)]
    if foreign:
        assume(foreign, "names of months are read", "write dates as 2011-12-09 12:50")
    for kind, numbers in kinds.items():
        assume(numbers, f"numbers are read as {kind}", "write dates as 2011-12-09 12:50")
    if unread:
        assume(unread, "a cell that is no date is missing", "write dates as 2011-12-09 12:50, or give --date-format")
    if sale:
        seconds, impossible = _of_sales(seconds, name)
        assumptions += impossible
    was_text = where_distinct(cells, lambda value: isinstance(value, str)).to_numpy()
    return ParsedCells(_timestamps(seconds, column.index), was_text, tuple(assumptions))


def _month_name(text: str) -> str | None:
    """The word at the place of a month in a date with a name, None where there is no such."""
    for pattern, group in ((_DAY_NAME, 2), (_NAME_DAY, 1), (_YEAR_NAME, 2), (_CTIME, 1)):
        if match := pattern.fullmatch(text.strip()):
            return match[group]
    return None


def _refuse_unknown_months(unread: Iterable[Any], name: str) -> None:
    """Refuse a column some of whose dates have names of months that are not known: those months would be missing.

    Raises:
        UnclearDates: There is such a name.
    """
    for text in unread:
        if isinstance(text, str) and (word := _month_name(text)) and month_number(word) is None:
            raise UnclearDates(f"{name} holds {text!r}, and {word!r} is no name of a month that is known: {_EXAMPLE}.")


def _timestamps(seconds: pd.Series, index: pd.Index) -> pd.Series:
    values = seconds.to_numpy("int64", na_value=_NOT_A_TIME).view("datetime64[s]")
    return pd.Series(values, index=index).dt.tz_localize("UTC")


def _of_sales(seconds: pd.Series, name: str) -> tuple[pd.Series, list[Assumption]]:
    """Seconds without those that no sale can have, and the assumption where there are some."""
    possible = seconds.between(_FIRST_SALE, _LAST_SALE - 1).fillna(False)
    rows = int(seconds.notna().sum() - possible.sum())
    if not rows:
        return seconds, []
    what = "dates before 1970-01-02 or after 2099 are missing, as they are defaults of software"
    return seconds.where(possible), [Assumption(of_column(name), what, "give those rows their dates", rows=rows)]


def _refuse_swapped(distinct: Iterable[Any], name: str) -> None:
    """Refuse a column whose days and months were swapped where a spreadsheet could read them.

    A spreadsheet with the month first turns 04/03/2011 into a date cell, April 3, and leaves 14/03/2011 as text.

    Raises:
        UnclearDates: Text with a number above 12 at the place of day or month is mixed with dates of other kinds, none
            of which shows a day above 12, or with date cells where the text is day first.
    """
    text_shows: dict[DateOrder, str] = {}
    readable = False  # a text of numbers that a spreadsheet could read in either order
    unnumbered: list[Any] = []  # dates of other kinds
    for value in distinct:
        if isinstance(value, str) and (match := _YEAR_LAST.fullmatch(value.strip())):
            first, second = int(match[1]), int(match[2])
            readable |= first <= 12 and second <= 12
            if first > 12 >= second:
                text_shows.setdefault("day", value.strip())
            elif second > 12 >= first:
                text_shows.setdefault("month", value.strip())
        else:
            unnumbered.append(value)
    if not text_shows:
        return
    others: dict[str, list[date]] = {"date cell": [], "date": []}
    for value in unnumbered:
        if isinstance(value, date):
            others["date cell"].append(value)
        elif (days := _excel_days(value)) is not None:
            others["date cell"].append(_EXCEL_EPOCH + timedelta(days=days))
        elif isinstance(value, str) and (seconds := _parse(value.strip(), ZoneInfo("UTC"), "day")) is not None:
            others["date"].append(datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None))
    for kind, dates in others.items():
        others[kind] = [each for each in dates if 1970 < each.year < 2100]  # no defaults of software
    for order, text in text_shows.items():
        for kind, dates in others.items():
            unswappable = any(each.day > 12 for each in dates) or readable
            certain = kind == "date cell" and "." not in text.partition(" ")[0] and order == "day"
            if dates and (certain or not unswappable):
                raise UnclearDates(
                    f"{name} mixes the text {text!r}, {order} first, with the {kind} {str(dates[0])[:16]}: so does an "
                    "export whose days and months were swapped where both are below 13. Export the table again with "
                    "all dates written as 2011-12-09 12:50."
                )


def _excel_days(value: Any) -> float | None:
    """A number of days as a spreadsheet holds a date, or the text of one; None for another cell."""
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = float(value)
    if isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool):
        return float(value) if _EXCEL_DAYS[0] <= value < _EXCEL_DAYS[1] else None
    return None


def _triples(texts: Iterable[str]) -> list[_Triple]:
    """The dates of three numbers among texts."""
    triples = []
    for text in texts:
        if match := _YEAR_LAST.fullmatch(text.strip()):
            parts = int(match[1]), int(match[2]), int(match[3])
            triples.append(_Triple(text, parts, len(match[3]) == 4, "." in text.strip()[:3]))
    return triples


def _find_order(
    triples: list[_Triple], name: str, default: DateOrder | None, date_format: str
) -> tuple[DateOrder, str, str]:
    """What comes first in all dates of a column; where it makes a difference, the reason and a date that shows it."""
    if date_format:
        return _GIVEN_ORDER[date_format], "", ""
    fits: dict[DateOrder, list[date | None]] = {
        order: [_day(triple, order) for triple in triples] for order in ("day", "month", "year")
    }
    known = [index for index in range(len(triples)) if any(days[index] for days in fits.values())]
    left: list[DateOrder] = [order for order, days in fits.items() if all(days[index] for index in known)]
    if not known:
        return default or "day", "", ""
    if not left:
        example: dict[str, str] = {
            order: next(triples[at].text for at in known if fits[other][at] is None)
            for order, other in _OTHER.items()
            if any(fits[other][at] is None for at in known)
        }
        shown = [f"{text!r}, where the {order} comes first" for order, text in example.items()]
        if len(shown) < 2:
            raise UnclearDates(f"No order of day, month and year fits all dates of {name}: {_EXAMPLE}.")
        raise UnclearDates(f"{name} holds {shown[0]}, and {example['month']!r}, where the month does: {_EXAMPLE}.")
    if len(left) > 1 and "day" in left and any(triples[at].points for at in known):
        text = next(triples[at].text for at in known if triples[at].points)
        return "day", ", as points between the numbers mean", text
    if len(left) == 1:
        (order,) = left
        shows = (at for at in known if fits["month" if order == "day" else "day"][at] is None)
        at = next(shows, known[0])
        return order, ", as the example shows", triples[at].text
    differing = [at for at in known if len({fits[order][at] for order in left}) > 1]
    if not differing:
        return default or left[0], "", ""
    text = triples[differing[0]].text
    if default in left and "year" not in left:
        return default, ", as none of them shows the order", text
    if "year" in left:
        orders = " or ".join({"day": "dmy", "month": "mdy", "year": "ymd"}[order] for order in left)
        raise UnclearDates(
            f"{name} holds dates such as {text!r}, and {orders} fit all of them: give --date-format "
            f"{orders.split()[0]} (or the other), or write them as 2011-12-09 12:50."
        )
    raise UnclearDates(
        f"{name} holds dates such as {text!r}, and none of them shows whether day or month comes first: "
        "write them as 2011-12-09 12:50, or give --date-format dmy or mdy."
    )


def _day(triple: _Triple, order: DateOrder) -> date | None:
    """The day of three numbers in an order, None where it is none; a year of two digits is not after next year."""
    first, second, third = triple.parts
    if order == "year":
        if triple.long_year:
            return None
        year, month, day = first, second, third
    else:
        day, month = (first, second) if order == "day" else (second, first)
        year = third
    if not triple.long_year:
        year = _year(f"{year:02}")
        if year > datetime.now(UTC).year:
            return None
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _seconds(value: Any, zone: ZoneInfo, order: DateOrder, date_format: str) -> tuple[int | None, str | None]:
    """Seconds since 1970 of a cell, and the kind of date where it is a number.

    Spreadsheets hold a midnight as a day.
    """
    if isinstance(value, str):
        text = value.strip()
        if "%" in date_format:
            try:
                parsed = datetime.strptime(text, date_format)  # noqa: DTZ007 - the zone follows
            except ValueError:
                return None, None
            return to_seconds(parsed if parsed.tzinfo else parsed.replace(tzinfo=zone)), None
        seconds = _parse(text, zone, order)
        if seconds is None and (match := _NUMBER.fullmatch(text)) and not _lost_digits(match):
            return _from_number(float(text), zone)
        return seconds, None
    if isinstance(value, datetime):
        return to_seconds(value if value.tzinfo else value.replace(tzinfo=zone)), None
    if isinstance(value, date):
        return to_seconds(datetime.combine(value, time(), zone)), None
    if isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool) and value == value:
        seconds = _parse(f"{value:.0f}", zone, order) if float(value).is_integer() else None
        return (seconds, None) if seconds is not None else _from_number(float(value), zone)
    return None, None


def _lost_digits(number: re.Match[str]) -> bool:
    """Whether a spreadsheet shortened a number, as ``1.30010E+12``, so that it does not say the minute."""
    decimals, exponent = len(number[1] or ""), int(number[2] or 0)
    return decimals < min(exponent, _EXACT_DECIMALS)


def _from_number(value: float, zone: ZoneInfo) -> tuple[int | None, str | None]:
    """Seconds since 1970 of a number by its size, which no two kinds share, and the kind."""
    if _EXCEL_DAYS[0] <= value < _EXCEL_DAYS[1]:
        local = _EXCEL_EPOCH + timedelta(seconds=round(value * DAY))
        return to_seconds(local.replace(tzinfo=zone)), "Excel's number of days"
    for unit, size in _EPOCH_UNITS:
        if _EPOCH_SECONDS[0] <= value / size < _EPOCH_SECONDS[1]:
            return int(value // size), f"{unit} since 1970"
    return None, None


def _parse(text: str, zone: ZoneInfo, order: DateOrder) -> int | None:
    if match := _YEAR_LAST.fullmatch(text):
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
        parsed = datetime(_year(year), number, int(day), *clock, tzinfo=zone)
        seconds = to_seconds(_localised(parsed, named_zone))
    except (ValueError, OverflowError):  # no such day, hour or zone
        return None
    return seconds if FIRST <= seconds <= LAST else None


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
