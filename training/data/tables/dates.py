"""Dates of a column as written in tables; how they are written is decided once for the whole column."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple, get_args
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from state.events.dates import DAY, FIRST, LAST, to_seconds
from state.events.missing import is_missing
from training.data.assumption import Assumption, of_column
from training.data.distinct import map_distinct, where_distinct
from training.data.errors import UnclearDates
from training.data.tables.cells import ParsedCells
from training.data.tables.date_cells import (
    EXCEL_EPOCH,
    YEAR_LAST,
    DateOrder,
    cell_seconds,
    excel_days,
    full_year,
    month_word,
    text_seconds,
)
from training.data.tables.month_names import is_english, month_number

_ORDERS: tuple[DateOrder, ...] = get_args(DateOrder)
_OTHER: dict[DateOrder, DateOrder] = {"day": "month", "month": "day"}
_GIVEN_ORDER: dict[str, DateOrder] = {"dmy": "day", "mdy": "month", "ymd": "year"}
_OTHER_ORDER: dict[DateOrder, str] = {
    "day": "give --date-format mdy or ymd",
    "month": "give --date-format dmy or ymd",
    "year": "give --date-format dmy or mdy",
}
_NOT_A_TIME = np.iinfo("int64").min
_FIRST_SALE = DAY
_LAST_SALE = to_seconds(datetime(2100, 1, 1, tzinfo=UTC))
"""A sale outside these dates has the default date of some software: 0001, 1899-12-30, 1900-01-01, 1970-01-01, 9999."""

_MIN_UNREAD = 3
_UNREAD_SHARE = 0.25
"""Of the different cells of a column: with more that are no dates, they are dates of an unknown format."""

_EXAMPLE = "write all dates as 2011-12-09 12:50, or give --date-format"


class FoundOrder(NamedTuple):
    """What comes first in the dates of a column; where it makes a difference, the reason and a date that shows it."""

    order: DateOrder
    reason: str = ""
    example: str = ""


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
    found_order: FoundOrder | None = None,
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
        found_order: Of the whole column, where this is a part of it (``DateOrderBuilder``).
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
    if found_order is None:
        _refuse_swapped(distinct, name)
    assumptions: list[Assumption] = []

    def assume(values: list[Any], what: str, cure: str, example: Any = None) -> None:
        rows = int(cells.isin(values).sum())
        shown = str(values[0] if example is None else example)[:40]
        assumptions.append(Assumption(of_column(name), what, cure, shown, rows))

    order: DateOrder = "day"
    if "%" not in date_format:
        triples = _triples(texts)
        order, reason, example = found_order or _find_order(triples, name, default_order, date_format)
        if reason:
            what = f"dates are read {order} first{reason}"
            assume([triple.text for triple in triples], what, _OTHER_ORDER[order], example)
    kinds: dict[str, list[Any]] = {}
    unread: list[Any] = []

    def convert(value: Any) -> int | None:
        seconds, kind = cell_seconds(value, zone, order, date_format)
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
    foreign = [text for text in texts if (word := month_word(text)) and month_number(word) and not is_english(word)]
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


class DateOrderBuilder:
    """Finds what comes first in the dates of a column, over batches of it."""

    def __init__(self, name: str, zone: str, default_order: DateOrder | None, date_format: str) -> None:
        """Start before the first batch; the arguments are those of ``parse_dates``."""
        self._name, self._zone = name, ZoneInfo(zone)
        self._default, self._format = default_order, date_format
        self._triples: dict[tuple[tuple[int, int, int], bool, bool], _Triple] = {}
        self._others = self._unread = False

    def add(self, texts: Iterable[str]) -> None:
        """Add distinct cells."""
        for text in texts:
            if "%" not in self._format and (found := _triples([text])):
                (triple,) = found
                self._triples.setdefault(triple[1:], triple)
                seconds = [text_seconds(text.strip(), self._zone, order) for order in _ORDERS]
                self._unread |= all(each is None for each in seconds)
            elif cell_seconds(text, self._zone, "day", self._format)[0] is not None:
                self._others = True
            else:
                self._unread |= not is_missing(text)

    def build(self) -> FoundOrder | None:
        """The order; None where all cells together decide how they are read, as some are no dates or of other kinds.

        Raises:
            UnclearDates: As ``parse_dates``.
        """
        if self._unread or (self._others and self._triples):
            return None
        triples = [*self._triples.values()]
        found = FoundOrder("day")
        if "%" not in self._format:
            found = _find_order(triples, self._name, self._default, self._format)
        read = (text_seconds(triple.text.strip(), self._zone, found.order) for triple in triples)
        return None if any(seconds is None for seconds in read) else found


def _refuse_unknown_months(unread: Iterable[Any], name: str) -> None:
    """Refuse a column some of whose dates have names of months that are not known: those months would be missing.

    Raises:
        UnclearDates: There is such a name.
    """
    for text in unread:
        if isinstance(text, str) and (word := month_word(text)) and month_number(word) is None:
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
        UnclearDates: Text with a number above 12 as day or month is mixed with dates of other kinds, none
            of which shows a day above 12, or with date cells where the text is day first.
    """
    text_shows: dict[DateOrder, str] = {}
    readable = False  # a text of numbers that a spreadsheet could read in either order
    unnumbered: list[Any] = []  # dates of other kinds
    for value in distinct:
        if isinstance(value, str) and (match := YEAR_LAST.fullmatch(value.strip())):
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
        elif (days := excel_days(value)) is not None:
            others["date cell"].append(EXCEL_EPOCH + timedelta(days=days))
        elif isinstance(value, str) and (seconds := text_seconds(value.strip(), ZoneInfo("UTC"), "day")) is not None:
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


def _triples(texts: Iterable[str]) -> list[_Triple]:
    """The dates of three numbers among texts."""
    triples = []
    for text in texts:
        if match := YEAR_LAST.fullmatch(text.strip()):
            parts = int(match[1]), int(match[2]), int(match[3])
            triples.append(_Triple(text, parts, len(match[3]) == 4, "." in text.strip()[:3]))
    return triples


def _find_order(triples: list[_Triple], name: str, default: DateOrder | None, date_format: str) -> FoundOrder:
    """What comes first in all dates of a column."""
    if date_format:
        return FoundOrder(_GIVEN_ORDER[date_format])
    fits: dict[DateOrder, list[date | None]] = {
        order: [_day(triple, order) for triple in triples] for order in ("day", "month", "year")
    }
    known = [index for index in range(len(triples)) if any(days[index] for days in fits.values())]
    left: list[DateOrder] = [order for order, days in fits.items() if all(days[index] for index in known)]
    if not known:
        return FoundOrder(default or "day")
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
        return FoundOrder("day", ", as points between the numbers mean", text)
    if len(left) == 1:
        (order,) = left
        shows = (at for at in known if fits["month" if order == "day" else "day"][at] is None)
        at = next(shows, known[0])
        return FoundOrder(order, ", as the example shows", triples[at].text)
    differing = [at for at in known if len({fits[order][at] for order in left}) > 1]
    if not differing:
        return FoundOrder(default or left[0])
    text = triples[differing[0]].text
    if default in left and "year" not in left:
        return FoundOrder(default, ", as none of them shows the order", text)
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
        year = full_year(f"{year:02}")
        if year > datetime.now(UTC).year:
            return None
    try:
        return date(year, month, day)
    except ValueError:
        return None
