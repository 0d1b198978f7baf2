"""The whole report: its sections, the same bytes for the same table, and tables that lack something."""

from typing import Any

import pandas as pd
import pytest

from state.settings import load_settings
from tests.unit.eda.shops import MUG, SHOP, TEA, line, sold, table
from training.data.errors import NoTable
from training.data.tables.invoice_table import from_frame
from training.eda import build_report
from training.eda.baskets import repeat_purchases_section
from training.eda.customers import countries_section, segments_section
from training.eda.items import items_section
from training.eda.product_returns import product_returns_section
from training.eda.report import SALES_SECTIONS
from training.eda.times import times_section
from training.eda.word_clouds import words_section
from training.progress import RecordedProgress, shown_by
from training.report import Page, Section, Table, render

ONE = line("1", "2024-01-01T10:00", "A", MUG, 2)


def report(*rows: dict[str, Any]) -> Page:
    return build_report(table(*rows), load_settings({}), name="shop.csv")


@pytest.fixture(scope="module")
def page() -> Page:
    return report(*SHOP)


def test_every_section_has_its_pictures(page: Page) -> None:
    assert {
        section.title: [figure.name for figure in Page("", "", [section]).figures()] for section in page.sections
    } == {
        "Data quality": ["data-quality"],
        "How this table was read": [],
        "Cleaning": [],
        "Sales over time": ["sales-by-day", "sales-by-week", "sales-by-hour", "sales-by-weekday"],
        "Best sellers": [
            "best-sellers-revenue",
            "best-sellers-units",
            "best-sellers-baskets",
            "revenue-concentration",
        ],
        "Words of descriptions": ["words-by-count", "words-by-revenue"],
        "Countries": ["sales-by-country", "sales-abroad"],
        "Baskets": ["items-per-basket", "revenue-per-basket"],
        "Coming back": ["customers-by-baskets", "gaps-between-baskets", "repeat-items"],
        "Customer segments": ["segments", "recency-and-frequency"],
        "Returns": ["returns-by-month", "returned-items"],
    }
    assert all(figure.sentence.endswith(".") and figure.alt.endswith(".") for figure in page.figures())


def test_facts(page: Page) -> None:
    assert dict(page.facts) == {
        "rows": "8",
        "purchase lines": "7",
        "baskets": "5",
        "customers": "3",
        "items": "3",
        "revenue after returns": "90.00",
    }


def test_the_same_table_gives_the_same_bytes(page: Page) -> None:
    assert render(report(*SHOP)) == render(page)


def test_a_report_of_one_row() -> None:
    """One invoice, one customer, one day; the customer does not come back, and nothing is returned."""
    with shown_by(RecordedProgress()) as shown:
        sections = {section.title: section for section in report(ONE).sections}
    assert shown.updates == [(done, 10, "") for done in range(1, 11)]
    assert len(sections) == 3 + len(SALES_SECTIONS)
    assert all(section.text or section.blocks for section in sections.values())
    assert "None of the" in sections["Data quality"].text
    assert sections["Cleaning"].text.endswith("Cleaning keeps all 1 row.")
    assert sections["Sales over time"].text == (
        "All sales are of one day, 1 January 2024, with a revenue of 10.00 after returns."
    )
    assert sections["Coming back"].text.startswith("No customer has a second basket")
    assert sections["Returns"].text.startswith("Nothing was returned")


def _names(section: Section) -> list[str]:
    return [figure.name for figure in Page("", "", [section]).figures()]


def test_without_customers_only_quality_is_shown() -> None:
    page = report(*({**row, "customer_id": None} for row in SHOP))
    assert [section.title for section in page.sections] == [
        "Data quality",
        "How this table was read",
        "Cleaning",
        "Sales",
    ]
    assert page.sections[-1].text.startswith("No row names a customer")
    assert "no purchase of a known customer is left" in page.lead
    assert "No row names a customer" in render(page)


def test_a_table_of_returns_only() -> None:
    assert report(line("1", "2024-01-01T10:00", "A", MUG, -2)).sections[-1].text == (
        "The table holds no purchase, only 1 returned line."
    )


def test_a_shop_to_which_everything_came_back() -> None:
    back = line("2", "2024-01-02T10:00", "A", MUG, -2)
    *_, sales, returns = report(ONE, back).sections
    assert sales.text == "Everything that was sold came back, so no revenue is left after returns."
    assert _names(returns) == ["returns-by-month", "returned-items"]


def test_every_figure_of_revenue_is_named_before_or_after_returns(page: Page) -> None:
    for figure in page.figures():
        for text in (figure.alt, figure.sentence):
            if "revenue" in text.lower():
                assert "after returns" in text or "before returns" in text.lower(), text


def test_an_empty_result_names_the_strictest_rule() -> None:
    assert report({**ONE, "unit_price": 0}).sections[-1].text == (
        "No row is left after cleaning; the rule “price is not 0” left out most, 1 row."
    )


def test_a_table_without_rows_is_refused() -> None:
    with pytest.raises(NoTable, match=r"shop\.csv has columns but no rows"):
        report()


def test_without_countries() -> None:
    section = countries_section(sold(*({**row, "country": None} for row in SHOP)))
    assert section.text == "The table names no country."
    assert not section.blocks


def test_one_country() -> None:
    (figure,) = Page("", "", [countries_section(sold(ONE))]).figures()
    assert figure.sentence == "All sales are in France."


def test_the_elbow_is_drawn_of_more_customers_than_there_are_clusters() -> None:
    rows = [line(str(n), f"2024-01-{n:02d}T10:00", str(n), MUG, n) for n in range(1, 8)]
    assert _names(segments_section(sold(*rows))) == ["segments", "recency-and-frequency", "clusters"]
    assert _names(segments_section(sold(*rows[:6]))) == ["segments", "recency-and-frequency"]


def test_without_descriptions() -> None:
    section = words_section(sold(*({**row, "description": None, "stock_code": "7"} for row in SHOP)))
    assert section.text == "No item has a description with a word of three letters or more."


def test_days_without_hours() -> None:
    section = times_section(sold(line("1", "2024-01-01", "A", MUG, 1), line("2", "2024-01-02", "A", MUG, 1)))
    assert _names(section) == ["sales-by-day", "sales-by-weekday"]
    assert section.text == "Every sale is dated at midnight, so there are no sales by hour."


def test_a_return_of_an_item_that_was_never_sold() -> None:
    section = product_returns_section(sold(ONE, line("2", "2024-03-01", "A", TEA, -4)))
    assert [figure.sentence for figure in Page("", "", [section]).figures()] == [
        "1 line took back goods for 4.00, 40% of revenue before returns, from 1 of 1 customer; most in March 2024, "
        "4.00.",
        "Green tea (tea) came back for 4.00: 4 units, of which the table holds no sale.",
    ]


def test_coming_back_on_the_same_day() -> None:
    rows = (ONE, line("2", "2024-01-01T10:00", "A", MUG, 1))
    assert _names(repeat_purchases_section(sold(*rows))) == [
        "customers-by-baskets",
        "gaps-between-baskets",
        "repeat-items",
    ]


def test_markup_in_descriptions_is_text() -> None:
    hostile = ("mug", "<img src=x onerror=alert(1)> $5 ^_{", 5.0)
    sales = sold(line("1", "2024-01-01T10:00", "A", hostile, 2))
    html = render(Page("", "", [items_section(sales), words_section(sales)]))
    assert "<img src=x" not in html
    assert "&lt;img src=x" in html


def test_a_table_without_stock_codes_is_not_reported_as_one_with_good_ones() -> None:
    rows = pd.DataFrame({"user_id": ["7", "8"], "date": ["2011-03-14", "2011-03-15"], "item": ["MUG", "BOWL"]})

    quality, reading, *_ = build_report(from_frame(rows), load_settings({}), name="shop.csv").sections

    assert quality.text.endswith("There are no stock codes: descriptions name items.")
    assert "no stock code" not in str(quality.blocks)
    assert ["stock code", "there is none: the description names the item", "name a column stock_code", "all"] in (
        reading.blocks[0].rows if isinstance(reading.blocks[0], Table) else []
    )
