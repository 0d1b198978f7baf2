"""What is usual for each customer: quantity, price, and the gap between two baskets."""

from typing import NamedTuple

import numpy as np

from state.events.dates import DAY
from training.features.basket_lstm.customer_items import CustomerItems
from training.features.basket_lstm.flat_histories import FlatHistories, Floats, Ints

DEFAULT_GAP_DAYS = 45.0
"""Days between two baskets for a customer with one basket only (the mean in Online Retail is 43)."""


class Norms(NamedTuple):
    """What is usual for each customer ``[customers]``: mean logs of quantity and price, and mean gap in days."""

    log_quantity: Floats
    log_price: Floats
    gap_days: Floats


def norms(flat: FlatHistories, own: CustomerItems) -> Norms:
    """What is usual for each customer; 0, and the usual gap, for one without baskets."""
    n = len(flat.n_baskets)
    customer = flat.basket_customer[flat.entry_basket]
    entries = np.maximum(np.bincount(customer, minlength=n), 1)
    price = np.log(np.maximum(flat.price, 1e-4))
    first, last = ends(flat)
    gaps = flat.n_baskets - 1
    span = dates(flat, last) - dates(flat, first)
    return Norms(
        log_quantity=(np.bincount(customer, weights=own.log_quantity, minlength=n) / entries).astype(np.float32),
        log_price=(np.bincount(customer, weights=price, minlength=n) / entries).astype(np.float32),
        gap_days=np.where(gaps > 0, span / DAY / np.maximum(gaps, 1), DEFAULT_GAP_DAYS).astype(np.float32),
    )


def ends(flat: FlatHistories) -> tuple[Ints, Ints]:
    """Position of each customer's first and last basket (of a neighbour's, where there is none)."""
    ends = np.cumsum(flat.n_baskets)
    return np.maximum(ends - flat.n_baskets, 0), np.maximum(ends - 1, 0)


def dates(flat: FlatHistories, position: Ints) -> Ints:
    """Dates of baskets by position, 0 where there is none."""
    if len(flat.basket_date) == 0:
        return np.zeros(len(position), np.int64)
    return flat.basket_date[np.minimum(position, len(flat.basket_date) - 1)]
