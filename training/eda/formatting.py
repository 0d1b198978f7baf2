"""Formatting of numbers, dates and lists in sentences."""

from collections.abc import Iterable

import pandas as pd


def share(part: float, whole: float) -> str:
    """A part as a percentage: ``8.3%``, ``34%``; 0% and 100% only where they are exact, a dash where all is 0."""
    if whole == 0:
        return "–"
    percent = 100 * part / whole
    if 0 < abs(percent) < 0.05:
        return "under 0.1%"
    if 99.5 < percent < 100:
        return f"{min(percent, 99.9):.1f}%"
    return f"{percent:.0f}%" if percent == 0 or abs(percent) >= 9.95 else f"{percent:.1f}%"


def money(value: float) -> str:
    """An amount in the currency of the table, whichever that is: ``304.17``, ``12,345``, ``8.89 million``."""
    if abs(value) >= 1e6:
        return f"{value / 1e6:,.2f} million"
    return f"{value:,.0f}" if value == 0 or abs(value) >= 1_000 else f"{value:,.2f}"


def number(value: float) -> str:
    """A number that may have a fraction: ``19``, ``2.5``, ``1,234``."""
    return f"{value:,.0f}" if abs(value) >= 1_000 or float(value).is_integer() else f"{value:,.2f}".rstrip("0")


def day(date: pd.Timestamp) -> str:
    """A date: ``9 December 2011``."""
    return f"{date.day} {date:%B %Y}"


def listed(words: Iterable[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def clipped(text: str, length: int = 30) -> str:
    """A text, cut with an ellipsis where it is longer than ``length``."""
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"
