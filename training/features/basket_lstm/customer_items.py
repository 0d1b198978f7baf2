"""The items each customer bought: counts, dates, quantities and prices, one entry a customer and item."""

from typing import NamedTuple

import numpy as np

from state.events.dates import DAY
from training.features.basket_lstm.flat_histories import FlatHistories, Floats, Ints

BASKET_DECAY = 0.85
"""Weight of a basket relative to the one after it in ``decayed_count``."""
SLOW_BASKET_DECAY = 0.95
"""The same in ``slowly_decayed_count``, in item-to-item scores and in the baseline scores."""
DECAY_HALF_LIFE = 45 * DAY
"""Half-life of ``time_decayed_count``."""


class CustomerItems(NamedTuple):
    """The items each customer bought and has not returned, sorted by ``key`` = customer × items + row.

    ``of_entry`` ``[entries]`` is the position here of each entry of the flat histories; ``log_quantity`` ``[entries]``
    is the log of 1 + units. The others are ``[items bought]``: ``n_baskets`` (baskets with it), ``first_ago`` and
    ``last_ago`` (baskets), ``last_days`` (days since), ``span_days`` (first to last), ``decayed_count``,
    ``slowly_decayed_count`` and ``time_decayed_count`` (counts in which older baskets weigh less), ``mean_quantity``,
    ``last_quantity`` (logs), ``last_price``.
    """

    key: Ints
    customer: Ints
    row: Ints
    of_entry: Ints
    log_quantity: Floats
    n_baskets: Floats
    first_ago: Ints
    last_ago: Ints
    last_days: Floats
    span_days: Floats
    decayed_count: Floats
    slowly_decayed_count: Floats
    time_decayed_count: Floats
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
    # Entries are oldest first: of several assignments to one position the last one stays.
    last_entry = np.zeros(size, np.int64)
    last_entry[of_entry] = np.arange(len(of_entry))
    first_entry = np.zeros(size, np.int64)
    first_entry[of_entry[::-1]] = np.arange(len(of_entry))[::-1]

    def summed(weights: Floats) -> Floats:
        return np.bincount(of_entry, weights=weights, minlength=size).astype(np.float32)

    return CustomerItems(
        key=key,
        customer=key // n_items,
        row=key % n_items,
        of_entry=of_entry,
        log_quantity=log_quantity,
        n_baskets=count.astype(np.float32),
        first_ago=ago[first_entry],
        last_ago=ago[last_entry],
        last_days=days[last_entry].astype(np.float32),
        span_days=(days[first_entry] - days[last_entry]).astype(np.float32),
        decayed_count=summed(BASKET_DECAY**ago),
        slowly_decayed_count=summed(SLOW_BASKET_DECAY**ago),
        time_decayed_count=summed(np.exp2(-days * (DAY / DECAY_HALF_LIFE))),
        mean_quantity=(np.bincount(of_entry, weights=log_quantity, minlength=size) / np.maximum(count, 1)).astype(
            np.float32
        ),
        last_quantity=log_quantity[last_entry],
        last_price=flat.price[last_entry],
    )


def max_per_customer(values: Floats, bought: CustomerItems, customers: int) -> Floats:
    """The greatest value among each customer's items, float32 ``[customers]``; a little above 0 without any."""
    greatest = np.full(customers, 1e-6, np.float32)
    if len(bought.key):
        starts = np.flatnonzero(np.concatenate([[True], bought.customer[1:] != bought.customer[:-1]]))
        greatest[bought.customer[starts]] = np.maximum.reduceat(values, starts)
    return greatest
