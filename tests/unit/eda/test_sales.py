"""Every figure of the sections on sales, against what was worked out by hand for ``SHOP``."""

import numpy as np
import pandas as pd
import pytest

from tests.unit.eda.shops import MUG, SHOP, line, sold
from training.eda.baskets import (
    customers_by_baskets,
    days_between_baskets,
    describe_customers,
    describe_gaps,
    describe_items,
    describe_repeats,
    describe_values,
    orders_shown,
    repeat_share,
)
from training.eda.customers import (
    by_country,
    clusters,
    describe_abroad,
    describe_clusters,
    describe_countries,
    describe_matrix,
    describe_segments,
    rfm,
    scores,
    segments,
)
from training.eda.items import (
    MEASURES,
    best_sellers,
    concentration,
    describe_best,
    describe_concentration,
    items,
    items_for_revenue_share,
)
from training.eda.product_returns import by_month, describe_months, returned_items
from training.eda.product_returns import describe_items as describe_returned
from training.eda.sales import REVENUE, Sales
from training.eda.times import (
    by_day,
    by_hour,
    by_week,
    by_weekday,
    describe_days,
    describe_hours,
    describe_weekdays,
    describe_weeks,
)
from training.eda.word_clouds import LINES, describe_words, words


@pytest.fixture(scope="module")
def shop() -> Sales:
    return sold(*SHOP)


def test_baskets(shop: Sales) -> None:
    assert shop.baskets[["customer_id", "invoice_no", "order", "items", "units", "revenue"]].to_numpy().tolist() == [
        ["A", "1", 1, 2, 12.0, 20.0],
        ["A", "3", 2, 2, 2.0, 25.0],
        ["A", "4", 3, 1, 5.0, 5.0],
        ["B", "2", 1, 1, 1.0, 5.0],
        ["C", "5", 1, 1, 2.0, 40.0],
    ]
    assert shop.baskets.loc[shop.lines["basket"], "customer_id"].tolist() == shop.lines["customer_id"].tolist()
    assert shop.returns[["stock_code", "units", "revenue"]].to_numpy().tolist() == [["mug", 1.0, 5.0]]


def test_an_item_without_a_description_has_its_code_as_name() -> None:
    assert sold(line("1", "2024-01-01T10:00", "A", ("mug", None, 5.0), 2)).lines["item"].tolist() == ["mug"]


def test_by_day_has_every_day(shop: Sales) -> None:
    days = by_day(shop)
    assert len(days) == 15
    assert {day.day: value for day, value in days[days > 0].items()} == {1: 20.0, 3: 5.0, 11: 25.0, 15: 45.0}  # type: ignore[attr-defined]
    assert describe_days(days) == (
        "From 1 January 2024 to 15 January 2024 there were sales on 4 of 15 days; the best was 15 January 2024 with a "
        "revenue of 45.00, 2.0 times the median day with sales (22.50)."
    )


def test_by_week_compares_whole_weeks_only(shop: Sales) -> None:
    weeks, whole = by_week(by_day(shop))
    assert list(weeks) == [25.0, 25.0, 45.0]
    assert list(whole) == [True, True, False]
    assert describe_weeks(weeks, whole) == (
        "Of 2 whole weeks the one from Monday 1 January 2024 is the best with a revenue of 25.00, that from 1 January "
        "2024 the weakest with 25.00; the median week brings 25.00."
    )


def test_by_hour_and_weekday(shop: Sales) -> None:
    hours, weekdays = by_hour(shop), by_weekday(shop)
    assert hours[hours > 0].to_dict() == {9: 45.0, 10: 20.0, 12: 30.0}
    assert list(weekdays) == [65.0, 0.0, 5.0, 25.0, 0.0, 0.0, 0.0]
    assert describe_hours(hours) == (
        "The strongest hour is 9:00 to 10:00 with 47% of revenue; all sales lie between 9:00 and 13:00."
    )
    assert describe_weekdays(weekdays) == (
        "Monday brings most: 68% of revenue; there are no sales on Tuesday, Friday, Saturday and Sunday."
    )


def test_hours_are_in_the_time_zone() -> None:
    """Of a date without a zone the hour is as written, of one with a zone it is as the clock there shows it."""
    rows = (line("1", "2024-07-01T10:00", "A", MUG, 1), line("2", "2024-07-01T10:00Z", "A", MUG, 1))
    hours = by_hour(sold(*rows, timezone="Europe/Athens"))
    assert hours[hours > 0].to_dict() == {10: 5.0, 13: 5.0}


def test_best_sellers(shop: Sales) -> None:
    table = items(shop)
    assert table[["units", "revenue", "baskets"]].to_dict("index") == {
        "cup": {"units": 3.0, "revenue": 60.0, "baskets": 2},
        "mug": {"units": 4.0, "revenue": 20.0, "baskets": 3},
        "tea": {"units": 15.0, "revenue": 15.0, "baskets": 2},
    }
    assert list(best_sellers(table, "baskets").index) == ["mug", "cup", "tea"]
    revenue, units, baskets = MEASURES
    assert describe_best(table, revenue, 5) == "red cup (cup) leads with 60 (63% of all revenue), of 3 items."
    assert describe_best(table, units, 5) == "Green tea (tea) leads with 15 (68% of all units), of 3 items."
    assert describe_best(table, baskets, 5) == "red MUG (mug) is in most baskets: 3 of 5 (60%)."


def test_concentration(shop: Sales) -> None:
    table = items(shop)
    shares, together = concentration(table)
    np.testing.assert_allclose(shares, [0, 1 / 3, 2 / 3, 1])
    np.testing.assert_allclose(together, [0, 60 / 95, 80 / 95, 1])
    assert items_for_revenue_share(table) == 2
    assert items_for_revenue_share(table, 80 / 95) == 2
    assert describe_concentration(table) == (
        "2 of 3 items (67%) bring 80% of revenue; 0 items stood in a single basket only."
    )


def test_words_count_once_a_description(shop: Sales) -> None:
    table = words(shop)
    assert table.to_dict("index") == {
        "red": {"lines": 5, "revenue": 80.0},
        "mug": {"lines": 3, "revenue": 20.0},
        "cup": {"lines": 2, "revenue": 60.0},
        "green": {"lines": 2, "revenue": 15.0},
        "tea": {"lines": 2, "revenue": 15.0},
    }
    assert describe_words(table, LINES, 7) == (
        "Of 5 words “red” weighs most: 71% of lines are of items with it, ahead of “mug”, “cup” and “green”."
    )
    assert describe_words(table, REVENUE, 95) == (
        "Of 5 words “red” weighs most: 84% of revenue is of items with it, ahead of “cup”, “mug” and “green”."
    )


def test_countries(shop: Sales) -> None:
    table = by_country(shop)
    assert table.to_dict("index") == {
        "France": {"revenue": 50.0, "customers": 1},
        "(not given)": {"revenue": 40.0, "customers": 1},
        "Spain": {"revenue": 5.0, "customers": 1},
    }
    assert describe_countries(table) == (
        "France brings 53% of revenue with 1 customer, ahead of (not given) with 42%; the table names 2 countries."
    )
    assert describe_abroad(table) == (
        "Revenue outside France is 45.00; most per customer has (not given), 40.00 from 1 customer."
    )


def test_sizes_of_baskets(shop: Sales) -> None:
    assert describe_items(shop.baskets["items"]) == (
        "The median basket holds 1 different item, the mean 1.4; 60% of 5 baskets hold a single one, the largest 2."
    )
    assert describe_values(shop.baskets["revenue"]) == (
        "The median basket is worth 20.00, the mean 19.00; the most valuable 20% of baskets bring 42% of revenue."
    )


def test_gaps(shop: Sales) -> None:
    days = days_between_baskets(shop)
    assert list(days) == pytest.approx([10 + 2 / 24, 3 + 21 / 24])
    assert describe_gaps(days) == (
        "Half of the 2 gaps last 7 days or less (mean 7.0); 0% are shorter than a day, and one in ten is 9.5 days or "
        "longer."
    )


def test_customers_by_baskets(shop: Sales) -> None:
    table = customers_by_baskets(shop)
    assert table[table["customers"] > 0].to_dict("index") == {
        "1": {"customers": 2, "baskets": 2, "revenue": 45.0},
        "3": {"customers": 1, "baskets": 3, "revenue": 50.0},
    }
    assert describe_customers(table) == "2 of 3 customers (67%) bought once; nobody has more than five baskets."
    often = sold(*SHOP, *(line(f"9{day}", f"2024-01-2{day}T10:00", "A", MUG, 1) for day in range(3)))
    assert describe_customers(customers_by_baskets(often)) == (
        "2 of 3 customers (67%) bought once; the 33% with more than five baskets place 75% of all baskets and bring "
        "59% of revenue."
    )


def test_repeat_share(shop: Sales) -> None:
    """Basket 2 has the mug again and a new cup, basket 3 only the tea again."""
    table = repeat_share(shop)
    assert table.to_dict("index") == {2: {"share": 0.5, "baskets": 1}, 3: {"share": 1.0, "baskets": 1}}
    assert describe_repeats(orders_shown(table)) == (
        "In basket 2 of a customer 50% of the items were bought before (mean of 1 basket), in basket 3 100% (of 1 "
        "basket)."
    )


def test_orders_with_few_baskets_are_not_shown() -> None:
    table = pd.DataFrame({"share": [0.1, 0.2, 0.3], "baskets": [40, 30, 29]}, index=[2, 3, 4])
    assert list(orders_shown(table).index) == [2, 3]


def test_scores_are_fifths_and_equal_for_equal_values() -> None:
    assert list(scores(pd.Series(range(10)))) == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert list(scores(pd.Series([1, 1, 1, 1, 1, 1, 1, 1, 2, 3]))) == [1, 1, 1, 1, 1, 1, 1, 1, 5, 5]
    assert list(scores(pd.Series([7]))) == [1]


def test_segments(shop: Sales) -> None:
    table = rfm(shop)
    assert table[["recency", "frequency", "revenue", "r", "f", "segment"]].to_dict("index") == {
        "A": {"recency": 0, "frequency": 3, "revenue": 50.0, "r": 5, "f": 5, "segment": "best"},
        "B": {"recency": 12, "frequency": 1, "revenue": 5.0, "r": 1, "f": 1, "segment": "lapsed"},
        "C": {"recency": 0, "frequency": 1, "revenue": 40.0, "r": 5, "f": 1, "segment": "recent"},
    }
    found = segments(table)
    assert list(found.index) == ["best", "recent", "lapsed"]
    assert describe_segments(found) == "The segment “best” has 33% of customers and brings 53% of revenue."
    assert describe_matrix(table) == (
        "The highest scores by both recency and frequency have 1 of 3 customers (33%), the lowest by both 1 (33%)."
    )


def test_clusters(shop: Sales) -> None:
    """A and C bought on the last day: of the three, B is one cluster of two, and each is one of three."""
    left = clusters(shop, rfm(shop))
    assert len(left) == 3
    assert left[0] == 1.0
    assert 0.0 < left[1] < 1.0
    assert left[2] == pytest.approx(0.0, abs=1e-6)
    assert describe_clusters([1.0, 0.5, 0.4, 0.3, 0.26, 0.21, 0.2]) == (
        "Within 2 K-means clusters of customers by recency, frequency, revenue and variety (distinct items) 50% of the "
        "variance is left, within the 6 that the hybrid model distinguishes 21%, within 7 20%: after the bend of the "
        "line more clusters add little."
    )


def test_returns(shop: Sales) -> None:
    months = by_month(shop)
    assert months.to_numpy().tolist() == [[95.0, 0.0], [0.0, 5.0]]
    assert describe_months(shop, months) == (
        "1 line took back goods for 5.00, 5.3% of revenue, from 1 of 3 customers; most in February 2024, 5.00."
    )
    table = returned_items(shop)
    assert table.to_dict("index") == {"mug": {"item": "red MUG", "revenue": 5.0, "units": 1.0, "sold": 4.0}}
    assert describe_returned(table) == "red MUG (mug) came back for 5.00: 1 unit of 4 sold."
