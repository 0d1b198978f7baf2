"""Means of each customer: quantity, price, and the gap between two baskets."""

from typing import NamedTuple

import numpy as np

from state.events.dates import DAY
from training.features.basket_lstm.customer_items import CustomerItems
from training.features.basket_lstm.flat_histories import FlatHistories, Floats

DEFAULT_GAP_DAYS = 45.0
"""Days between two baskets for a customer with one basket only (the mean in Online Retail is 43)."""


class CustomerMeans(NamedTuple):
    """Means of each customer ``[customers]``: of the logs of quantity and price, and of the gaps in days."""

    log_quantity: Floats
    log_price: Floats
    gap_days: Floats


def customer_means(flat: FlatHistories, bought: CustomerItems) -> CustomerMeans:
    """Means of each customer; 0, and ``DEFAULT_GAP_DAYS``, for one without baskets."""
    n = len(flat.n_baskets)
    customer = flat.entry_customer
    entries = np.maximum(np.bincount(customer, minlength=n), 1)
    price = np.log(np.maximum(flat.price, 1e-4))
    gaps = flat.n_baskets - 1
    span = flat.last_date - flat.first_date
    return CustomerMeans(
        log_quantity=(np.bincount(customer, weights=bought.log_quantity, minlength=n) / entries).astype(np.float32),
        log_price=(np.bincount(customer, weights=price, minlength=n) / entries).astype(np.float32),
        gap_days=np.where(gaps > 0, span / DAY / np.maximum(gaps, 1), DEFAULT_GAP_DAYS).astype(np.float32),
    )
