"""Attributes of customers and items in the retail case study: age, gender and city, category and store."""

import numpy as np
import pandas as pd

from state.wording import count
from training.data import columns
from training.data.tables.case_study import AttributeTables
from training.eda import charts
from training.eda.customers import UNKNOWN, by_group
from training.eda.formatting import clipped, listed, number, share
from training.eda.sales import REVENUE, TIME, Sales
from training.report import HALF, Figure, Section, draw
from training.report.style import bars

SHOWN = 10
DECADE = 10


def customer_attribute(sales: Sales, attributes: AttributeTables, name: str) -> pd.Series:
    """An attribute of the customer of each line."""
    return sales.lines[columns.CUSTOMER_ID].map(attributes.customers.set_index("customer_id")[name])


def item_attribute(sales: Sales, attributes: AttributeTables, name: str) -> pd.Series:
    """An attribute of the item of each line."""
    return sales.lines[columns.STOCK_CODE].map(attributes.items.set_index(columns.STOCK_CODE)[name])


def ages(sales: Sales, attributes: AttributeTables) -> pd.Series:
    """Completed years of each buying customer whose birth date is known, on the last day of the sales."""
    buying = attributes.customers[attributes.customers["customer_id"].isin(sales.lines[columns.CUSTOMER_ID])]
    born = buying["birth_date"].dropna().dt
    today = sales.lines[TIME].max()
    before = (born.month > today.month) | ((born.month == today.month) & (born.day > today.day))
    years: pd.Series = today.year - born.year - before.astype("int64")
    return years


def describe_groups(table: pd.DataFrame, noun: str, plural: str) -> str:
    """Describe revenue by an attribute, as ``by_group`` returns it."""
    total = table[REVENUE].sum()
    first = (
        f"{noun.capitalize()} {table.index[0]} brings {share(table[REVENUE].iloc[0], total)} of revenue after returns"
    )
    named = table[table.index != UNKNOWN]
    if len(named) < 2:
        return f"{first}."
    last = f"{named.index[-1]} least, {share(named[REVENUE].iloc[-1], total)}"
    customers = count(table["customers"].iloc[0], "customer")
    return f"{first} with {customers}, {last}; there are {count(len(named), noun, plural)}."


def describe_ages(years: pd.Series) -> str:
    """Describe the ages of customers."""
    return (
        f"The median of {count(len(years), 'customer')} is {number(float(years.median()))} years old, the youngest "
        f"{years.min()}, the oldest {years.max()}."
    )


def describe_genders(table: pd.DataFrame) -> str:
    """Describe customers by gender."""
    total = table[REVENUE].sum()
    parts = (
        f"{name} {row['customers']:,.0f} with {share(row[REVENUE], total)} of revenue after returns"
        for name, row in table.iterrows()
    )
    return f"Customers by gender: {listed(parts)}."


def attributes_section(sales: Sales, attributes: AttributeTables) -> Section:
    """The section on attributes of customers and items."""
    blocks = [
        _groups(by_group(sales, item_attribute(sales, attributes, "category")), "category", "categories"),
        _groups(by_group(sales, item_attribute(sales, attributes, "store")), "store", "stores"),
        _groups(by_group(sales, customer_attribute(sales, attributes, "city")), "city", "cities"),
    ]
    years = ages(sales, attributes)
    if len(years):
        decades = (years // DECADE * DECADE).value_counts()
        shown = range(int(decades.index.min()), int(decades.index.max()) + 1, DECADE)
        counts = list(decades.reindex(shown, fill_value=0))
        names = [f"{start}–{start + DECADE - 1}" for start in shown]
        emphasis = int(np.argmax(counts))
        picture = draw(
            "Customers by age",
            lambda figure: charts.vertical_bars(figure, names, counts, about="years, at the end", emphasis=emphasis),
            size=HALF,
        )
        blocks.append(Figure("customers-by-age", picture, "Bar chart: customers by age.", describe_ages(years)))
    genders = by_group(sales, customer_attribute(sales, attributes, "gender"))
    return Section("Attributes of customers and items", describe_genders(genders), blocks)


def _groups(table: pd.DataFrame, noun: str, plural: str) -> Figure:
    total, shown = float(table[REVENUE].sum()), table.head(SHOWN)
    names, values = [clipped(str(name), 24) for name in shown.index], list(shown[REVENUE])
    labels = [share(value, total) for value in values]
    title = f"Revenue by {noun}, after returns" + (f", the first {SHOWN}" if len(table) > SHOWN else "")
    picture = draw(title, lambda figure: bars(figure, names, values, labels=labels), size=HALF)
    return Figure(
        f"sales-by-{noun}",
        picture,
        f"Bar chart: revenue by {noun} after returns.",
        describe_groups(table, noun, plural),
    )
