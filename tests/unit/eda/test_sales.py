"""Every figure of the sections on sales, against what was worked out by hand for ``SHOP``."""

import numpy as np
import pandas as pd
import pytest

from state.domain.history import baskets
from state.events.invoice import THOUSAND
from state.settings import load_settings
from tests.unit.eda.shops import CUP, MUG, SHOP, TEA, line, sold
from training.data.cleaning.clean import clean
from training.data.cleaning.invoices import invoices
from training.data.simulator import simulate
from training.data.tables.invoice_table import from_frame
from training.data.walk import StateReplay
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
from training.eda.sales import REVENUE, Sales, sales
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
    assert {day.day: value for day, value in days[days > 0].items()} == {1: 20.0, 3: 5.0, 11: 20.0, 15: 45.0}  # type: ignore[attr-defined]
    assert describe_days(days) == (
        "From 1 January 2024 to 15 January 2024 there were sales on 4 of 15 days; the best was 15 January 2024 with a "
        "revenue of 45.00 after returns, 2.2 times the median day with sales (20.00)."
    )


def test_by_week_compares_whole_weeks_only(shop: Sales) -> None:
    weeks, whole = by_week(by_day(shop))
    assert list(weeks) == [25.0, 20.0, 45.0]
    assert list(whole) == [True, True, False]
    assert describe_weeks(weeks, whole) == (
        "Of 2 whole weeks the one from Monday 1 January 2024 is the best with a revenue of 25.00 after returns, that "
        "from 8 January 2024 the weakest with 20.00; the median week brings 22.50."
    )


def test_by_hour_and_weekday(shop: Sales) -> None:
    hours, weekdays = by_hour(shop), by_weekday(shop)
    assert hours[hours > 0].to_dict() == {9: 45.0, 10: 20.0, 12: 25.0}
    assert list(weekdays) == [65.0, 0.0, 5.0, 20.0, 0.0, 0.0, 0.0]
    assert describe_hours(hours) == (
        "The strongest hour is 9:00 to 10:00 with 50% of revenue after returns; all sales lie between 9:00 and 13:00."
    )
    assert describe_weekdays(weekdays) == (
        "Monday brings most: 72% of revenue after returns; there are no sales on Tuesday, Friday, Saturday and Sunday."
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
        "mug": {"units": 3.0, "revenue": 15.0, "baskets": 2},
        "tea": {"units": 15.0, "revenue": 15.0, "baskets": 2},
    }
    assert list(best_sellers(table, "baskets").index) == ["cup", "mug", "tea"]
    revenue, units, baskets = MEASURES
    assert describe_best(table, revenue, 5) == (
        "red cup (cup) leads with 60 (67% of all revenue after returns), of 3 items."
    )
    assert describe_best(table, units, 5) == (
        "Green tea (tea) leads with 15 (71% of all units after returns), of 3 items."
    )
    assert describe_best(table, baskets, 5) == "red cup (cup) is in most baskets after returns: 2 of 5 (40%)."


def test_what_came_back_whole_is_no_best_seller_and_makes_no_best_day() -> None:
    """A large order of cups is cancelled two days later; the best day and item are those of what stayed sold."""
    cancelled = sold(
        *SHOP, line("7", "2024-01-04T10:00", "B", CUP, 9_000), line("8", "2024-01-06T10:00", "B", CUP, -9_000)
    )
    assert by_day(cancelled).max() == 45.0
    assert describe_days(by_day(cancelled)).startswith(
        "From 1 January 2024 to 15 January 2024 there were sales on 4 of 15 days; the best was 15 January 2024"
    )
    assert items(cancelled)[["units", "revenue", "baskets"]].to_numpy().tolist()[0] == [3.0, 60.0, 2]
    assert float(cancelled.lines["sold_revenue"].sum()) == 180_095.0


def test_an_item_that_came_back_whole_is_last_and_counted() -> None:
    lamp = ("lamp", "lamp", 500.0)
    shop = sold(*SHOP, line("7", "2024-01-04", "B", lamp, 2), line("8", "2024-01-06", "B", lamp, -2))
    assert items(shop)[["units", "revenue", "baskets"]].to_dict("index")["lamp"] == {
        "units": 0.0,
        "revenue": 0.0,
        "baskets": 0,
    }
    assert list(best_sellers(items(shop), "revenue").index) == ["cup", "mug", "tea", "lamp"]


def test_a_return_reduces_the_latest_purchase_before_it_and_no_other_customers() -> None:
    rows = (
        line("1", "2024-01-01", "A", MUG, 3),
        line("2", "2024-01-05", "A", MUG, 2),
        line("3", "2024-01-06", "A", MUG, -4),
        line("4", "2024-01-07", "A", MUG, 5),
        line("5", "2024-01-01", "B", MUG, 7),
        line("6", "2024-01-02", "B", TEA, -7),  # of tea that the table does not sell
    )
    lines = sold(*rows).lines
    assert lines["units"].tolist() == [1.0, 0.0, 5.0, 7.0]
    assert lines["revenue"].tolist() == [5.0, 0.0, 25.0, 35.0]
    assert lines["sold_units"].tolist() == [3.0, 2.0, 5.0, 7.0]


def test_returns_are_taken_off_as_in_histories() -> None:
    """After every invoice of a simulated shop, the units of each customer and item are those of the histories."""
    cleaned = clean(from_frame(simulate(customers=80, items=60, days=200, seed=3)), load_settings({}))
    lines = sales(cleaned, "UTC").lines
    replay = StateReplay(10_000)
    for invoice in invoices(cleaned):
        replay.apply(invoice)
    expected: dict[tuple[str, str], int] = {}
    for history in replay.histories.values():
        for basket in baskets(history):
            for code, quantity in basket.items.items():
                key = history.customer_id, code
                expected[key] = expected.get(key, 0) + quantity
    found = (lines.groupby(["customer_id", "stock_code"], observed=True)["units"].sum() * THOUSAND).round().astype(int)
    assert found[found > 0].to_dict() == expected
    assert (lines["units"] < lines["sold_units"]).sum() > 20


def test_concentration(shop: Sales) -> None:
    table = items(shop)
    shares, together = concentration(table)
    np.testing.assert_allclose(shares, [0, 1 / 3, 2 / 3, 1])
    np.testing.assert_allclose(together, [0, 60 / 90, 75 / 90, 1])
    assert items_for_revenue_share(table) == 2
    assert items_for_revenue_share(table, 75 / 90) == 2
    assert describe_concentration(table) == (
        "2 of 3 items (67%) bring 80% of revenue after returns; 0 items sold in a single basket only."
    )


def test_words_count_once_a_description(shop: Sales) -> None:
    table = words(shop)
    assert table.to_dict("index") == {
        "red": {"lines": 5, "revenue": 75.0},
        "mug": {"lines": 3, "revenue": 15.0},
        "cup": {"lines": 2, "revenue": 60.0},
        "green": {"lines": 2, "revenue": 15.0},
        "tea": {"lines": 2, "revenue": 15.0},
    }
    assert describe_words(table, LINES, 7) == (
        "Of 5 words “red” weighs most: 71% of lines are of items with it, ahead of “mug”, “cup” and “green”."
    )
    assert describe_words(table, REVENUE, 90) == (
        "Of 5 words “red” weighs most: 83% of revenue after returns is of items with it, ahead of “cup”, “mug” and "
        "“green”."
    )


def test_countries(shop: Sales) -> None:
    table = by_country(shop)
    assert table.to_dict("index") == {
        "France": {"revenue": 45.0, "customers": 1},
        "(not given)": {"revenue": 40.0, "customers": 1},
        "Spain": {"revenue": 5.0, "customers": 1},
    }
    assert describe_countries(table) == (
        "France brings 50% of revenue after returns with 1 customer, ahead of (not given) with 44%; the table names "
        "2 countries."
    )
    assert describe_abroad(table) == (
        "Revenue after returns outside France is 45.00; most per customer has (not given), 40.00 from 1 customer."
    )


def test_sizes_of_baskets(shop: Sales) -> None:
    assert describe_items(shop.baskets["items"]) == (
        "The median basket holds 1 different item, the mean 1.4; 60% of 5 baskets hold a single one, the largest 2."
    )
    assert describe_values(shop.baskets["revenue"]) == (
        "Before returns the median basket is worth 20.00, the mean 19.00; the most valuable 20% of baskets bring 42% "
        "of "
        "revenue."
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
        "59% of revenue before returns."
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
    assert describe_segments(found) == (
        "The segment “best” has 33% of customers and brings 53% of revenue before returns."
    )
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
        "Within 2 K-means clusters of customers by recency, frequency, revenue before returns and variety (distinct "
        "items) 50% of the "
        "variance is left, within the 6 that the hybrid model distinguishes 21%, within 7 20%: after the bend of the "
        "line more clusters add little."
    )


def test_returns(shop: Sales) -> None:
    months = by_month(shop)
    assert months.to_numpy().tolist() == [[95.0, 0.0], [0.0, 5.0]]
    assert describe_months(shop, months) == (
        "1 line took back goods for 5.00, 5.3% of revenue before returns, from 1 of 3 customers; most in February "
        "2024, 5.00."
    )
    table = returned_items(shop)
    assert table.to_dict("index") == {"mug": {"item": "red MUG", "revenue": 5.0, "units": 1.0, "sold": 4.0}}
    assert describe_returned(table) == "red MUG (mug) came back for 5.00: 1 unit of 4 sold."
