"""The report of a table: sections on the rows as published, then on the sales that cleaning leaves."""

from collections.abc import Callable
from functools import partial

from state.settings import Settings
from state.wording import count
from training import progress
from training.data.cleaning.clean import CleanedLines, clean, dialect_of
from training.data.errors import NoTable
from training.data.tables.invoice_table import InvoiceTable
from training.eda.attributes import attributes_section
from training.eda.baskets import baskets_section, repeat_purchases_section
from training.eda.customers import countries_section, segments_section
from training.eda.formatting import day, money
from training.eda.items import items_section
from training.eda.product_returns import product_returns_section
from training.eda.quality import cleaning_section, quality_section, reading_section
from training.eda.sales import REVENUE, TIME, Sales, sales
from training.eda.times import times_section
from training.eda.word_clouds import words_section
from training.report import Page, Section

BYTES_A_ROW = 600
"""Memory of reading and describing a row of a large table, about."""

SALES_SECTIONS: tuple[Callable[[Sales], Section], ...] = (
    times_section,
    items_section,
    words_section,
    countries_section,
    baskets_section,
    repeat_purchases_section,
    segments_section,
    product_returns_section,
)
"""In the order of the page."""


def build_report(
    table: InvoiceTable,
    settings: Settings,
    *,
    name: str,
    clock: int | None = None,
    sample: float | None = None,
    rows: int | None = None,
) -> Page:
    """Describe a table in a page of sections.

    Args:
        table: As read.
        settings: Bounds and dialect of the cleaning.
        name: Name of the table on the page.
        clock: As in ``clean``.
        sample: The share of the customers that the table has, where it is a sample of them (``read_sample``).
        rows: Rows of the whole table.

    Returns:
        A page with every section; a section without data is one sentence. The same table and clock give the same page.

    Raises:
        NoTable: The table has no rows.
    """
    if table.frame.empty:
        raise NoTable(f"{name} has columns but no rows, so there is nothing to show. Check the file.")
    drawn: list[Callable[[Sales], Section]] = [*SALES_SECTIONS]
    if table.attributes is not None:
        drawn.append(partial(attributes_section, attributes=table.attributes))
    total = 2 + len(drawn)
    cleaned = clean(table, settings, clock=clock)
    sections = [quality_section(table, dialect_of(table, settings))]
    progress.update(1, total)
    sections.append(reading_section(cleaned.ledger))
    sections.append(cleaning_section(cleaned.ledger))
    progress.update(2, total)
    sold = sales(cleaned, table.timezone)
    if sold.lines.empty:
        sections.append(Section("Sales", _why_nothing_is_left(cleaned)))
        progress.update(total, total)
    elif not sold.lines[REVENUE].sum():
        sections.append(Section("Sales", "Everything that was sold came back, so no revenue is left after returns."))
        sections.append(product_returns_section(sold))
        progress.update(total, total)
    else:
        for done, section in enumerate(drawn, 3):
            sections.append(section(sold))
            progress.update(done, total)
    about_sample = ""
    if sample is not None and sample < 1:
        about_sample = (
            f"This is about a sample of {sample:.2g} of the customers, with all of their rows: {len(table.frame):,} of "
            f"{rows or 0:,}. "
        )
    return Page(
        f"What is in {name}",
        about_sample + _summary(cleaned, sold),
        sections,
        _facts(cleaned, sold),
        f"Made by nextbasket eda from {name}: {len(table.frame):,} rows, dialect {cleaned.ledger.dialect}, dates in "
        f"{table.timezone}. Revenue is quantity × price in the currency of the table. After returns: what came back "
        "is taken "
        "off the customer's latest earlier purchases of the item, and so off the day of the purchase.",
    )


def _summary(cleaned: CleanedLines, sold: Sales) -> str:
    if sold.lines.empty:
        return "Only the quality of the rows can be shown: no purchase of a known customer is left after cleaning."
    ledger = cleaned.ledger
    return (
        f"{count(ledger.customers, 'customer')} bought {count(ledger.items, 'item')} in "
        f"{count(ledger.purchase_invoices, 'basket')} from "
        f"{day(sold.lines[TIME].min())} to {day(sold.lines[TIME].max())}. Data quality is about the rows "
        "as published; all that follows the cleaning is about the lines it keeps, on which models are trained."
    )


def _facts(cleaned: CleanedLines, sold: Sales) -> list[tuple[str, str]]:
    ledger = cleaned.ledger
    return [
        ("rows", f"{ledger.steps[0].rows_in:,}"),
        ("purchase lines", f"{ledger.purchase_lines:,}"),
        ("baskets", f"{ledger.purchase_invoices:,}"),
        ("customers", f"{ledger.customers:,}"),
        ("items", f"{ledger.items:,}"),
        ("revenue after returns", money(float(sold.lines[REVENUE].sum()))),
    ]


def _why_nothing_is_left(cleaned: CleanedLines) -> str:
    """Why there are no sales: the rule that left out most rows."""
    most = max(cleaned.ledger.steps, key=lambda step: step.rows_in - step.rows_out)
    if cleaned.ledger.return_lines:
        return f"The table holds no purchase, only {count(cleaned.ledger.return_lines, 'returned line')}."
    if most.name == "anonymous":
        return "No row names a customer, so there are no baskets of customers, and no model can be trained."
    removed = count(most.rows_in - most.rows_out, "row")
    return f"No row is left after cleaning; the rule “{most.rule}” left out most, {removed}."
