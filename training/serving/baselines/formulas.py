"""The formulas of the baselines: a score of every item from one customer's purchases and the item table.

c is the number of the customer's invoices that hold the item; d(H) the demand, each purchase counting
0.5^(days ago / H); q = log(1 + d(7)) / log(1 + max d(7));
h = Σ .95^(baskets ago), and z = h B / ‖h‖ with EASE's weights B (docs/models/baselines.md).

    g_topfreq          number of baskets ever              recent_g_topfreq   d(7)
    p_topfreq          c, ties by the last purchase        gp_topfreq         c + .001 d(21) / max d(21)
    count_demand       c (.001 + q) + .001 q               ease               z
    ease_count_demand  (h / max h + z) (.001 + q)
    popularity         the same as g_topfreq           random             random numbers
    tifu_knn, up_cf    see ``training.serving.baselines.neighbours``

A purchase counts whether or not a part of it was returned; an item returned entirely does not count.
"""

import zlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from state.domain.history import CustomerHistory, baskets
from state.domain.items import HALF_LIVES
from training.features.item_table import ItemTable

Floats = NDArray[np.float64]

WEEK = HALF_LIVES.index(7.0)
THREE_WEEKS = HALF_LIVES.index(21.0)
BASKET_DECAY = 0.95
"""Weight of a basket relative to the one after it, for item-to-item scores."""

SMALL = 0.001


class CustomerPurchases(NamedTuple):
    """One customer's purchases by row of the item table; rows behind its end are items that are not in it.

    ``baskets``: distinct rows of each, oldest first · ``times``: invoices that hold the item · ``decayed_count``: the
    same, older baskets weighing less · ``newest``: position of its last basket from 1 (0: never) · ``dates``: of the
    baskets, oldest first · ``unknown``: stock codes of the rows behind the end.
    """

    customer_id: str
    baskets: list[list[int]]
    times: Floats
    decayed_count: Floats
    newest: Floats
    dates: list[int]
    unknown: list[str]


class FormulaInputs(NamedTuple):
    """Inputs of a formula: the customer's purchases, and the items' demand, q and number of baskets ever.

    ``demand`` float64 ``[rows, half-lives]``, the others ``[rows]``; ``fitted_scores``: z of EASE, or the score by
    neighbours; 0 for a formula without a fitted model.
    """

    purchases: CustomerPurchases
    demand: Floats
    q: Floats
    sold: Floats
    fitted_scores: Floats


def customer_purchases(history: CustomerHistory, items: ItemTable) -> CustomerPurchases:
    """The purchases of a history by row of the item table."""
    remaining: set[str] | None = None
    if history.returned_codes:
        remaining = {code for basket in baskets(history) for code in basket.items}
    unknown: dict[str, int] = {}
    rows: list[list[int]] = []
    dates: list[int] = []
    for invoice in history.invoices:
        basket = [code for code in invoice.purchased_codes_in_order if remaining is None or code in remaining]
        if basket:
            dates.append(invoice.date)
            rows.append([items.rows[c] if c in items.rows else _behind(c, unknown, len(items)) for c in basket])
    size = len(items) + len(unknown)
    times, decayed, newest = np.zeros(size), np.zeros(size), np.zeros(size)
    for position, basket_rows in enumerate(rows):
        times[basket_rows] += 1.0
        decayed[basket_rows] += BASKET_DECAY ** (len(rows) - 1 - position)
        newest[basket_rows] = position + 1.0
    return CustomerPurchases(history.customer_id, rows, times, decayed, newest, dates, list(unknown))


def _behind(code: str, unknown: dict[str, int], size: int) -> int:
    return size + unknown.setdefault(code, len(unknown))


def share_of_max(values: Floats) -> Floats:
    """Values divided by the greatest of them; 0 where none is above 0."""
    greatest = float(values.max(initial=0.0))
    return values / greatest if greatest > 0.0 else np.zeros_like(values)


def _random(inputs: FormulaInputs) -> Floats:
    """Numbers between 0 and 1, seeded by the customer and the number of baskets: the same on every call."""
    seed = f"{inputs.purchases.customer_id} {len(inputs.purchases.dates)}".encode()
    return np.random.default_rng(zlib.crc32(seed)).random(len(inputs.sold))


FORMULAS: dict[str, Callable[[FormulaInputs], Floats]] = {
    "random": _random,
    "popularity": lambda inputs: inputs.sold,
    "g_topfreq": lambda inputs: inputs.sold,
    "recent_g_topfreq": lambda inputs: inputs.demand[:, WEEK],
    "p_topfreq": lambda inputs: inputs.purchases.times + SMALL * share_of_max(inputs.purchases.newest),
    "gp_topfreq": lambda inputs: inputs.purchases.times + SMALL * share_of_max(inputs.demand[:, THREE_WEEKS]),
    "count_demand": lambda inputs: inputs.purchases.times * (SMALL + inputs.q) + SMALL * inputs.q,
    "ease": lambda inputs: inputs.fitted_scores,
    "ease_count_demand": lambda inputs: (
        (share_of_max(inputs.purchases.decayed_count) + inputs.fitted_scores) * (SMALL + inputs.q)
    ),
    "tifu_knn": lambda inputs: inputs.fitted_scores,
    "up_cf": lambda inputs: inputs.fitted_scores,
}
"""Score of every row by model, ``[rows]``."""

HISTORY_ONLY = frozenset({"p_topfreq", "ease", "ease_count_demand", "tifu_knn", "up_cf"})
"""Models that score by the customer's items only: without any they rank as ``count_demand``."""
