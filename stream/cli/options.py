"""Options that several commands have, and the values that are written in them."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

import typer

from stream.cli.exit_codes import ExitCode, Failure

if TYPE_CHECKING:
    from state.settings import Settings

DataOption = Annotated[
    Path | None,
    typer.Option(help="An invoice table, or a folder that holds one. Default: NEXTBASKET_DATA.", show_default=False),
]
SeedOption = Annotated[
    int | None, typer.Option(min=0, help="Seed of all random choices. Default: NEXTBASKET_SEED.", show_default=False)
]
DateFormatOption = Annotated[
    str | None,
    typer.Option(
        help="How the dates of the table are written, where they do not show it: dmy, mdy, ymd, or such as %d/%m/%y.",
        show_default=False,
    ),
]

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def parse_date_option(text: str | None, settings: "Settings") -> int | None:
    """Seconds since 1970 of a day (its first second) or of a date with a time; None where the option is not given.

    A date without a time zone is in that of the settings.

    Raises:
        Failure: It is no date.
    """
    from state.events.dates import parse_date

    if text is None:
        return None
    date = text.strip()
    seconds = parse_date(f"{date} 00:00" if len(date) <= len("2011-11-09") else date, ZoneInfo(settings.timezone))
    if seconds is None:
        raise Failure(f"{text!r} is no date; it looks like 2011-11-09 or 2011-11-09T12:50.", ExitCode.USAGE)
    return seconds


def with_date_format(settings: "Settings", date_format: str | None) -> "Settings":
    """Settings with the format of dates that an option gives, if it is given.

    Raises:
        Failure: It is no format.
    """
    from state.settings import check_date_format

    if date_format is None:
        return settings
    try:
        return settings.model_copy(update={"date_format": check_date_format(date_format.strip())})
    except ValueError as error:
        raise Failure(f"--date-format {date_format!r} cannot be used: {error}.", ExitCode.USAGE) from None


def parse_duration(text: str) -> float:
    """Seconds of a duration such as ``6h`` or ``90s``.

    Raises:
        Failure: It is no duration, or an empty one.
    """
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([smhd])", text.strip().lower())
    if not match or not float(match[1]):
        raise Failure(f"{text!r} is no duration; it looks like 90s, 30m, 6h or 1d.", ExitCode.USAGE)
    return float(match[1]) * _SECONDS[match[2]]


def data_path(option: Path | None, settings: "Settings") -> Path:
    """The path of the invoice table: the option's, else the setting's.

    Raises:
        Failure: Neither is given.
    """
    path = settings.data if option is None else option
    if path is None:
        raise Failure("There is no invoice table to read: give --data PATH, or set NEXTBASKET_DATA.", ExitCode.USAGE)
    return path
