"""Items: best sellers by units, revenue and baskets after returns, and the concentration of revenue on few items."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from state.wording import count
from training.data import columns
from training.eda import charts
from training.eda.formatting import clipped, share
from training.eda.sales import BASKET, ITEM, REVENUE, UNITS, Sales
from training.report import HALF, Figure, Section, draw
from training.report.style import bars, short

SHOWN = 10
BASKETS = "baskets"
MARKED_SHARE = 0.8
"""Share of revenue that the curve of concentration marks."""


class Measure(NamedTuple):
    """A measure by which items are ranked: a column, its noun, and the title of its chart."""

    column: str
    words: str
    title: str


MEASURES = (
    Measure(REVENUE, "revenue", "Best sellers by revenue after returns"),
    Measure(UNITS, "units", "Best sellers by units after returns"),
    Measure(BASKETS, "baskets", "Best sellers by baskets after returns"),
)


def items(sales: Sales) -> pd.DataFrame:
    """One row a stock code, after returns: ``item``, ``units``, ``revenue`` and the ``baskets`` that still hold it."""
    lines = sales.lines
    groups = lines.groupby(columns.STOCK_CODE, sort=True)
    found = groups.agg(item=(ITEM, "first"), units=(UNITS, "sum"), revenue=(REVENUE, "sum"))
    distinct = lines.loc[lines[UNITS] > 0, [columns.STOCK_CODE, BASKET]].drop_duplicates()
    baskets = distinct.groupby(columns.STOCK_CODE, sort=True).size()
    found[BASKETS] = baskets.reindex(found.index, fill_value=0)
    return found.astype({ITEM: "object"})


def best_sellers(table: pd.DataFrame, column: str, number: int = SHOWN) -> pd.DataFrame:
    """The first rows of ``items`` by a column, largest first, ties by stock code."""
    return table.sort_values(column, ascending=False, kind="stable").head(number)


def concentration(table: pd.DataFrame) -> tuple[charts.Floats, charts.Floats]:
    """Shares of items, best first, and of the revenue they bring together; both begin at 0 and end at 1."""
    revenue = np.sort(table[REVENUE].to_numpy(dtype="float64"))[::-1]
    cumulative = np.concatenate([[0.0], np.cumsum(revenue)])
    return np.linspace(0, 1, len(cumulative)), cumulative / cumulative[-1]


def items_for_revenue_share(table: pd.DataFrame, part: float = MARKED_SHARE) -> int:
    """Number of items, best first, that reach a share of the revenue."""
    _, cumulative = concentration(table)
    return int(np.searchsorted(cumulative, part - 1e-12))


def describe_best(table: pd.DataFrame, measure: Measure, baskets: int) -> str:
    """Describe the best sellers by a measure; ``baskets`` is the number of all baskets."""
    best = best_sellers(table, measure.column)
    first, value = best.iloc[0], float(best[measure.column].iloc[0])
    name = f"{first[ITEM]} ({best.index[0]})"
    if measure.column == BASKETS:
        return f"{name} is in most baskets after returns: {value:,.0f} of {baskets:,} ({share(value, baskets)})."
    total = float(table[measure.column].sum())
    sentence = f"{name} leads with {short(value)} ({share(value, total)} of all {measure.words} after returns)"
    if len(table) <= len(best):
        return f"{sentence}, of {count(len(table), 'item')}."
    cumulative = share(float(best[measure.column].sum()), total)
    return f"{sentence}; the first {len(best)} of {count(len(table), 'item')} make up {cumulative}."


def describe_concentration(table: pd.DataFrame) -> str:
    """Describe the curve of concentration."""
    needed = items_for_revenue_share(table)
    return (
        f"{needed:,} of {count(len(table), 'item')} ({share(needed, len(table))}) bring {MARKED_SHARE:.0%} of "
        "revenue after returns; "
        f"{count(int((table[BASKETS] == 1).sum()), 'item')} sold in a single basket only."
    )


def items_section(sales: Sales) -> Section:
    """The section on best sellers."""
    table = items(sales)
    blocks = []
    for measure in MEASURES:
        best = best_sellers(table, measure.column)
        picture = draw(
            measure.title,
            lambda figure, best=best, column=measure.column: bars(  # type: ignore[misc]
                figure, [clipped(name) for name in best[ITEM]], list(best[column])
            ),
            size=HALF,
        )
        sentence = describe_best(table, measure, len(sales.baskets))
        alt = f"Bar chart: the {len(best)} items with the most {measure.words} after returns."
        blocks.append(Figure(f"best-sellers-{measure.words}", picture, alt, sentence))
    x, y = concentration(table)
    index = items_for_revenue_share(table)
    picture = draw(
        "How much few items bring",
        lambda figure: charts.curve(
            figure,
            x,
            y,
            about=("share of items, best first", "share of revenue after returns"),
            mark=(x[index], y[index], f"{share(index, len(table))} of items:\n{share(y[index], 1)} of revenue"),
        ),
        size=HALF,
    )
    alt = "Line chart: share of revenue after returns by share of items, best items first."
    blocks.append(Figure("revenue-concentration", picture, alt, describe_concentration(table)))
    whole = int((table[UNITS] == 0).sum())
    text = (
        f"{count(whole, 'item')} came back whole and {'has' if whole == 1 else 'have'} no sale left." if whole else ""
    )
    return Section("Best sellers", f"What came back is not counted as sold. {text}".strip(), blocks)
