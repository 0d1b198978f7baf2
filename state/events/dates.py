"""Dates in events and messages; internally a date is whole seconds since 1970 in UTC, negative before."""

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY = 86_400
"""Seconds in a day."""
_SECOND = timedelta(seconds=1)
FIRST = (datetime(1, 1, 1, tzinfo=UTC) - EPOCH) // _SECOND
LAST = (datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC) - EPOCH) // _SECOND
"""The first and last date with a year of four digits."""


def to_datetime(seconds: int) -> datetime:
    """An aware datetime in UTC (years 1 to 9999)."""
    return EPOCH + timedelta(seconds=seconds)


def to_seconds(time: datetime) -> int:
    """Whole seconds since 1970 of an aware datetime; fractions of a second are dropped."""
    return (time.replace(microsecond=0) - EPOCH) // _SECOND


def to_iso(seconds: int) -> str:
    """A date as ``2011-12-09T12:50:00Z``."""
    return to_datetime(seconds).replace(tzinfo=None).isoformat() + "Z"


_ISO = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[T ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:[.,][0-9]+)?)?"
    r" ?(?:([Zz])|([+-])([0-9]{2}):?([0-9]{2})?)?"
)
_MONTH_FIRST = re.compile(
    r"([0-9]{1,2})/([0-9]{1,2})/([0-9]{4}) +([0-9]{1,2}):([0-9]{2})(?::([0-9]{2})(?:[.,][0-9]+)?)?"
)


def parse_date(text: str, zone: tzinfo) -> int | None:
    """Seconds since 1970 of a date in an event, None where it is not a date.

    Formats: ISO 8601 with ``T`` or a space, or ``12/9/2011 12:50``, month first. The time of day is required, its
    seconds are optional; fractions of a second are dropped. A date without a time zone is in ``zone``.
    """
    text = text.strip()
    try:
        if match := _ISO.fullmatch(text):
            year, month, day, hour, minute, second, utc, sign, zone_hours, zone_minutes = match.groups()
            if sign:
                offset = timedelta(hours=int(zone_hours), minutes=int(zone_minutes or 0))
                zone = timezone(-offset if sign == "-" else offset)
            elif utc:
                zone = UTC
        elif match := _MONTH_FIRST.fullmatch(text):
            month, day, year, hour, minute, second = match.groups()
        else:
            return None
        time = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second or 0), tzinfo=zone)
        seconds = (time - EPOCH) // _SECOND
    except (ValueError, OverflowError):  # no such day, hour or zone
        return None
    return seconds if FIRST <= seconds <= LAST else None
