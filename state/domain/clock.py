"""Whether clocks agree: this machine's, the store's, and those that stamped the records.

A clock that is behind turns good events into dead letters ("ahead of the clock"), and one that is ahead lets an event
of the future in, which moves "now" for all customers. So a clock is trusted only where others agree with it.
"""

from collections.abc import Sequence
from statistics import median

from state.errors import InvalidEvent
from state.events.dates import DAY, to_iso

FEWEST_RECORDS = 3
"""Number of records that outweigh the clocks of two machines; fewer may be one producer's mistake."""


def differing_clocks(clock: float, server: float | None, max_difference_s: float) -> str | None:
    """A sentence where the clock of this machine and that of the store's server differ by more than the limit."""
    if server is None or not max_difference_s or abs(clock - server) <= max_difference_s:
        return None
    side = "behind" if clock < server else "ahead of"
    return (
        f"the clock of this machine ({to_iso(int(clock))}) is {abs(clock - server):,.0f} s {side} that of Redis "
        f"({to_iso(int(server))}); set the wrong one right"
    )


def records_ahead(
    clock: float, timestamps: Sequence[float], *, server_agrees: bool, max_difference_s: float
) -> str | None:
    """A sentence where most of the newest records were stamped by a clock that is ahead of this machine's.

    Args:
        clock: Seconds since 1970.
        timestamps: Timestamps of the newest records, seconds since 1970.
        server_agrees: Whether the store's server has a clock, which agrees with this machine's.
        max_difference_s: How far clocks may differ; 0: nothing is compared.
    """
    if not max_difference_s or len(timestamps) < (FEWEST_RECORDS if server_agrees else 1):
        return None
    difference = median(timestamps) - clock
    if difference <= max_difference_s:
        return None
    return (
        f"most records were stamped {difference:,.0f} s ahead of the clock of this machine ({to_iso(int(clock))}); set "
        "it right, or the clocks of the producers"
    )


def is_ahead_of_record(date: int, timestamp: float | None, max_days_ahead: int, max_difference_s: float) -> bool:
    """Whether an invoice is dated further ahead of the timestamp of its record than of any right clock.

    Args:
        date: Date of the invoice, seconds since 1970.
        timestamp: Timestamp of the record, seconds since 1970; None or not above 0 where it has none.
        max_days_ahead: How far an invoice may be dated ahead.
        max_difference_s: How far clocks may differ; 0: the timestamp is not looked at.
    """
    if timestamp is None or timestamp <= 0 or not max_difference_s:
        return False
    return date > timestamp + max_days_ahead * DAY + max_difference_s


def ahead_of_record(name: str, date: int, timestamp: float) -> str:
    """The reason of a dead letter whose event is dated ahead of its record, as one sentence."""
    return (
        f"{name} {to_iso(date)} is ahead of the clock that stamped its record ({to_iso(int(timestamp))}); set that of "
        "the producer right, and redrive."
    )


def require_not_ahead_of_record(
    date: int, timestamp: float | None, max_days_ahead: int, max_difference_s: float
) -> None:
    """Refuse an invoice that is dated ahead of its record; for the arguments see ``is_ahead_of_record``.

    Raises:
        InvalidEvent: It is.
    """
    if timestamp is not None and is_ahead_of_record(date, timestamp, max_days_ahead, max_difference_s):
        raise InvalidEvent(ahead_of_record("invoice_date", date, timestamp), "invoice_date")
