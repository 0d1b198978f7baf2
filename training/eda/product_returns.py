"""Product returns: lines taken back, by month and by item (not the return of a customer to the shop)."""

import pandas as pd

from state.wording import count
from training.data import columns
from training.eda import charts
from training.eda.formatting import clipped, money, share
from training.eda.sales import ITEM, REVENUE, SOLD_REVENUE, SOLD_UNITS, TIME, UNITS, Sales
from training.report import HALF, Figure, Section, draw
from training.report.style import bars, short

SHOWN = 10


def by_month(sales: Sales) -> pd.DataFrame:
    """Revenue ``sold``, before returns, and ``returned`` by month, from the first sale or return to the last."""
    sold, returned = (
        each.groupby(each[TIME].dt.to_period("M"))[column].sum()
        for each, column in ((sales.lines, SOLD_REVENUE), (sales.returns, REVENUE))
    )
    both = sold.index.union(returned.index)
    months = pd.period_range(both.min(), both.max(), freq="M")
    return pd.DataFrame(
        {"sold": sold.reindex(months, fill_value=0.0), "returned": returned.reindex(months, fill_value=0.0)}
    )


def returned_items(sales: Sales) -> pd.DataFrame:
    """One row a returned stock code, most returned ``revenue`` first.

    Columns are ``item``, returned ``revenue`` and ``units``, and units ``sold``.
    """
    groups = sales.returns.groupby(columns.STOCK_CODE, sort=True)
    table = groups.agg(item=(ITEM, "first"), revenue=(REVENUE, "sum"), units=(UNITS, "sum"))
    sold = sales.lines.groupby(columns.STOCK_CODE, sort=True)[SOLD_UNITS].sum()
    table["sold"] = sold.reindex(table.index, fill_value=0.0)
    return table.astype({ITEM: "object"}).sort_values(REVENUE, ascending=False, kind="stable")


def describe_months(sales: Sales, months: pd.DataFrame) -> str:
    """Describe returns by month."""
    back, sold = float(sales.returns[REVENUE].sum()), float(sales.lines[SOLD_REVENUE].sum())
    returning = set(sales.returns[columns.CUSTOMER_ID])
    everybody = returning | set(sales.lines[columns.CUSTOMER_ID])
    sentence = (
        f"{count(len(sales.returns), 'line')} took back goods for {money(back)}, {share(back, sold)} of revenue "
        "before returns, from "
        f"{len(returning):,} of {count(len(everybody), 'customer')}"
    )
    if len(months) < 2:
        return f"{sentence}."
    worst = months.index[int(months["returned"].to_numpy().argmax())]
    return f"{sentence}; most in {worst.strftime('%B %Y')}, {money(months['returned'].max())}."


def describe_items(table: pd.DataFrame) -> str:
    """Describe the most returned items."""
    first = table.iloc[0]
    sentence = f"{first[ITEM]} ({table.index[0]}) came back for {money(first[REVENUE])}: {_units(float(first[UNITS]))}"
    sentence += f" of {short(first['sold'])} sold" if first["sold"] else ", of which the table holds no sale"
    shown = min(len(table), SHOWN)
    if shown < 2:
        return f"{sentence}."
    cumulative = share(float(table[REVENUE].head(shown).sum()), float(table[REVENUE].sum()))
    return (
        f"{sentence}; the first {shown} of {count(len(table), 'returned item')} make up {cumulative} of what came back."
    )


def _units(number: float) -> str:
    return f"{short(number)} unit{'' if number == 1 else 's'}"


def product_returns_section(sales: Sales) -> Section:
    """The section on product returns of known customers."""
    title = "Returns"
    if sales.returns.empty:
        return Section(title, "Nothing was returned: no line that counts has a quantity below 0.")
    months, table = by_month(sales), returned_items(sales)
    best = table.head(SHOWN)
    shares = [back / sold if sold else 0.0 for sold, back in months.itertuples(index=False)]
    labels = [share(back, sold) if sold or not back else "no sales" for sold, back in months.itertuples(index=False)]
    monthly = draw(
        "Returns as a share of revenue before returns, by month",
        lambda figure: charts.vertical_bars(
            figure,
            [_month(month, index == 0, len(months) <= 36) for index, month in enumerate(months.index)],
            shares,
            labels=labels,
            max_labels=28,
            shares=True,
        ),
    )
    ranked = draw(
        "Most returned items, by their price",
        lambda figure: bars(figure, [clipped(name) for name in best[ITEM]], list(best[REVENUE])),
        size=HALF,
    )
    return Section(
        title,
        "Returns of customers who are known, as they are after cleaning. A return reduces the customer's earlier "
        "purchases of the item, the latest first; one of an item that the table does not sell before reduces nothing.",
        [
            Figure(
                "returns-by-month",
                monthly,
                "Bar chart: returns as a share of revenue before returns, by month.",
                describe_months(sales, months),
            ),
            Figure("returned-items", ranked, "Bar chart: most returned items.", describe_items(table)),
        ],
    )


def _month(month: pd.Period, first: bool, room: bool) -> str:
    """``Jan``, with the year below for January and the first month; without room only January."""
    if month.month == 1 or (first and room):
        return f"{month.strftime('%b')}\n{month.year}"
    return month.strftime("%b") if room else ""
