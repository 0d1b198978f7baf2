"""Formats of dates in tables, and the order of day and month in a whole column."""

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from training.data.errors import UnclearDates
from training.data.tables.cells import ParsedCells
from training.data.tables.date_cells import DateOrder
from training.data.tables.dates import parse_dates


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
        "405.35",
        5,
        True,
    ],
)
def test_malformed_dates(text: object) -> None:
    assert days(read(text, "2011-12-19")) == [None, "2011-12-19 00:00:00"]


def test_a_column_without_a_date_is_refused() -> None:
    with pytest.raises(UnclearDates, match=r"No cell of Date can be read as a date, for example 'KW 12 2011'"):
        read("KW 12 2011", "KW 13 2011")


def test_a_column_with_many_dates_of_an_unknown_format_is_refused() -> None:
    known = ["15. April 2011", "16. April 2011", "17. April 2011"]

    with pytest.raises(UnclearDates, match=r"3 of 6 different cells of Date cannot be read .* 'week 14 of 2011'"):
        read("week 14 of 2011", "week 15 of 2011", "week 16 of 2011", *known)
    assert days(read("week 14 of 2011", "week 15 of 2011", *known, "NULL", "nan"))[0] is None


def shown(*texts: str) -> list[str]:
    return [assumption.sentence() for assumption in read(*texts).assumptions]


def test_one_date_shows_the_order_of_the_whole_column() -> None:
    assert days(read("3/4/2015", "21-07-2015", None)) == ["2015-04-03 00:00:00", "2015-07-21 00:00:00", None]
    assert days(read("3/4/2015", "07-21-2015")) == ["2015-03-04 00:00:00", "2015-07-21 00:00:00"]
    assert shown("3/4/2015", "21-07-2015") == [
        "column Date: dates are read day first, as the example shows, for example 21-07-2015 (2 rows). "
        "Otherwise: give --date-format mdy or ymd."
    ]
    assert "month first, as the example shows, for example 07-21-2015 (2 rows)" in shown("3/4/2015", "07-21-2015")[0]


def test_a_date_that_exists_in_neither_order_shows_none() -> None:
    dates = read("3/4/2015", "31/31/2015", default_order="month")

    assert days(dates) == ["2015-03-04 00:00:00", None]
    assert [(each.what, each.example, each.rows) for each in dates.assumptions] == [
        ("dates are read month first, as none of them shows the order", "3/4/2015", 2),
        ("a cell that is no date is missing", "31/31/2015", 1),
    ]


def test_dates_outside_years_of_four_digits_are_missing() -> None:
    typed = pd.Series(np.array(["12000-01-01", "9999-12-31"], "datetime64[s]"))

    assert days(read("0001-01-01", "2011-12-09", zone="Asia/Tokyo"))[0] is None
    assert days(read("9999-12-31 23:59", "2011-12-09", zone="America/New_York"))[0] is None
    assert days(parse_dates(typed, "UTC", name="Date", default_order=None, sale=False)) == [None, "9999-12-31 00:00:00"]


@pytest.mark.parametrize(
    "text", ["0001-01-01 00:00", "1899-12-30", "1900-01-01", "1/1/1900 00:00", "1970-01-01T00:00:00Z", "9999-12-31"]
)
def test_default_dates_of_software_are_missing_and_noted(text: str) -> None:
    dates = read(text, "2011-12-09")

    assert days(dates) == [None, "2011-12-09 00:00:00"]
    assert [(each.what[:43], each.rows) for each in dates.assumptions if "missing" in each.what] == [
        ("dates before 1970-01-02 or after 2099 are m", 1)
    ]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2011-03-14 10:00:00 UTC", "2011-03-14 10:00:00"),
        ("2011-03-14T10:00:00+00:00[UTC]", "2011-03-14 10:00:00"),
        ("2011-03-14T11:00:00+01:00[Europe/Paris]", "2011-03-14 10:00:00"),
        ("2011-03-14 11:00:00 +0100 UTC", "2011-03-14 10:00:00"),
        ("2011-03-14 11:00 GMT+1", "2011-03-14 10:00:00"),
        ("Mon, 14 Mar 2011 10:00:00 GMT+0000 (Coordinated Universal Time)", "2011-03-14 10:00:00"),
        ("20110314T100000Z", "2011-03-14 10:00:00"),
        ("20110314T110000+0100", "2011-03-14 10:00:00"),
        ("2011-03-14-10.00.05.000000", "2011-03-14 10:00:05"),
        ("14-MAR-11 10.00.05.000000 AM", "2011-03-14 10:00:05"),
        ("14-MAR-11 01.00.05.000000000 PM +00:00", "2011-03-14 13:00:05"),
        ("14.03.2011 10.00", "2011-03-14 10:00:00"),
        ("14.03.2011 um 10:00 Uhr", "2011-03-14 10:00:00"),
        ("March 14, 2011 at 1:05 PM", "2011-03-14 13:05:00"),
        ("14/03/2011 10:00 +0200", "2011-03-14 08:00:00"),
        ("14 Mar 2011 10:00", "2011-03-14 10:00:00"),
        ("March 14, 2011 1:05 PM", "2011-03-14 13:05:00"),
        ("Mon, 14 Mar 2011 10:00:00 GMT", "2011-03-14 10:00:00"),
        ("14-MAR-11", "2011-03-14 00:00:00"),
        ("2011-Mar-14", "2011-03-14 00:00:00"),
        ("20110314.0", "2011-03-14 00:00:00"),
        ("20110314100005", "2011-03-14 10:00:05"),
        (20110314, "2011-03-14 00:00:00"),
        (20110314.0, "2011-03-14 00:00:00"),
        ("1300096800", "2011-03-14 10:00:00"),
        ("1300096800000", "2011-03-14 10:00:00"),
        ("1.3000968e12", "2011-03-14 10:00:00"),
        (1300096800.0, "2011-03-14 10:00:00"),
        ("40616.4166666667", "2011-03-14 10:00:00"),
        (40616, "2011-03-14 00:00:00"),
    ],
)
def test_dates_of_exports(text: object, moment: str) -> None:
    assert days(read(text)) == [moment]


def test_numbers_are_noted_with_what_they_count() -> None:
    assert shown("1300096800000") == [
        "column Date: numbers are read as milliseconds since 1970, for example 1300096800000 (1 row). "
        "Otherwise: write dates as 2011-12-09 12:50."
    ]


def test_years_of_two_digits_in_the_order_that_fits_all_rows() -> None:
    assert days(read("21/03/14", "21/04/31", "20/12/30", "19/01/05")) == [
        "2021-03-14 00:00:00",
        None,
        "2020-12-30 00:00:00",
        "2019-01-05 00:00:00",
    ]
    assert days(read("05/01/15", "31/01/15")) == ["2015-01-05 00:00:00", "2015-01-31 00:00:00"]
    assert "year first, as" in shown("21/03/14", "20/12/30")[0]


def test_years_of_two_digits_that_fit_two_orders_are_refused_with_the_option() -> None:
    with pytest.raises(UnclearDates, match="dmy or ymd fit all of them: give --date-format"):
        read("21/03/14", "21/06/20")


@pytest.mark.parametrize(
    ("date_format", "day"),
    [
        ("ymd", "2021-03-14"),
        ("dmy", "2014-03-21"),
        ("%y/%m/%d", "2021-03-14"),
    ],
)
def test_the_given_format_decides(date_format: str, day: str) -> None:
    dates = parse_dates(pd.Series(["21/03/14"]), "UTC", name="Date", default_order=None, date_format=date_format)

    assert days(dates) == [f"{day} 00:00:00"]


def test_points_mean_day_first() -> None:
    assert days(read("03.04.2011", "05.06.11", default_order="month")) == ["2011-04-03 00:00:00", "2011-06-05 00:00:00"]
    assert days(read("12.31.2011", "01.02.2011")) == ["2011-12-31 00:00:00", "2011-01-02 00:00:00"]


@pytest.mark.parametrize(
    "mixed",
    [
        ("14/03/2011", datetime(2011, 4, 3)),  # noqa: DTZ001
        ("14/03/2011", datetime(2011, 4, 23)),  # noqa: DTZ001
        ("3/14/2011", datetime(2011, 3, 4)),  # noqa: DTZ001
        ("14/03/2011", "2011-04-03 00:00:00"),
        ("14.03.2011", datetime(2011, 4, 3)),  # noqa: DTZ001
        ("14.03.2011", "2011-04-03 00:00:00"),
        ("14/03/2011", "03-Apr-2011"),
        ("14/03/2011", "20110403"),
        ("14/03/2011", 40636.5),
        ("14/03/2011", "40636.4166"),
    ],
)
def test_an_export_with_swapped_days_and_months_is_refused_with_two_cells(mixed: tuple[object, ...]) -> None:
    with pytest.raises(UnclearDates, match=r"mixes the text '.*2011', .* first, with the date.* 2011-0"):
        read(*mixed)


@pytest.mark.parametrize(
    "mixed",
    [
        ("3/14/2011", datetime(2011, 3, 24)),  # noqa: DTZ001
        ("14.03.2011", datetime(2011, 3, 24)),  # noqa: DTZ001
        ("14.03.2011", "02.03.2011", datetime(2011, 3, 4)),  # noqa: DTZ001
        ("14.03.2011", "2011-03-24"),
    ],
)
def test_cells_that_no_swap_can_leave_are_read(mixed: tuple[object, ...]) -> None:
    """A swap leaves no cell after the twelfth, and no text of days up to it."""
    assert None not in days(read(*mixed))


@pytest.mark.parametrize("default", ["0001-01-01 00:00", "1900-01-01", datetime(1899, 12, 30), "9999-12-01"])  # noqa: DTZ001
def test_default_dates_of_software_are_no_mark_of_a_swap(default: object) -> None:
    assert days(read("14/03/2011", "15/04/2011", default)) == ["2011-03-14 00:00:00", "2011-04-15 00:00:00", None]


def test_numbers_that_a_spreadsheet_shortened_are_no_dates() -> None:
    with pytest.raises(UnclearDates, match=r"No cell of Date .* '1.30010E\+12'"):
        read("1.30010E+12", "1.30287E+12")


def test_the_order_of_the_column_precedes_the_default() -> None:
    assert days(read("3/4/2015", "21-07-2015", default_order="month"))[0] == "2015-04-03 00:00:00"


def test_the_default_order_is_used_and_noted() -> None:
    dates = read("3/4/2015", "5/5/2015", default_order="month")

    assert days(dates) == ["2015-03-04 00:00:00", "2015-05-05 00:00:00"]
    assert [each.what for each in dates.assumptions] == ["dates are read month first, as none of them shows the order"]
    assert shown("5/5/2015") == []
    assert shown("2015-03-04") == []


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


@pytest.mark.parametrize(
    "text",
    [
        *("14. März 2011", "14-Mär-11", "14 mars 2011", "14 marzo 2011", "14 de marzo de 2011", "14-mrt-2011"),
        *("14 MÄRZ 2011", "14 março 2011", "lundi 14 mars 2011", "Montag, 14. März 2011", "14 marts 2011"),
    ],
)
def test_names_of_months_in_other_languages_are_read_and_named(text: str) -> None:
    dates = read(text)

    assert days(dates) == ["2011-03-14 00:00:00"]
    assert [each.what for each in dates.assumptions] == ["names of months are read"]


@pytest.mark.parametrize(
    ("text", "month"),
    [
        ("1er février 2011", 2),
        ("1 mai 2011", 5),
        ("1 juin 2011", 6),
        ("1 août 2011", 8),
        ("1-Okt-11", 10),
        ("1 Dez 2011", 12),
    ],
)
def test_names_of_months_are_known_by_all_their_letters(text: str, month: int) -> None:
    assert days(read(text)) == [f"2011-{month:02}-01 00:00:00"]


@pytest.mark.parametrize("text", ["14 marraskuuta 2011", "14 Marble 2011", "listopad 14, 2011", "2011 Junk 14"])
def test_names_of_months_that_are_not_known_are_refused_among_others(text: str) -> None:
    with pytest.raises(UnclearDates, match="no name of a month that is known"):
        read(text, *(f"{day} March 2011" for day in range(1, 20)))


@pytest.mark.parametrize(
    "text", ["Mon Mar 14 10:30:00 2011", "Mon Mar 14 10:30:00 UTC 2011", "Mon Mar  14 10:30:00 2011"]
)
def test_dates_of_ctime(text: str) -> None:
    assert days(read(text)) == ["2011-03-14 10:30:00"]
