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

_NAMES = (*HALF_LIVES, *(f"share_{days:g}" for days in SHARE_HALF_LIVES), "sold", "age", "idle", "price")
_ROWS = {name: row for row, name in enumerate(_NAMES)}
"""Rows of the matrix of logs that the inputs are computed from."""
_RELATIVE_TO_MAX = [*(_ROWS[days] for days in DEMAND_DAYS), *range(len(HALF_LIVES), _ROWS["sold"] + 1)]
_NEWER, _OLDER = [_ROWS[3.0], _ROWS[7.0]], [_ROWS[14.0], _ROWS[30.0]]

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
        known = len(items) if rows is None else int(np.searchsorted(rows, len(items)))
        of_table = None if rows is None else rows[:known]
        part: slice | Ints = slice(known) if of_table is None else of_table
        demand = np.zeros((len(HALF_LIVES), length), np.float32)  # long rows: so everywhere here
        logs = np.empty((len(_ROWS), length), np.float32)
        logs[: _ROWS["sold"], known:] = _SMALLEST
        logs[_ROWS["sold"] :, known:] = 1.0
        here = logs[:, :known]
        demand[:, :known] = items.demand(now, of_table).T
        np.add(demand, np.float32(_SMALLEST), out=logs[: len(HALF_LIVES)])
        np.add(items.shares(now, of_table).T, np.float32(_SMALLEST), out=here[len(HALF_LIVES) : _ROWS["sold"]])
        np.add(items.sold[part], 1.0, out=here[_ROWS["sold"]], casting="same_kind")
        for name, date in (("age", items.first[part]), ("idle", items.last[part])):
            seconds = now - date
            np.maximum(seconds, 0, out=seconds)
            np.add(seconds / DAY, 1.0, out=here[_ROWS[name]], casting="same_kind")
        np.maximum(items.price[part], 1e-4, out=here[_ROWS["price"]], casting="same_kind")
        np.log(logs, out=logs)
        inputs = np.empty((len(_RELATIVE_TO_MAX) + len(_NEWER) + len(_ROWS) - _ROWS["age"], length), np.float32)
        relative, trends, others = np.split(inputs, [len(_RELATIVE_TO_MAX), len(_RELATIVE_TO_MAX) + len(_NEWER)])
        if rows is None:
            max_demand = demand.max(axis=1, initial=0.0)
            greatest = logs.max(axis=1, initial=np.log(_SMALLEST), keepdims=True)
        else:
            max_demand, max_shares, sold = items.greatest(now)
            greatest = np.zeros((len(_ROWS), 1), np.float32)
            greatest[: _ROWS["sold"], 0] = log_demand(np.concatenate([max_demand, max_shares]))
            greatest[_ROWS["sold"]] = np.log1p(np.float32(sold))
        np.subtract(logs[_RELATIVE_TO_MAX], greatest[_RELATIVE_TO_MAX], out=relative)
        np.subtract(logs[_NEWER], logs[_OLDER], out=trends)
        others[:] = logs[_ROWS["age"] :]
        size = len(items) + unknown
        return cls(size, demand.T, logs[_ROWS["price"]], inputs.T, max_demand, rows)

    def positions(self, row: Ints) -> Ints:
        """Position of some of its rows in its arrays."""
        return row if self.rows is None else np.searchsorted(self.rows, row)


def item_state_inputs(snapshot: ItemSnapshot, row: Ints, mean_log_price: Floats) -> Floats:
    """``ITEM_STATE_INPUTS`` of each candidate, float32 ``[inputs, candidates]``.

    ``mean_log_price`` ``[candidates]``: mean log price of the candidate's customer.
    """
    position = snapshot.positions(row)
    over = snapshot.log_price[position] - mean_log_price
    return np.concatenate([snapshot.inputs.T.take(position, axis=1), over[None]])
