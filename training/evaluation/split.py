"""Spans of days, half-open: ``--from`` is in the span, ``--to`` is not."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from state.events.dates import parse_date
from state.events.invoice import Invoice
from training.data.walk import customer_purchase_dates
from training.errors import SplitError, TooLittleData


class Span(NamedTuple):
    """From ``start`` (included) to ``end`` (not included), seconds since 1970."""

    start: int
    end: int


def parse_instant(text: str, zone: str = "UTC") -> int:
    """Parse a day (``2011-11-09``: its first second) or a date with a time; returns seconds since 1970.

    Args:
        text: ISO 8601; without a zone it is one in ``zone``.
        zone: Name of the zone, as in the settings.

    Raises:
        SplitError: It is no date.
    """
    seconds = parse_date(f"{text.strip()} 00:00" if len(text.strip()) <= len("2011-11-09") else text, ZoneInfo(zone))
    if seconds is None:
        raise SplitError(f"{text!r} is no date: it looks like 2011-11-09 or 2011-11-09T12:50.")
    return seconds


def format_day(seconds: int) -> str:
    """The day of a date in UTC, as in a report."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")


def parse_span(start: str, end: str, zone: str = "UTC") -> Span:
    """Parse two dates as a half-open span.

    Raises:
        SplitError: One is no date, or the end does not come after the start.
    """
    parsed = Span(parse_instant(start, zone), parse_instant(end, zone))
    if parsed.end <= parsed.start:
        raise SplitError(
            f"--to {end} does not come after --from {start}: nothing lies between. Swap them, or give a later --to."
        )
    return parsed


def require_data_around(invoices: Sequence[Invoice], span: Span) -> None:
    """Check that the log has invoices before the span, to fit on, and invoices in it or after, to evaluate on.

    Args:
        invoices: The log, sorted by date.
        span: The invoices to predict.

    Raises:
        SplitError: The log is empty, or all of it lies on one side of the start of the span.
    """
    if not invoices:
        raise SplitError("The data holds no invoice at all. Check that it is the right table.")
    first, last = invoices[0].date, invoices[-1].date
    start, covers = format_day(span.start), f"the data runs from {format_day(first)} to {format_day(last)}"
    if first >= span.start:
        raise SplitError(f"Nothing lies before {start} to fit on: {covers}. Give a later --from.")
    if last < span.start:
        raise SplitError(f"Nothing lies in or after {start} to evaluate on: {covers}. Give an earlier --from.")


def require_repeat_customers(invoices: Sequence[Invoice]) -> None:
    """Check that there are next baskets to predict: several customers, one of whom bought twice.

    Raises:
        TooLittleData: All purchases are of one customer, or nobody bought twice.
    """
    bought = Counter(customer for customer, _ in customer_purchase_dates(invoices))
    customers = list(bought)
    if len(customers) == 1:
        purchases = "The only purchase is" if bought.total() == 1 else f"All {bought.total():,} purchases are"
        raise TooLittleData(
            f"{purchases} of one customer ({customers[0]}): a model learns from many. Check the column of the customer."
        )
    if len(customers) == bought.total():
        raise TooLittleData(
            f"None of the {len(customers):,} customers bought twice: there is no next basket to learn from. "
            "Give --data that covers a longer time."
        )
