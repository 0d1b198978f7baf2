"""Formats of dates in tables, and the order of day and month in a whole column."""

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from training.data.errors import UnclearDates
from training.data.tables.cells import ParsedCells
from training.data.tables.dates import DateOrder, parse_dates


def read(*texts: object, zone: str = "UTC", default_order: DateOrder | None = None) -> ParsedCells:
    return parse_dates(pd.Series(list(texts), dtype=object), zone, name="Date", default_order=default_order)


def days(dates: ParsedCells) -> list[str | None]:
    return [None if pd.isna(stamp) else stamp.strftime("%Y-%m-%d %H:%M:%S") for stamp in dates.values]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2011-12-09T12:50:00Z", "2011-12-09 12:50:00"),
        ("2011-12-09 13:50+01:00", "2011-12-09 12:50:00"),
        ("2011-12-09", "2011-12-09 00:00:00"),
        (" 2011/2/9 8:05 ", "2011-02-09 08:05:00"),
        ("20111209", "2011-12-09 00:00:00"),
        ("31.12.2011", "2011-12-31 00:00:00"),
        ("31-12-11 08:05", "2011-12-31 08:05:00"),
        ("31-12-70", "1970-12-31 00:00:00"),
        ("12/31/2011 12:05 AM", "2011-12-31 00:05:00"),
        ("12/31/2011 1:05:09 pm", "2011-12-31 13:05:09"),
        ("12/31/2011, 23:05:09.75", "2011-12-31 23:05:09"),
        ("7/7/2011", "2011-07-07 00:00:00"),
    ],
)
def test_formats_of_dates(text: str, moment: str) -> None:
    assert days(read(text)) == [moment]


@pytest.mark.parametrize(
    "text",
    [
        "soon",
        "",
        "2011-13-01",
        "31/31/2011",
        "12/31/2011 13:05 PM",
        "12/31/2011 25:00",
        "12/31/2011 0:05 AM",
        "2011",
        "40513.35",
        5,
    ],
)
def test_malformed_dates(text: object) -> None:
    assert days(read(text)) == [None]


def test_one_date_shows_the_order_of_the_whole_column() -> None:
    assert days(read("3/4/2015", "21-07-2015", None)) == ["2015-04-03 00:00:00", "2015-07-21 00:00:00", None]
    assert days(read("3/4/2015", "07-21-2015")) == ["2015-03-04 00:00:00", "2015-07-21 00:00:00"]
    assert read("3/4/2015", "21-07-2015").note == "Dates of Date are read day first, as 21-07-2015 shows."
    assert read("3/4/2015", "07-21-2015").note == "Dates of Date are read month first, as 07-21-2015 shows."


def test_a_date_that_exists_in_neither_order_shows_none() -> None:
    dates = read("3/4/2015", "31/31/2015", default_order="month")

    assert days(dates) == ["2015-03-04 00:00:00", None]
    assert dates.note == "Dates of Date such as 3/4/2015 are read month first: none of them shows the order."


def test_dates_outside_years_of_four_digits_are_missing() -> None:
    typed = pd.Series(np.array(["12000-01-01", "9999-12-31"], "datetime64[s]"))

    assert days(read("0001-01-01", zone="Asia/Tokyo")) == [None]
    assert days(read("9999-12-31 23:59", zone="America/New_York")) == [None]
    assert days(parse_dates(typed, "UTC", name="Date", default_order=None)) == [None, "9999-12-31 00:00:00"]


def test_the_order_of_the_column_precedes_the_default() -> None:
    assert days(read("3/4/2015", "21-07-2015", default_order="month"))[0] == "2015-04-03 00:00:00"


def test_the_default_order_is_used_and_noted() -> None:
    dates = read("3/4/2015", "5/5/2015", default_order="month")

    assert days(dates) == ["2015-03-04 00:00:00", "2015-05-05 00:00:00"]
    assert dates.note == "Dates of Date such as 3/4/2015 are read month first: none of them shows the order."
    assert read("5/5/2015").note is None
    assert read("2015-03-04").note is None


def test_ambiguous_dates_without_a_default_order_are_refused() -> None:
    with pytest.raises(UnclearDates, match=r"such as '3/4/2015', and none of them shows .* write them as 2011-12-09"):
        read("3/4/2015", "5/5/2015")


def test_dates_of_both_orders_are_refused() -> None:
    with pytest.raises(UnclearDates, match=r"holds '21/7/2015', where the day .* '7/22/2015', where the month"):
        read("21/7/2015", "7/22/2015", default_order="month")


def test_days_begin_in_the_time_zone() -> None:
    assert days(read("2011-07-09", zone="Europe/London")) == ["2011-07-08 23:00:00"]


def test_rows_with_text_count_as_converted() -> None:
    dates = read("2011-07-09", datetime(2011, 7, 9, tzinfo=UTC), None, "soon")

    assert dates.converted.tolist() == [True, False, False, True]
