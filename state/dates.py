"""Dates as the contracts write them; inside, a date is whole seconds since 1970 in UTC, negative before."""

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY = 86_400
"""Seconds in a day."""


def to_datetime(seconds: int) -> datetime:
    """The moment as an aware datetime in UTC (years 1 to 9999)."""
    return EPOCH + timedelta(seconds=seconds)


def to_seconds(moment: datetime) -> int:
    """Whole seconds since 1970 of an aware datetime; a fraction of a second is dropped, as written."""
    return (moment.replace(microsecond=0) - EPOCH) // timedelta(seconds=1)


def to_iso(seconds: int) -> str:
    """The moment as ``2011-12-09T12:50:00Z``."""
    return to_datetime(seconds).replace(tzinfo=None).isoformat() + "Z"
