"""Baskets: their items and revenue, the gaps between them, and what customers buy again."""

from functools import partial

import numpy as np
import pandas as pd

from state.events.dates import DAY
from state.wording import count
from training.data import columns
from training.eda import charts
from training.eda.formatting import money, number, share
from training.eda.sales import BASKET, ORDER, REVENUE, TIME, Sales
from training.report import HALF, Figure, Section, draw
from training.report.style import Picture

ITEMS = "items"
CUSTOMERS = "customers"
GROUPS = ((1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 10), (11, 20), (21, 50), (51, None))
"""Groups of customers by their number of baskets, first and last number."""
MAX_ORDER = 20
"""Last basket of a customer for which the share of repeat items is shown."""
MAX_BARS = 8
"""Number of distinct values up to which each has a bar."""
MIN_BASKETS = 30
"""Number of baskets of one order from which on their mean is shown; a table with fewer shows all orders."""


def days_between_baskets(sales: Sales) -> pd.Series:
    """Days between each basket and the same customer's next one."""
    baskets = sales.baskets
    gap: pd.Series = baskets.groupby(columns.CUSTOMER_ID, sort=False)[TIME].diff().dropna().dt.total_seconds()
    return gap / DAY


def customers_by_baskets(sales: Sales) -> pd.DataFrame:
    """Customers by their number of baskets, in ``GROUPS``: ``customers``, their ``baskets`` and ``revenue``."""
    each = sales.baskets.groupby(columns.CUSTOMER_ID, sort=False).agg(baskets=(ORDER, "size"), revenue=(REVENUE, "sum"))
    rows = []
    for low, high in GROUPS:
        members = each[each["baskets"].between(low, high or np.inf)]
        name = str(low) if low == high else f"{low}–{high}" if high else f"over {low - 1}"
        rows.append((name, len(members), int(members["baskets"].sum()), float(members[REVENUE].sum())))
    return pd.DataFrame(rows, columns=["group", CUSTOMERS, "baskets", REVENUE]).set_index("group")


def repeat_share(sales: Sales) -> pd.DataFrame:
    """The mean ``share`` of a basket's items that were bought before, by its order from a customer's second basket on.

    The column ``baskets`` is the number of baskets of this order.
    """
    bought = sales.lines[[columns.CUSTOMER_ID, columns.STOCK_CODE, BASKET]].drop_duplicates()
    bought = bought.assign(order=sales.baskets[ORDER].to_numpy()[bought[BASKET].to_numpy()])
    first = bought.groupby([columns.CUSTOMER_ID, columns.STOCK_CODE], sort=False)[ORDER].transform("min")
    again = (bought[ORDER] > first).groupby(bought[BASKET]).mean()
    table = again.groupby(sales.baskets[ORDER].reindex(again.index)).agg(["mean", "size"])
    table.columns = pd.Index(["share", "baskets"])
    return table[table.index >= 2]


def orders_shown(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of ``repeat_share`` to show: up to ``MAX_ORDER``, those with ``MIN_BASKETS`` baskets if there are any."""
    table = table[table.index <= MAX_ORDER]
    enough = table["baskets"] >= MIN_BASKETS
    return table[enough] if enough.any() else table


def describe_items(sizes: pd.Series) -> str:
    """Describe the number of distinct items of baskets."""
    middle = float(sizes.median())
    return (
        f"The median basket holds {number(middle)} different {'item' if middle == 1 else 'items'}, the mean "
        f"{sizes.mean():,.1f}; {share(int((sizes == 1).sum()), len(sizes))} of {count(len(sizes), 'basket')} hold a "
        f"single one, the largest {sizes.max():,}."
    )


def describe_values(values: pd.Series) -> str:
    """Describe the revenue of baskets."""
    top = values.sort_values(ascending=False).head(max(1, round(len(values) / 10)))
    return (
        f"Before returns the median basket is worth {money(values.median())}, the mean {money(values.mean())}; the "
        "most valuable "
        f"{share(len(top), len(values))} of baskets bring {share(float(top.sum()), float(values.sum()))} of revenue."
    )


def describe_gaps(days: pd.Series) -> str:
    """Describe the gaps between baskets."""
    return (
        f"Half of the {count(len(days), 'gap')} last {number(round(float(days.median()), 1))} days or less (mean "
        f"{days.mean():,.1f}); {share(int((days < 1).sum()), len(days))} are shorter than a day, and one in ten is "
        f"{number(round(float(days.quantile(0.9)), 1))} days or longer."
    )


def describe_customers(table: pd.DataFrame) -> str:
    """Describe customers by their number of baskets."""
    customers, once = int(table[CUSTOMERS].sum()), int(table[CUSTOMERS].iloc[0])
    often = table.iloc[5:]
    sentence = f"{once:,} of {count(customers, 'customer')} ({share(once, customers)}) bought once"
    if not often[CUSTOMERS].sum():
        return f"{sentence}; nobody has more than five baskets."
    return (
        f"{sentence}; the {share(often[CUSTOMERS].sum(), customers)} with more than five baskets place "
        f"{share(often['baskets'].sum(), table['baskets'].sum())} of all baskets and bring "
        f"{share(often[REVENUE].sum(), table[REVENUE].sum())} of revenue before returns."
    )


def describe_repeats(table: pd.DataFrame) -> str:
    """Describe the share of repeat items, as ``orders_shown`` returns it."""
    first, last = table.iloc[0], table.iloc[-1]
    sentence = (
        f"In basket {table.index[0]} of a customer {share(first['share'], 1)} of the items were bought before "
        f"(mean of {count(first['baskets'], 'basket')})"
    )
    if len(table) == 1:
        return f"{sentence}."
    return f"{sentence}, in basket {table.index[-1]} {share(last['share'], 1)} (of {count(last['baskets'], 'basket')})."


def baskets_section(sales: Sales) -> Section:
    """The section on sizes of baskets."""
    sizes, values = sales.baskets[ITEMS], sales.baskets[REVENUE]
    blocks = [
        Figure(
            "items-per-basket",
            _counts("Different items per basket", sizes, ("different items", "baskets")),
            "Histogram: baskets by their number of different items.",
            describe_items(sizes),
        ),
        Figure(
            "revenue-per-basket",
            _amounts("Revenue per basket, before returns", values),
            "Histogram: baskets by their revenue before returns, on a logarithmic axis.",
            describe_values(values),
        ),
    ]
    return Section("Baskets", "", blocks)


def repeat_purchases_section(sales: Sales) -> Section:
    """The section on gaps between baskets, customers by number of baskets, and repeat items."""
    table = customers_by_baskets(sales)
    shown = table[: int(np.flatnonzero(table[CUSTOMERS])[-1]) + 1]
    picture = draw(
        "Customers by number of baskets",
        lambda figure: charts.vertical_bars(figure, list(shown.index), list(shown[CUSTOMERS]), about="baskets"),
        size=HALF,
    )
    alt = "Bar chart: customers by how many baskets they have."
    blocks = [Figure("customers-by-baskets", picture, alt, describe_customers(table))]
    title = "Coming back"
    days = days_between_baskets(sales)
    if days.empty:
        text = "No customer has a second basket, so there are no gaps between baskets and nothing is bought again."
        return Section(title, text, blocks)
    picture = _counts("Days between two baskets of a customer", days, ("days", "gaps"))
    alt = "Histogram: days between two baskets of a customer, one after the other."
    blocks.append(Figure("gaps-between-baskets", picture, alt, describe_gaps(days)))
    repeats = orders_shown(repeat_share(sales))
    orders, shares = repeats.index.to_numpy(dtype="float64"), repeats["share"].to_numpy(dtype="float64")
    picture = draw(
        "Share of items bought before",
        lambda figure: charts.curve(
            figure,
            orders,
            shares,
            about=("basket of the customer", "share of its items"),
            mark=(orders[-1], shares[-1], share(shares[-1], 1)),
            dots=True,
        ),
        size=HALF,
    )
    alt = "Line chart: share of a basket's items that its customer bought before, by the order of the basket."
    blocks.append(Figure("repeat-items", picture, alt, describe_repeats(repeats)))
    return Section(title, "", blocks)


def _counts(title: str, values: pd.Series, about: tuple[str, str]) -> Picture:
    """A histogram of numbers or days: a bar for each of few distinct ones, else up to 40 bars for 98 % of them."""
    different = values.value_counts().sort_index()
    if len(different) <= MAX_BARS and bool((values % 1 == 0).all()):
        names, bars_of = [f"{value:,.0f}" for value in different.index], list(different)
        paint = partial(charts.vertical_bars, names=names, values=bars_of, about=about[0])
        return draw(title, paint, size=HALF)
    top = max(1.0, float(np.ceil(values.quantile(0.98))))
    width = max(1.0, float(np.ceil(top / 40)))
    start = 0.0 if values.min() < 1 else 1.0
    edges = np.arange(start, top + width + 0.5, width)
    counts, _ = np.histogram(values, edges)
    beyond = int((values >= edges[-1]).sum())
    counts[-1] -= int((values == edges[-1]).sum())  # numpy counts a value at the last edge; here it is beyond
    note = f"{share(beyond, len(values))} beyond {edges[-1] - (start > 0):,.0f}" if beyond else ""
    middle = float(values.median())
    return draw(
        title,
        lambda figure: charts.histogram(figure, edges, counts, about=about, middle=middle, beyond=note),
        size=HALF,
    )


def _amounts(title: str, values: pd.Series) -> Picture:
    """A histogram of amounts: 30 bars of equal width on a logarithmic axis."""
    low, high = float(values.min()), float(values.max())
    margin = 1.1 if high > 2 * low else 2.0
    edges = np.geomspace(low / margin, high * margin, 31)
    counts, _ = np.histogram(values, edges)
    middle = float(values.median())
    return draw(
        title,
        lambda figure: charts.histogram(
            figure, edges, counts, about=("revenue before returns", "baskets"), middle=middle, log=True
        ),
        size=HALF,
    )
