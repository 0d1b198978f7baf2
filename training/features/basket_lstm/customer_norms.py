"""What is usual for each customer: quantity, price, and the gap between two baskets."""

from typing import NamedTuple

import numpy as np

from state.events.dates import DAY
from training.features.basket_lstm.customer_items import OwnItems
from training.features.basket_lstm.flat_histories import Floats, Ints, Past

USUAL_GAP = 45.0
"""Days between two baskets for a customer with one basket only (the mean in Online Retail is 43)."""


class Norms(NamedTuple):
    """What is usual for each customer ``[customers]``: mean logs of quantity and price, and mean gap in days."""

    log_quantity: Floats
    log_price: Floats
    gap_days: Floats


def norms(past: Past, own: OwnItems) -> Norms:
    """What is usual for each customer; 0, and the usual gap, for one without baskets."""
    n = len(past.n_baskets)
    customer = past.basket_customer[past.entry_basket]
    entries = np.maximum(np.bincount(customer, minlength=n), 1)
    price = np.log(np.maximum(past.price, 1e-4))
    first, last = ends(past)
    gaps = past.n_baskets - 1
    span = dates(past, last) - dates(past, first)
    return Norms(
        log_quantity=(np.bincount(customer, weights=own.log_quantity, minlength=n) / entries).astype(np.float32),
        log_price=(np.bincount(customer, weights=price, minlength=n) / entries).astype(np.float32),
        gap_days=np.where(gaps > 0, span / DAY / np.maximum(gaps, 1), USUAL_GAP).astype(np.float32),
    )


def ends(past: Past) -> tuple[Ints, Ints]:
    """Position of each customer's first and last basket (of a neighbour's, where there is none)."""
    ends = np.cumsum(past.n_baskets)
    return np.maximum(ends - past.n_baskets, 0), np.maximum(ends - 1, 0)


def dates(past: Past, position: Ints) -> Ints:
    """Dates of baskets by position, 0 where there is none."""
    if len(past.basket_date) == 0:
        return np.zeros(len(position), np.int64)
    return past.basket_date[np.minimum(position, len(past.basket_date) - 1)]
