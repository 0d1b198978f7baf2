"""The person: what is usual for a customer, and what each of the newest baskets was like."""

import numpy as np

from state.events.dates import DAY
from training.features.basket_lstm.customer_items import OwnItems
from training.features.basket_lstm.customer_norms import Norms, dates, ends
from training.features.basket_lstm.flat_histories import STEPS, Floats, Past

PERSON_INPUTS = (
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
    "log_taken_back",
)
"""Inputs of a customer."""

BASKET_INPUTS = ("log_days_ago", "log_size", "log_gap_before", "log_units", "repeat_share")
"""Inputs of a basket."""


def person_inputs(past: Past, own: OwnItems, norm: Norms, now: int) -> Floats:
    """``PERSON_INPUTS`` of each customer, float32 ``[customers, inputs]``; zeros for one without baskets."""
    n = len(past.n_baskets)
    customer = past.basket_customer[past.entry_basket]
    first, last = ends(past)
    n_baskets = np.maximum(past.n_baskets, 1)
    entries = np.bincount(customer, minlength=n)
    sizes = np.bincount(past.entry_basket, minlength=len(past.basket_date))
    ago = past.basket_ago
    recent = ago < 3
    last_size = np.bincount(past.basket_customer[ago == 0], weights=sizes[ago == 0], minlength=n)
    size_of_three = np.bincount(past.basket_customer[recent], weights=sizes[recent], minlength=n)
    distinct = np.bincount(own.customer, minlength=n)
    repeats = _repeats(past, own)
    newest = past.basket_ago[past.entry_basket] == 0
    repeats_of_last = np.bincount(customer[newest], weights=repeats[newest], minlength=n)
    days = np.maximum(now - dates(past, last), 0) / DAY
    days_first = np.maximum(now - dates(past, first), 0) / DAY
    inputs = np.stack(
        [
            np.log1p(past.n_baskets),
            np.log1p(entries / n_baskets),
            np.log1p(last_size),
            np.log1p(size_of_three / np.minimum(n_baskets, 3)),
            np.log1p(norm.gap_days),
            np.log1p(days),
            np.log((days + 1.0) / (norm.gap_days + 1.0)),
            days < 1.0,
            np.log1p(days_first),
            np.log1p(distinct),
            1.0 - distinct / np.maximum(entries, 1),
            repeats_of_last / np.maximum(last_size, 1),
            norm.log_quantity,
            norm.log_price,
            np.log1p(np.bincount(past.taken_customer, minlength=n)),
        ],
        axis=1,
    ).astype(np.float32)
    inputs[past.n_baskets == 0] = 0.0
    return inputs


def basket_inputs(past: Past, own: OwnItems, now: int) -> Floats:
    """``BASKET_INPUTS`` of the newest baskets, float32 ``[customers, STEPS, inputs]``, newest last, else zeros."""
    inputs = np.zeros((len(past.n_baskets), STEPS, len(BASKET_INPUTS)), np.float32)
    size = len(past.basket_date)
    if size == 0:
        return inputs
    sizes = np.bincount(past.entry_basket, minlength=size)
    before = np.concatenate([past.basket_date[:1], past.basket_date[:-1]])
    oldest = np.concatenate([[True], past.basket_customer[1:] != past.basket_customer[:-1]])
    gap = np.where(oldest, 0, np.maximum(past.basket_date - before, 0)) / DAY
    units = np.bincount(past.entry_basket, weights=past.quantity, minlength=size)
    repeats = np.bincount(past.entry_basket, weights=_repeats(past, own), minlength=size)
    days = np.maximum(now - past.basket_date, 0) / DAY
    use = past.basket_ago < STEPS
    columns = [np.log1p(days), np.log1p(sizes), np.log1p(gap), np.log1p(units), repeats / np.maximum(sizes, 1)]
    inputs[past.basket_customer[use], STEPS - 1 - past.basket_ago[use]] = np.stack(columns, axis=1)[use]
    return inputs


def _repeats(past: Past, own: OwnItems) -> Floats:
    """1 for each entry whose item the customer kept in an earlier basket, else 0."""
    ago = past.basket_ago[past.entry_basket]
    return (ago < own.first_ago[own.of_entry]).astype(np.float32)
