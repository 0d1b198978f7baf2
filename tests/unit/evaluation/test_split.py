"""Spans are half-open, and impossible ones are refused with a sentence."""

import pytest

from state.events.invoice import Invoice, Line
from training.errors import SplitError
from training.evaluation.split import Span, format_day, parse_instant, parse_span, require_data_around

NOV_9 = 1_320_796_800  # 2011-11-09T00:00:00Z


def invoice(date: int) -> Invoice:
    return Invoice(f"i{date}", "c", date, (Line("a", 1000, 1.0),))


def test_a_day_is_its_first_second() -> None:
    assert parse_instant("2011-11-09") == NOV_9
    assert parse_instant("2011-11-09T00:00:01Z") == NOV_9 + 1
    assert parse_instant("2011-11-09 01:00") == NOV_9 + 3600
    assert format_day(NOV_9) == "2011-11-09"
    assert format_day(NOV_9 - 1) == "2011-11-08"


def test_a_day_begins_where_the_shop_is() -> None:
    assert parse_instant("2011-11-09", "Europe/Berlin") == NOV_9 - 3600
    assert parse_instant("2011-11-09T00:00:00Z", "Europe/Berlin") == NOV_9


@pytest.mark.parametrize("text", ["", "yesterday", "2011-13-01", "2011-02-30", "9 November 2011"])
def test_what_is_no_date_is_named(text: str) -> None:
    with pytest.raises(SplitError, match="is no date"):
        parse_instant(text)


@pytest.mark.parametrize("end", ["2011-11-09", "2011-11-08"])
def test_a_reversed_spanis_refused(end: str) -> None:
    with pytest.raises(SplitError, match="does not come after"):
        parse_span("2011-11-09", end)


def test_something_must_lie_before_and_in_the_span() -> None:
    span = parse_span("2011-11-09", "2011-11-10")
    assert span == Span(NOV_9, NOV_9 + 86_400)
    require_data_around([invoice(NOV_9 - 1), invoice(NOV_9)], span)
    with pytest.raises(SplitError, match=r"Nothing lies before 2011-11-09.*2011-11-09 to 2011-11-09"):
        require_data_around([invoice(NOV_9)], span)
    with pytest.raises(SplitError, match="Nothing lies in or after"):
        require_data_around([invoice(NOV_9 - 1)], span)
    with pytest.raises(SplitError, match="no invoice at all"):
        require_data_around([], span)
