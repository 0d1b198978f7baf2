"""The formulas of the simple models, over what is seen of one customer and of all items.

c is the number of the customer's invoices that hold the item; d(H) the demand, each purchase counting
0.5^(days ago / H); q = log(1 + d(7)) / log(1 + max d(7));
h = Σ .95^(baskets ago), and z = h B / ‖h‖ with EASE's weights B (docs/models/baselines.md).

    g_topfreq          number of baskets ever              recent_g_topfreq   d(7)
    p_topfreq          c, ties by the last purchase        gp_topfreq         c + .001 d(21) / max d(21)
    count_demand       c (.001 + q) + .001 q               ease               z
    ease_count_demand  (h / max h + z) (.001 + q)
    popularity         the same as g_topfreq           random             as chance has it
    tifu_knn, up_cf    what the customer's baskets and those of similar customers say (``baseline_neighbours``)

A purchase counts whether or not a part of it went back; an item of which nothing is left counts for nothing.
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
"""What a basket counts for item-to-item against the one after it."""

SMALL = 0.001


class CustomerPurchases(NamedTuple):
    """One customer's purchases by row of the item table; rows behind its end are items it does not know.

    ``baskets``: distinct rows of each, oldest first · ``times``: invoices that hold the item · ``faded``: the same with
    ``BASKET_DECAY`` a basket · ``newest``: position of its last basket from 1 (0: never) · ``dates``: of the baskets,
    oldest first · ``unknown``: codes of the rows behind the end.
    """

    customer_id: str
    baskets: list[list[int]]
    times: Floats
    faded: Floats
    newest: Floats
    dates: list[int]
    unknown: list[str]


class FormulaInputs(NamedTuple):
    """What a formula may look at: the customer's purchases, and of the items demand, q and number of baskets ever.

    ``demand`` float64 ``[rows, half-lives]``, the others ``[rows]``; ``learnt`` is what was
    fitted beforehand says: z of EASE, or the score by neighbours; 0 where nothing was.
    """

    bought: CustomerPurchases
    demand: Floats
    q: Floats
    sold: Floats
    learnt: Floats


def customer_purchases(history: CustomerHistory, items: ItemTable) -> CustomerPurchases:
    """A history by row of the item table."""
    kept: set[str] | None = None
    if any(line.quantity < 0 for invoice in history.invoices for line in invoice.lines):
        kept = {code for basket in baskets(history) for code in basket.items}
    unknown: dict[str, int] = {}
    rows: list[list[int]] = []
    dates: list[int] = []
    for invoice in history.invoices:
        codes = dict.fromkeys(line.stock_code for line in invoice.lines if line.quantity > 0)
        held = [code for code in codes if kept is None or code in kept]
        if held:
            dates.append(invoice.date)
            rows.append([items.rows[c] if c in items.rows else _behind(c, unknown, len(items)) for c in held])
    size = len(items) + len(unknown)
    times, faded, newest = np.zeros(size), np.zeros(size), np.zeros(size)
    for place, basket in enumerate(rows):
        times[basket] += 1.0
        faded[basket] += BASKET_DECAY ** (len(rows) - 1 - place)
        newest[basket] = place + 1.0
    return CustomerPurchases(history.customer_id, rows, times, faded, newest, dates, list(unknown))


def _behind(code: str, unknown: dict[str, int], size: int) -> int:
    return size + unknown.setdefault(code, len(unknown))


def share(values: Floats) -> Floats:
    """Values over the greatest of them; 0 where there is none above 0."""
    greatest = float(values.max(initial=0.0))
    return values / greatest if greatest > 0.0 else np.zeros_like(values)


def _chance(see: FormulaInputs) -> Floats:
    """Numbers between 0 and 1 that change with customer and basket, the same whenever they are asked for."""
    said = f"{see.bought.customer_id} {len(see.bought.dates)}".encode()
    return np.random.default_rng(zlib.crc32(said)).random(len(see.sold))


FORMULAS: dict[str, Callable[[FormulaInputs], Floats]] = {
    "random": _chance,
    "popularity": lambda see: see.sold,
    "g_topfreq": lambda see: see.sold,
    "recent_g_topfreq": lambda see: see.demand[:, WEEK],
    "p_topfreq": lambda see: see.bought.times + SMALL * share(see.bought.newest),
    "gp_topfreq": lambda see: see.bought.times + SMALL * share(see.demand[:, THREE_WEEKS]),
    "count_demand": lambda see: see.bought.times * (SMALL + see.q) + SMALL * see.q,
    "ease": lambda see: see.learnt,
    "ease_count_demand": lambda see: (share(see.bought.faded) + see.learnt) * (SMALL + see.q),
    "tifu_knn": lambda see: see.learnt,
    "up_cf": lambda see: see.learnt,
}
"""Score of every row by model, ``[rows]``; only items above 0 are worth an offer."""

HISTORY_ONLY = frozenset({"p_topfreq", "ease", "ease_count_demand", "tifu_knn", "up_cf"})
"""Models that look at nothing but the customer's items: where none is left, they offer what is in demand."""
