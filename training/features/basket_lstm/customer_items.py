"""Own items: what a customer's history says of each item the customer kept before."""

from typing import NamedTuple

import numpy as np

from state.events.dates import DAY
from training.features.basket_lstm.flat_histories import FlatHistories, Floats, Ints

FADE_A_BASKET = 0.85
FADE = 0.95
"""What a basket counts against the one after it: for item-to-item, and in the simple scores."""
FADE_HALF_LIFE = 45 * DAY


class CustomerItems(NamedTuple):
    """The items each customer kept, one a (customer, row), sorted by ``key`` = customer × items + row.

    ``of_entry`` ``[entries]`` leads from an entry of the past to its own item; ``log_quantity`` ``[entries]`` is the
    log of 1 + units. The others are ``[own items]``: ``times`` (baskets with it), ``first_ago`` and ``last_ago``
    (baskets), ``last_days`` (days since), ``span_days`` (first to last), ``faded``, ``faded_slowly`` and ``faded_days``
    (times in which older baskets weigh less), ``mean_quantity``, ``last_quantity`` (logs), ``last_price``.
    """

    key: Ints
    customer: Ints
    row: Ints
    of_entry: Ints
    log_quantity: Floats
    times: Floats
    first_ago: Ints
    last_ago: Ints
    last_days: Floats
    span_days: Floats
    faded: Floats
    faded_slowly: Floats
    faded_days: Floats
    mean_quantity: Floats
    last_quantity: Floats
    last_price: Floats


def customer_items(flat: FlatHistories, now: int, n_items: int) -> CustomerItems:
    """Sums up the entries of each customer and item."""
    customer = flat.basket_customer[flat.entry_basket]
    key, of_entry = np.unique(customer * n_items + flat.entry_row, return_inverse=True)
    size = len(key)
    ago = flat.basket_ago[flat.entry_basket]
    days = np.maximum(now - flat.basket_date[flat.entry_basket], 0) / DAY
    log_quantity = np.log1p(flat.quantity)
    count = np.bincount(of_entry, minlength=size)
    # Entries are oldest first: of several assignments to one place the last one stays.
    last_entry = np.zeros(size, np.int64)
    last_entry[of_entry] = np.arange(len(of_entry))
    first_entry = np.zeros(size, np.int64)
    first_entry[of_entry[::-1]] = np.arange(len(of_entry))[::-1]
    return CustomerItems(
        key=key,
        customer=key // n_items,
        row=key % n_items,
        of_entry=of_entry,
        log_quantity=log_quantity,
        times=count.astype(np.float32),
        first_ago=ago[first_entry],
        last_ago=ago[last_entry],
        last_days=days[last_entry].astype(np.float32),
        span_days=(days[first_entry] - days[last_entry]).astype(np.float32),
        faded=np.bincount(of_entry, weights=FADE_A_BASKET**ago, minlength=size).astype(np.float32),
        faded_slowly=np.bincount(of_entry, weights=FADE**ago, minlength=size).astype(np.float32),
        faded_days=np.bincount(of_entry, weights=np.exp2(-days * (DAY / FADE_HALF_LIFE)), minlength=size).astype(
            np.float32
        ),
        mean_quantity=(np.bincount(of_entry, weights=log_quantity, minlength=size) / np.maximum(count, 1)).astype(
            np.float32
        ),
        last_quantity=log_quantity[last_entry],
        last_price=flat.price[last_entry],
    )


def most(values: Floats, own: CustomerItems, customers: int) -> Floats:
    """The greatest value among each customer's items, float32 ``[customers]``; a little above 0 without any."""
    greatest = np.full(customers, 1e-6, np.float32)
    if len(own.key):
        starts = np.flatnonzero(np.concatenate([[True], own.customer[1:] != own.customer[:-1]]))
        greatest[own.customer[starts]] = np.maximum.reduceat(values, starts)
    return greatest
