"""Inputs of a customer and of each of the customer's newest baskets."""

import numpy as np

from state.events.dates import DAY
from training.features.basket_lstm.customer_items import CustomerItems
from training.features.basket_lstm.customer_means import CustomerMeans, basket_dates, first_and_last
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


def customer_inputs(flat: FlatHistories, bought: CustomerItems, means: CustomerMeans, now: int) -> Floats:
    """``CUSTOMER_INPUTS`` of each customer, float32 ``[customers, inputs]``; zeros for one without baskets."""
    n = len(flat.n_baskets)
    customer = flat.basket_customer[flat.entry_basket]
    first, last = first_and_last(flat)
    n_baskets = np.maximum(flat.n_baskets, 1)
    entries = np.bincount(customer, minlength=n)
    sizes = np.bincount(flat.entry_basket, minlength=len(flat.basket_date))
    ago = flat.basket_ago
    recent = ago < 3
    last_size = np.bincount(flat.basket_customer[ago == 0], weights=sizes[ago == 0], minlength=n)
    size_of_three = np.bincount(flat.basket_customer[recent], weights=sizes[recent], minlength=n)
    distinct = np.bincount(bought.customer, minlength=n)
    repeats = _repeats(flat, bought)
    newest = flat.basket_ago[flat.entry_basket] == 0
    repeats_of_last = np.bincount(customer[newest], weights=repeats[newest], minlength=n)
    days = np.maximum(now - basket_dates(flat, last), 0) / DAY
    days_first = np.maximum(now - basket_dates(flat, first), 0) / DAY
    inputs = np.stack(
        [
            np.log1p(flat.n_baskets),
            np.log1p(entries / n_baskets),
            np.log1p(last_size),
            np.log1p(size_of_three / np.minimum(n_baskets, 3)),
            np.log1p(means.gap_days),
            np.log1p(days),
            np.log((days + 1.0) / (means.gap_days + 1.0)),
            days < 1.0,
            np.log1p(days_first),
            np.log1p(distinct),
            1.0 - distinct / np.maximum(entries, 1),
            repeats_of_last / np.maximum(last_size, 1),
            means.log_quantity,
            means.log_price,
            np.log1p(np.bincount(flat.returned_customer, minlength=n)),
        ],
        axis=1,
    ).astype(np.float32)
    inputs[flat.n_baskets == 0] = 0.0
    return inputs


def basket_inputs(flat: FlatHistories, bought: CustomerItems, now: int) -> Floats:
    """``BASKET_INPUTS`` of the newest baskets, float32 ``[customers, STEPS, inputs]``, newest last, else zeros."""
    inputs = np.zeros((len(flat.n_baskets), STEPS, len(BASKET_INPUTS)), np.float32)
    size = len(flat.basket_date)
    if size == 0:
        return inputs
    sizes = np.bincount(flat.entry_basket, minlength=size)
    before = np.concatenate([flat.basket_date[:1], flat.basket_date[:-1]])
    oldest = np.concatenate([[True], flat.basket_customer[1:] != flat.basket_customer[:-1]])
    gap = np.where(oldest, 0, np.maximum(flat.basket_date - before, 0)) / DAY
    units = np.bincount(flat.entry_basket, weights=flat.quantity, minlength=size)
    repeats = np.bincount(flat.entry_basket, weights=_repeats(flat, bought), minlength=size)
    days = np.maximum(now - flat.basket_date, 0) / DAY
    use = flat.basket_ago < STEPS
    columns = [np.log1p(days), np.log1p(sizes), np.log1p(gap), np.log1p(units), repeats / np.maximum(sizes, 1)]
    inputs[flat.basket_customer[use], STEPS - 1 - flat.basket_ago[use]] = np.stack(columns, axis=1)[use]
    return inputs


def _repeats(flat: FlatHistories, bought: CustomerItems) -> Floats:
    """1 for each entry whose item is in an earlier basket of the customer, else 0."""
    ago = flat.basket_ago[flat.entry_basket]
    return (ago < bought.first_ago[bought.of_entry]).astype(np.float32)
