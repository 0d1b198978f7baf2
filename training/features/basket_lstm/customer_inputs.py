"""Inputs of a customer and of each of the customer's newest baskets."""

import numpy as np

from state.events.dates import DAY
from training.features.basket_lstm.customer_items import CustomerItems
from training.features.basket_lstm.customer_means import CustomerMeans
from training.features.basket_lstm.flat_histories import STEPS, FlatHistories, Floats

CUSTOMER_INPUTS = (
    "log_baskets",
    "log_mean_size",
    "log_last_size",
    "log_mean_size_of_three",
    "log_mean_gap",
    "log_days_since_last",
    "days_since_last_over_gap",
    "same_day",
    "log_days_since_first",
    "log_items",
    "repeat_share",
    "repeat_share_of_last",
    "log_quantity",
    "log_price",
    "log_returned_items",
)
"""Inputs of a customer."""

BASKET_INPUTS = ("log_days_ago", "log_size", "log_gap_before", "log_units", "repeat_share")
"""Inputs of a basket."""


def customer_inputs(
    flat: FlatHistories, bought: CustomerItems, means: CustomerMeans, repeats: Floats, now: int
) -> Floats:
    """``CUSTOMER_INPUTS`` of each customer, float32 ``[customers, inputs]``; zeros for one without baskets.

    ``repeats``: as ``repeats_by_basket`` returns them.
    """
    n = len(flat.n_baskets)
    if len(flat.basket_date) == 0:
        return np.zeros((n, len(CUSTOMER_INPUTS)), np.float32)
    ends = flat.n_baskets.cumsum()
    last = np.maximum(ends - 1, 0)
    n_baskets = np.maximum(flat.n_baskets, 1)
    entries_until = np.concatenate([_ZERO, flat.basket_size.cumsum()])
    entries = entries_until[ends] - entries_until[ends - flat.n_baskets]
    size_of_three = entries_until[ends] - entries_until[ends - np.minimum(flat.n_baskets, 3)]
    last_size = flat.basket_size[last]
    distinct = np.bincount(bought.customer, minlength=n)
    days, days_first = np.maximum(now - np.array([flat.last_date, flat.first_date]), 0) / DAY
    logs = np.log1p(
        np.array(
            [
                flat.n_baskets,
                entries / n_baskets,
                last_size,
                size_of_three / np.minimum(n_baskets, 3),
                means.gap_days,
                days,
                days_first,
                distinct,
                np.bincount(flat.returned_customer, minlength=n),
            ]
        )
    )
    inputs = np.array(
        [
            *logs[:6],
            logs[5] - logs[4],
            days < 1.0,
            *logs[6:8],
            1.0 - distinct / np.maximum(entries, 1),
            repeats[last] / np.maximum(last_size, 1),
            means.log_quantity,
            means.log_price,
            logs[8],
        ],
        np.float32,
    ).T
    inputs[flat.n_baskets == 0] = 0.0
    return inputs


_ZERO = np.zeros(1, np.int64)


def basket_inputs(flat: FlatHistories, repeats: Floats, now: int) -> Floats:
    """``BASKET_INPUTS`` of the newest baskets, float32 ``[customers, STEPS, inputs]``, newest last, else zeros.

    ``repeats``: as ``repeats_by_basket`` returns them.
    """
    inputs = np.zeros((len(flat.n_baskets), STEPS, len(BASKET_INPUTS)), np.float32)
    size = len(flat.basket_date)
    if size == 0:
        return inputs
    gap = np.zeros(size, np.int64)
    same = flat.basket_customer[1:] == flat.basket_customer[:-1]
    gap[1:] = np.maximum(flat.basket_date[1:] - flat.basket_date[:-1], 0) * same
    units = np.bincount(flat.entry_basket, weights=flat.quantity, minlength=size)
    use = (flat.basket_ago < STEPS).nonzero()[0]
    columns = np.array([np.maximum(now - flat.basket_date, 0) / DAY, flat.basket_size, gap / DAY, units, repeats])[
        :, use
    ]
    columns[:4] = np.log1p(columns[:4])
    columns[4] /= np.maximum(flat.basket_size[use], 1)
    inputs[flat.basket_customer[use], STEPS - 1 - flat.basket_ago[use]] = columns.T
    return inputs


def repeats_by_basket(flat: FlatHistories, bought: CustomerItems) -> Floats:
    """Number of each basket's items that are in an earlier basket of the customer ``[baskets]``."""
    is_repeat = flat.entry_ago < bought.first_ago[bought.of_entry]
    return np.bincount(flat.entry_basket, weights=is_repeat, minlength=len(flat.basket_date)).astype(np.float32)
