"""The shop: what is known of the items now, as inputs of every candidate."""

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from state.dates import DAY
from state.items import HALF_LIVES, SHARE_HALF_LIVES
from training.features.item_table import ItemTable
from training.features.past import Floats, Ints

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
SHOP_INPUTS = (*DEMAND_INPUTS, "log_price", "log_price_over_norm")
"""Inputs of a candidate that do not depend on what the customer bought, but for the price against the usual one."""

_SMALLEST = 0.02
"""Demand is read as log(this + demand), so that none at all is far from little, yet finite."""


def log_demand(demand: NDArray[np.floating]) -> Floats:
    """Demand as it is read; of any shape."""
    logs: Floats = np.log(_SMALLEST + demand).astype(np.float32)
    return logs


class Shop(NamedTuple):
    """The items at one moment: the table's rows, then ``unknown`` ones of which nothing is known.

    ``size``: rows in all · ``demand`` float32 ``[rows, HALF_LIVES]`` · ``log_price`` float32 ``[rows]`` ·
    ``fixed`` float32 ``[rows, SHOP_INPUTS − 1]``: the inputs that are the same for every customer.
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
        sold = np.zeros(size)
        age = np.zeros(size)
        idle = np.zeros(size)
        log_price = np.zeros(size, np.float32)
        sold[:known] = items.sold
        age[:known] = np.maximum(now - items.first, 0) / DAY
        idle[:known] = np.maximum(now - items.last, 0) / DAY
        log_price[:known] = np.log(np.maximum(items.price, 1e-4))
        logs = log_demand(demand)
        column = {half_life: logs[:, number] for number, half_life in enumerate(HALF_LIVES)}
        ever = np.log1p(sold)
        columns = [column[days] - (column[days].max() if size else 0.0) for days in DEMAND_DAYS]
        shares = np.zeros((size, len(SHARE_HALF_LIVES)), np.float32)
        shares[:known] = items.shares(now)
        log_shares = log_demand(shares)
        columns += list((log_shares - log_shares.max(axis=0)).T) if size else list(log_shares.T)
        columns += [ever - (ever.max() if size else 0.0)]
        columns += [column[3.0] - column[14.0], column[7.0] - column[30.0]]
        columns += [np.log1p(age), np.log1p(idle), log_price]
        return cls(size, demand, log_price, np.stack(columns, axis=1).astype(np.float32))


def shop_inputs(shop: Shop, row: Ints, log_price_norm: Floats) -> Floats:
    """``SHOP_INPUTS`` of each candidate, float32 ``[candidates, inputs]``."""
    over = shop.log_price[row] - log_price_norm
    return np.concatenate([shop.fixed[row], over[:, None]], axis=1)
