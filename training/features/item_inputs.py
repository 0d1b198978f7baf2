"""The shop: what is known of the items now, as inputs of every candidate."""

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from state.domain.items import HALF_LIVES, SHARE_HALF_LIVES
from state.events.dates import DAY
from training.features.basket_lstm.flat_histories import Floats, Ints
from training.features.item_table import ItemTable

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
"""Inputs from how an item sells."""
ITEM_STATE_INPUTS = (*DEMAND_INPUTS, "log_price", "log_price_over_norm")
"""Inputs of a candidate that do not depend on what the customer bought, but for the price against the usual one."""

_NAMES = (*HALF_LIVES, *(f"share_{days:g}" for days in SHARE_HALF_LIVES), "sold", "age", "idle", "price")
_ROWS = {name: row for row, name in enumerate(_NAMES)}
"""What is read of every item, as logs."""
_BEHIND = [*(_ROWS[days] for days in DEMAND_DAYS), *range(len(HALF_LIVES), _ROWS["sold"] + 1)]
_NEWER, _OLDER = [_ROWS[3.0], _ROWS[7.0]], [_ROWS[14.0], _ROWS[30.0]]

_SMALLEST = 0.02
"""Demand is read as log(this + demand), so that none at all is far from little, yet finite."""


def log_demand(demand: NDArray[np.floating]) -> Floats:
    """Demand as it is read; of any shape."""
    logs: Floats = np.log(_SMALLEST + demand).astype(np.float32)
    return logs


class ItemSnapshot(NamedTuple):
    """The items at one moment: the table's rows, then ``unknown`` ones of which nothing is known.

    ``size``: rows in all · ``demand`` float32 ``[rows, HALF_LIVES]`` · ``log_price`` float32 ``[rows]`` ·
    ``fixed`` float32 ``[rows, ITEM_STATE_INPUTS − 1]``: the inputs that are the same for every customer.
    """

    size: int
    demand: Floats
    log_price: Floats
    fixed: Floats

    @classmethod
    def at(cls, items: ItemTable, now: int, unknown: int) -> Self:
        """The items of the table as of ``now``, and ``unknown`` further rows."""
        known = len(items)
        size = known + unknown
        demand = np.zeros((size, len(HALF_LIVES)), np.float32)
        demand[:known] = items.demand(now)
        read = np.ones((len(_ROWS), size), np.float32)
        read[: _ROWS["sold"]] = _SMALLEST
        read[: len(HALF_LIVES)] += demand.T
        read[len(HALF_LIVES) : _ROWS["sold"], :known] += items.shares(now).T
        read[_ROWS["sold"], :known] += items.sold
        read[_ROWS["age"], :known] += np.maximum(now - items.first, 0) / DAY
        read[_ROWS["idle"], :known] += np.maximum(now - items.last, 0) / DAY
        read[_ROWS["price"], :known] = np.maximum(items.price, 1e-4)
        logs = np.log(read)
        behind = logs - logs.max(axis=1, initial=np.log(_SMALLEST), keepdims=True)
        trends = logs[_NEWER] - logs[_OLDER]
        fixed = np.concatenate([behind[_BEHIND], trends, logs[_ROWS["age"] :]]).T
        return cls(size, demand, logs[_ROWS["price"]], np.ascontiguousarray(fixed))


def item_state_inputs(shop: ItemSnapshot, row: Ints, log_price_norm: Floats) -> Floats:
    """``ITEM_STATE_INPUTS`` of each candidate, float32 ``[candidates, inputs]``."""
    over = shop.log_price[row] - log_price_norm
    return np.concatenate([shop.fixed[row], over[:, None]], axis=1)
