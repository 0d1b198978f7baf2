"""Customers: their countries, and their segments by recency, frequency and revenue."""

import numpy as np
import pandas as pd

from state.events.dates import DAY
from state.wording import count
from training.data import columns
from training.eda import charts
from training.eda.formatting import clipped, money, number, share
from training.eda.sales import ORDER, REVENUE, TIME, Sales
from training.features.customer_clusters import CLUSTERS, elbow_curve
from training.report import HALF, Figure, Section, Table, draw
from training.report.style import bars

SHOWN = 10
UNKNOWN = "(not given)"
SCORES = 5

SEGMENTS = {
    "best": "bought recently and often",
    "loyal": "buy regularly",
    "recent": "bought recently, but seldom so far",
    "occasional": "seldom, last some time ago",
    "at risk": "bought often, but not recently",
    "lapsed": "seldom, and long ago",
}
"""Segments, and how their customers buy."""


def by_country(sales: Sales) -> pd.DataFrame:
    """One row a country, as ``by_group`` returns it."""
    return by_group(sales, sales.lines[columns.COUNTRY])


def by_group(sales: Sales, groups: pd.Series) -> pd.DataFrame:
    """One row a group of lines, most ``revenue`` first, with its ``customers``.

    Args:
        sales: The lines.
        groups: The name of the group of each line; lines that have none are ``(not given)``.
    """
    found = sales.lines.groupby(groups.fillna(UNKNOWN).rename("group"), sort=True)
    table = found.agg(revenue=(REVENUE, "sum"), customers=(columns.CUSTOMER_ID, "nunique"))
    return table.sort_values(REVENUE, ascending=False, kind="stable")


def describe_countries(table: pd.DataFrame) -> str:
    """Describe revenue by country."""
    if len(table) == 1:
        return f"All sales are in {table.index[0]}."
    total = table[REVENUE].sum()
    first, second = table.iloc[0], table.iloc[1]
    named = len(table) - (UNKNOWN in table.index)
    return (
        f"{table.index[0]} brings {share(first[REVENUE], total)} of revenue after returns with "
        f"{count(first['customers'], 'customer')}, ahead of {table.index[1]} with {share(second[REVENUE], total)}; the "
        f"table names {count(named, 'country', 'countries')}."
    )


def describe_abroad(table: pd.DataFrame) -> str:
    """Describe revenue by country without the first."""
    rest = table.iloc[1:]
    per = rest[REVENUE] / rest["customers"]
    best = int(per.to_numpy().argmax())
    return (
        f"Revenue after returns outside {table.index[0]} is {money(rest[REVENUE].sum())}; most per customer has "
        f"{rest.index[best]}, "
        f"{money(per.iloc[best])} from {count(rest['customers'].iloc[best], 'customer')}."
    )


def rfm(sales: Sales) -> pd.DataFrame:
    """One row a customer: recency, frequency and revenue, their scores, and the segment.

    Columns are ``recency`` (whole days from the last basket to the last day of the table), ``frequency`` (baskets),
    ``revenue``, their scores ``r``, ``f``, ``m`` and the ``segment``. Scores are fifths, 5 the best, and
    equal values have equal ones (after Hughes, Strategic Database Marketing, 1994); the segment follows from ``r`` and
    ``f``.
    """
    groups = sales.baskets.groupby(columns.CUSTOMER_ID, sort=True)
    table = groups.agg(last=(TIME, "max"), frequency=(ORDER, "size"), revenue=(REVENUE, "sum"))
    today = sales.baskets[TIME].max().floor("D")
    table["recency"] = ((today - table.pop("last").dt.floor("D")).dt.total_seconds() // DAY).astype("int64")
    table["r"] = SCORES + 1 - scores(table["recency"])  # the fewer days the better
    table["f"] = scores(table["frequency"])
    table["m"] = scores(table[REVENUE])
    table["segment"] = [_segment(r, f) for r, f in zip(table["r"], table["f"], strict=True)]
    return table


def scores(values: pd.Series) -> pd.Series:
    """1 to 5: 1 plus the number of quintiles (20, 40, 60 and 80 %) that a value is above."""
    cuts = values.quantile(np.arange(1, SCORES) / SCORES, interpolation="lower").to_numpy()
    above = (values.to_numpy()[:, None] > cuts[None, :]).sum(axis=1)
    return pd.Series(1 + above, index=values.index)


def _segment(recency: int, frequency: int) -> str:
    """The segment of a pair of scores; every pair has one."""
    if recency >= 4:
        return "best" if frequency >= 4 else "loyal" if frequency == 3 else "recent"
    if recency == 3:
        return "loyal" if frequency >= 3 else "occasional"
    return "at risk" if frequency >= 3 else "lapsed"


def segments(table: pd.DataFrame) -> pd.DataFrame:
    """One row a segment that has customers, in the order of ``SEGMENTS``.

    Columns are ``customers``, their ``revenue``, and the medians ``recency``, ``frequency`` and ``median_revenue``.
    """
    groups = table.groupby("segment")
    found = groups.agg(
        customers=(REVENUE, "size"),
        revenue=(REVENUE, "sum"),
        recency=("recency", "median"),
        frequency=("frequency", "median"),
        median_revenue=(REVENUE, "median"),
    )
    return found.reindex([name for name in SEGMENTS if name in found.index])


def describe_segments(table: pd.DataFrame) -> str:
    """Describe the segments."""
    customers, revenue = table["customers"].sum(), table[REVENUE].sum()
    most = int(table[REVENUE].to_numpy().argmax())
    first = table.iloc[most]
    sentence = (
        f"The segment “{table.index[most]}” has {share(first['customers'], customers)} of customers and brings "
        f"{share(first[REVENUE], revenue)} of revenue before returns"
    )
    if "at risk" not in table.index or table.index[most] == "at risk":
        return f"{sentence}."
    risk = table.iloc[list(table.index).index("at risk")]
    return (
        f"{sentence}; {count(risk['customers'], 'customer')} “at risk” brought {share(risk[REVENUE], revenue)} "
        f"and {'was' if risk['customers'] == 1 else 'were'} last seen {number(risk['recency'])} days before the end "
        f"(median)."
    )


def clusters(sales: Sales, table: pd.DataFrame) -> list[float]:
    """The share of the variance left within 1, 2, … K-means clusters; by ``training.features.customer_clusters``.

    Args:
        sales: For the variety of each customer, the number of distinct items.
        table: As ``rfm`` returns it.
    """
    bought = sales.lines.groupby(columns.CUSTOMER_ID)[columns.STOCK_CODE].nunique()
    numbers = table[["recency", "frequency", REVENUE]].assign(variety=bought)
    return elbow_curve(np.log1p(numbers.to_numpy(dtype="float64")).astype(np.float32))


def describe_clusters(remaining: list[float]) -> str:
    """Describe the shares of variance left, of which there are more than the model has clusters."""
    return (
        "Within 2 K-means clusters of customers by recency, frequency, revenue before returns and variety (distinct "
        "items) "
        f"{share(remaining[1], 1)} of the variance is left, within the {CLUSTERS} that the hybrid model distinguishes "
        f"{share(remaining[CLUSTERS - 1], 1)}, within {len(remaining)} {share(remaining[-1], 1)}: after the bend of "
        "the line more clusters add little."
    )


def describe_matrix(table: pd.DataFrame) -> str:
    """Describe customers by their scores."""
    top = table[(table["r"] == SCORES) & (table["f"] == SCORES)]
    bottom = table[(table["r"] == 1) & (table["f"] == 1)]
    return (
        f"The highest scores by both recency and frequency have {len(top):,} of {count(len(table), 'customer')} "
        f"({share(len(top), len(table))}), the lowest by both {len(bottom):,} ({share(len(bottom), len(table))})."
    )


def countries_section(sales: Sales) -> Section:
    """The section on sales by country."""
    title = "Countries"
    table = by_country(sales)
    if list(table.index) == [UNKNOWN]:
        return Section(title, "The table names no country.")
    total = float(table[REVENUE].sum())
    blocks = [
        _countries("sales-by-country", "Revenue by country, after returns", table, total, describe_countries(table))
    ]
    if len(table) > 2:
        name = f"Revenue after returns, without {clipped(table.index[0], 20)}"
        blocks.append(_countries("sales-abroad", name, table.iloc[1:], total, describe_abroad(table)))
    return Section(title, "", blocks)


def _countries(name: str, title: str, table: pd.DataFrame, total: float, sentence: str) -> Figure:
    shown = table.head(SHOWN)
    names, values = [clipped(country, 24) for country in shown.index], list(shown[REVENUE])
    if len(table) > SHOWN:
        names.append(f"{len(table) - SHOWN} others")
        values.append(float(table[REVENUE].iloc[SHOWN:].sum()))
    labels = [share(value, total) for value in values]
    picture = draw(title, lambda figure: bars(figure, names, values, labels=labels), size=HALF)
    return Figure(
        name, picture, f"Bar chart: {title[0].lower()}{title[1:]}, shares of all revenue after returns.", sentence
    )


def segments_section(sales: Sales) -> Section:
    """The section on customer segments."""
    table = rfm(sales)
    found = segments(table)
    customers, revenue = int(found["customers"].sum()), float(found[REVENUE].sum())
    labels = [
        f"{number:,} ({share(number, customers)}), {share(value, revenue)} of revenue"
        for number, value in zip(found["customers"], found[REVENUE], strict=True)
    ]
    bar = draw(
        "Customers by segment",
        lambda figure: bars(figure, list(found.index), list(found["customers"]), labels=labels, room=0.9),
        size=HALF,
    )
    cells = pd.crosstab(table["r"], table["f"]).reindex(
        index=range(SCORES, 0, -1), columns=range(1, SCORES + 1), fill_value=0
    )
    grid = draw(
        "Customers by recency and frequency",
        lambda figure: charts.matrix(
            figure,
            cells.to_numpy(dtype="float64"),
            [str(score) for score in cells.index],
            [str(score) for score in cells.columns],
            about=("frequency score (5: most baskets)", "recency score (5: latest)"),
        ),
        size=HALF,
    )
    figures = [
        Figure("segments", bar, "Bar chart: customers by segment.", describe_segments(found)),
        Figure("recency-and-frequency", grid, "Matrix: customers by their scores.", describe_matrix(table)),
    ]
    remaining = clusters(sales, table)
    if len(remaining) > CLUSTERS:
        mark = (float(CLUSTERS), remaining[CLUSTERS - 1], f"{CLUSTERS} in the hybrid model")
        about = ("clusters", "variance left within them")
        line = draw(
            "The elbow of customers' clusters",
            lambda figure: charts.curve(
                figure, np.arange(1.0, len(remaining) + 1), np.asarray(remaining), about=about, mark=mark, dots=True
            ),
            size=HALF,
        )
        text = "Line: the share of the variance that is left within each number of clusters."
        figures.append(Figure("clusters", line, text, describe_clusters(remaining)))
    rows = [
        [
            str(name),
            SEGMENTS[str(name)],
            f"{row['customers']:,.0f}",
            share(row[REVENUE], revenue),
            number(row["recency"]),
            number(row["frequency"]),
            money(row["median_revenue"]),
        ]
        for name, row in found.iterrows()
    ]
    headings = [
        "segment",
        "its customers",
        "customers",
        "share of revenue",
        "days since the last",
        "baskets",
        "revenue",
    ]
    return Section(
        "Customer segments",
        "Customers are scored from 1 to 5 by quintiles of recency, frequency (baskets) and revenue; equal values have "
        "equal scores. Segments follow from recency and frequency, as of the last day of the table. Revenue here is "
        "before "
        "returns.",
        [
            *figures,
            Table(
                "Segments; days, baskets and the last column, revenue per customer before returns, are medians",
                headings,
                rows,
                texts=2,
            ),
        ],
    )
