"""Assumptions: their text, and the sum over the parts of a table."""

from training.data.assumption import Assumption, Reading, merge_assumptions

DAY_FIRST = Assumption("column Date", "dates are read day first", "give --date-format mdy", "21-07-2015", 1_200)
SHEET = Assumption("sheet 'b' of t.xlsx", "it is left out, as it lacks columns", "name its columns")


def test_an_assumption_names_where_what_and_the_cure() -> None:
    assert Reading("plain", "UTC", (DAY_FIRST, SHEET)).lines() == [
        "How this table was read: dialect plain, zone UTC.",
        "- column Date: dates are read day first, for example 21-07-2015 (1,200 rows). "
        "Otherwise: give --date-format mdy.",
        "- sheet 'b' of t.xlsx: it is left out, as it lacks columns. Otherwise: name its columns.",
    ]
    assert DAY_FIRST.cells() == [
        "column Date",
        "dates are read day first, for example 21-07-2015",
        "give --date-format mdy",
        "1,200",
    ]
    assert SHEET.cells()[3] == "all"


def test_equal_assumptions_of_parts_are_one_with_the_rows_of_all() -> None:
    other = Assumption("column Date", "dates are read day first", "give --date-format mdy", "31-07-2015", 3)

    merged = merge_assumptions([DAY_FIRST, SHEET, other, SHEET])

    assert [each.rows for each in merged] == [1_203, None]
    assert merged[0].example == "21-07-2015"
