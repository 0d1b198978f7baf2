"""Dates as the contracts write them; inside, a date is whole seconds since 1970 in UTC, negative before."""

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY = 86_400
"""Seconds in a day."""
_SECOND = timedelta(seconds=1)
FIRST = (datetime(1, 1, 1, tzinfo=UTC) - EPOCH) // _SECOND
LAST = (datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC) - EPOCH) // _SECOND
"""The dates that can be written with a year of four digits."""


def to_datetime(seconds: int) -> datetime:
    """The moment as an aware datetime in UTC (years 1 to 9999)."""
    return EPOCH + timedelta(seconds=seconds)


def to_seconds(moment: datetime) -> int:
    """Whole seconds since 1970 of an aware datetime; a fraction of a second is dropped, as written."""
    return (moment.replace(microsecond=0) - EPOCH) // _SECOND


def to_iso(seconds: int) -> str:
    """The moment as ``2011-12-09T12:50:00Z``."""
    return to_datetime(seconds).replace(tzinfo=None).isoformat() + "Z"


_ISO = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[T ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:[.,][0-9]+)?)?"
    r" ?(?:([Zz])|([+-])([0-9]{2}):?([0-9]{2})?)?"
)
_MONTH_FIRST = re.compile(
    r"([0-9]{1,2})/([0-9]{1,2})/([0-9]{4}) +([0-9]{1,2}):([0-9]{2})(?::([0-9]{2})(?:[.,][0-9]+)?)?"
)


def parse_date(text: str, zone: tzinfo) -> int | None:
    """Seconds since 1970 of a date as events write it, None where it is none.

    ISO 8601 with ``T`` or a space, or ``12/9/2011 12:50``, month first; a time of day is needed, its seconds are not.
    Fractions of a second are dropped. Without a zone of its own the date is one in ``zone``.
    """
    text = text.strip()
    try:
        if match := _ISO.fullmatch(text):
            year, month, day, hour, minute, second, utc, sign, zone_hours, zone_minutes = match.groups()
            if sign:
                away = timedelta(hours=int(zone_hours), minutes=int(zone_minutes or 0))
                zone = timezone(-away if sign == "-" else away)
            elif utc:
                zone = UTC
        elif match := _MONTH_FIRST.fullmatch(text):
            month, day, year, hour, minute, second = match.groups()
        else:
            return None
        moment = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second or 0), tzinfo=zone)
        seconds = (moment - EPOCH) // _SECOND
    except (ValueError, OverflowError):  # no such day, hour or zone
        return None
    return seconds if FIRST <= seconds <= LAST else None
