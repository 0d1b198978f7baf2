"""The items each customer bought: counts, dates, quantities and prices, one entry a customer and item."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

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
    ``slowly_decayed_count`` and ``time_decayed_count`` (counts in which older baskets weigh less), ``…_over_max`` (the
    share of the customer's greatest), ``mean_quantity``, ``last_quantity`` (logs), ``last_price``.
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
    count_over_max: Floats
    decayed_over_max: Floats
    slowly_decayed_over_max: Floats
    mean_quantity: Floats
    last_quantity: Floats
    last_price: Floats


def customer_items(flat: FlatHistories, now: int, n_items: int) -> CustomerItems:
    """Sums up the entries of each customer and item."""
    customer = flat.entry_customer
    key, of_entry = np.unique(customer * n_items + flat.entry_row, return_inverse=True)
    size = len(key)
    ago = flat.entry_ago
    days = np.maximum(now - flat.basket_date[flat.entry_basket], 0) / DAY
    log_quantity = np.log1p(flat.quantity)
    count = np.bincount(of_entry, minlength=size)
    # Entries are oldest first: of several assignments to one position the last one stays.
    last_entry = np.zeros(size, np.int64)
    last_entry[of_entry] = np.arange(len(of_entry))
    first_entry = np.zeros(size, np.int64)
    first_entry[of_entry[::-1]] = np.arange(len(of_entry))[::-1]

    def summed(weights: NDArray[np.floating]) -> Floats:
        return np.bincount(of_entry, weights=weights, minlength=size).astype(np.float32)

    buyer, row = np.divmod(key, n_items)
    baskets_ago = np.arange(ago.max(initial=-1) + 1)
    decayed, slowly_decayed = (summed((decay**baskets_ago)[ago]) for decay in (BASKET_DECAY, SLOW_BASKET_DECAY))
    counts = np.array([count, decayed, slowly_decayed], np.float32)
    over_max = counts / _greatest(counts, buyer)
    return CustomerItems(
        key=key,
        customer=buyer,
        row=row,
        of_entry=of_entry,
        log_quantity=log_quantity,
        n_baskets=counts[0],
        first_ago=ago[first_entry],
        last_ago=ago[last_entry],
        last_days=days[last_entry].astype(np.float32),
        span_days=(days[first_entry] - days[last_entry]).astype(np.float32),
        decayed_count=decayed,
        slowly_decayed_count=slowly_decayed,
        time_decayed_count=summed(np.exp2(-days * (DAY / DECAY_HALF_LIFE))),
        count_over_max=over_max[0],
        decayed_over_max=over_max[1],
        slowly_decayed_over_max=over_max[2],
        mean_quantity=(np.bincount(of_entry, weights=log_quantity, minlength=size) / count).astype(np.float32),
        last_quantity=log_quantity[last_entry],
        last_price=flat.price[last_entry],
    )


_FIRST = np.zeros(1, np.int64)


def _greatest(values: Floats, customer: Ints) -> Floats:
    """The greatest of each row of values among the items of each item's customer, like ``values`` ``[..., items]``."""
    if len(customer) == 0:
        return values
    starts = np.concatenate([_FIRST, (customer[1:] != customer[:-1]).nonzero()[0] + 1])
    sizes = np.empty_like(starts)
    np.subtract(starts[1:], starts[:-1], out=sizes[:-1])
    sizes[-1] = len(customer) - starts[-1]
    greatest: Floats = np.maximum.reduceat(values, starts, axis=1).repeat(sizes, axis=1)
    return greatest
