"""The state of the items at one date, as inputs of every candidate."""

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from state.domain.items import HALF_LIVES, SHARE_HALF_LIVES
from state.events.dates import DAY
from training.features.item_table import ItemTable

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

DEMAND_DAYS = (1.0, 3.0, 7.0, 14.0, 30.0)
"""Half-lives whose demand is an input."""
DEMAND_INPUTS = (
    *(f"demand_{days:g}" for days in DEMAND_DAYS),
    *(f"share_{days:g}" for days in SHARE_HALF_LIVES),
    "demand_ever",
    "trend_3_over_14",
    "trend_7_over_30",
    "log_age_days",
    "log_days_since_sold",
)
"""Inputs from how an item sells, logs."""
ITEM_STATE_INPUTS = (*DEMAND_INPUTS, "log_price", "log_price_over_customer_mean")
"""Inputs of a candidate from the item's state; only the last depends on the customer."""

_N_DEMAND, _N_SHARES = len(DEMAND_DAYS), len(SHARE_HALF_LIVES)
_N_RELATIVE = _N_DEMAND + _N_SHARES + 1
"""Inputs relative to the greatest of all items: demand, shares, and the number of baskets ever."""
_NEWER = slice(DEMAND_DAYS.index(3.0), DEMAND_DAYS.index(7.0) + 1)
_OLDER = slice(DEMAND_DAYS.index(14.0), DEMAND_DAYS.index(30.0) + 1)
_DEMAND_ROWS = [HALF_LIVES.index(days) for days in DEMAND_DAYS]
"""Rows of ``HALF_LIVES`` whose demand is an input."""

_SMALLEST = 0.02
"""Demand is transformed to log(this + demand), so that 0 is far from a little, yet finite."""


def log_demand(demand: NDArray[np.floating]) -> Floats:
    """log(demand + a small constant), of any shape."""
    logs: Floats = np.log(_SMALLEST + demand).astype(np.float32)
    return logs


class ItemSnapshot(NamedTuple):
    """The items as of one date: the table's rows, then ``unknown`` further ones of which nothing is known.

    ``size``: number of rows · ``demand`` float32 ``[rows, HALF_LIVES]`` · ``log_price`` float32 ``[rows]`` ·
    ``inputs`` float32 ``[rows, ITEM_STATE_INPUTS − 1]``: those that are the same for every customer · ``max_demand``
    float32 ``[HALF_LIVES]``: the greatest of all items · ``rows``: the rows that the arrays are of, sorted; all unless
    given.
    """

    size: int
    demand: Floats
    log_price: Floats
    inputs: Floats
    max_demand: Floats
    rows: Ints | None = None

    @classmethod
    def at(cls, items: ItemTable, now: int, unknown: int, rows: Ints | None = None) -> Self:
        """The items of the table as of ``now``, and ``unknown`` further rows.

        Only some ``rows``, sorted, where they are given: the cost is then that of these.
        """
        length = len(items) + unknown if rows is None else len(rows)
        known = len(items) if rows is None else int(rows.searchsorted(len(items)))
        of_table = None if rows is None else rows[:known]
        part: slice | Ints = slice(known) if of_table is None else of_table
        # Long rows everywhere here. What becomes an input is computed in its row of the inputs.
        demand = np.zeros((len(HALF_LIVES), length), np.float32)
        inputs = np.empty((len(ITEM_STATE_INPUTS) - 1, length), np.float32)
        inputs[: _N_RELATIVE - 1, known:] = _SMALLEST
        inputs[_N_RELATIVE - 1 :, known:] = 1.0
        relative, trends, others = inputs[:_N_RELATIVE], inputs[_N_RELATIVE:-3], inputs[-3:]
        demand[:, :known], shares = items.decayed(now, of_table)
        np.maximum(shares, 0.0, out=shares)
        for row, source in enumerate(_DEMAND_ROWS):
            np.add(demand[source], np.float32(_SMALLEST), out=relative[row])
        np.add(shares, np.float32(_SMALLEST), out=relative[_N_DEMAND:-1, :known])
        np.add(items.sold[part], 1.0, out=relative[-1, :known], casting="same_kind")
        for row, date in enumerate((items.first[part], items.last[part])):
            seconds = now - date
            np.maximum(seconds, 0, out=seconds)
            np.add(seconds / DAY, 1.0, out=others[row, :known], casting="same_kind")
        np.maximum(items.price[part], 1e-4, out=others[-1, :known], casting="same_kind")
        np.log(relative, out=relative)
        np.log(others, out=others)
        np.subtract(relative[_NEWER], relative[_OLDER], out=trends)
        if rows is None:
            max_demand = demand.max(axis=1, initial=0.0)
            greatest = relative.max(axis=1, initial=np.log(_SMALLEST), keepdims=True)
        else:
            max_demand, max_shares, sold = items.greatest(now)
            greatest = np.empty((_N_RELATIVE, 1), np.float32)
            greatest[:-1, 0] = log_demand(np.concatenate([max_demand[_DEMAND_ROWS], max_shares]))
            greatest[-1] = np.log1p(np.float32(sold))
        relative -= greatest
        return cls(len(items) + unknown, demand.T, others[-1], inputs.T, max_demand, rows)

    def positions(self, row: Ints) -> Ints:
        """Position of some of its rows in its arrays."""
        return row if self.rows is None else self.rows.searchsorted(row)


def item_state_inputs(snapshot: ItemSnapshot, row: Ints, mean_log_price: Floats) -> Floats:
    """``ITEM_STATE_INPUTS`` of each candidate, float32 ``[inputs, candidates]``.

    ``mean_log_price`` ``[candidates]``: mean log price of the candidate's customer.
    """
    position = snapshot.positions(row)
    over = snapshot.log_price[position] - mean_log_price
    return np.concatenate([snapshot.inputs.T.take(position, axis=1), over[None]])
