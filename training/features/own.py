"""Own items: what a customer's history says of each item the customer kept before."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from state.dates import DAY
from training.features.past import Floats, Ints, Past

if TYPE_CHECKING:
    from training.features.person import Norms

OWN_INPUTS = (
    "known",
    "log_count",
    "count_per_basket",
    "count_per_basket_since_first",
    "log_baskets_since_last",
    "log_days_since_last",
    "faded_by_baskets",
    "faded_by_days",
    "days_since_last_over_gap",
    "bought_more_than_once",
    "mean_quantity_over_norm",
    "last_quantity_over_norm",
    "price_now_over_last",
    "count_over_most",
    "faded_over_most",
    "taken_back",
)
"""Inputs of a candidate from the customer's own purchases of it; all 0 for an item new to the customer but the last."""

FADE_A_BASKET = 0.85
FADE = 0.95
"""What a basket counts against the one after it: for item-to-item, and in the simple scores."""
FADE_HALF_LIFE = 45 * DAY


class OwnItems(NamedTuple):
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


def own_items(past: Past, now: int, n_items: int) -> OwnItems:
    """Sums up the entries of each customer and item."""
    customer = past.basket_customer[past.entry_basket]
    key, of_entry = np.unique(customer * n_items + past.entry_row, return_inverse=True)
    size = len(key)
    ago = past.basket_ago[past.entry_basket]
    days = np.maximum(now - past.basket_date[past.entry_basket], 0) / DAY
    log_quantity = np.log1p(past.quantity)
    count = np.bincount(of_entry, minlength=size)
    # Entries are oldest first: of several assignments to one place the last one stays.
    last_entry = np.zeros(size, np.int64)
    last_entry[of_entry] = np.arange(len(of_entry))
    first_entry = np.zeros(size, np.int64)
    first_entry[of_entry[::-1]] = np.arange(len(of_entry))[::-1]
    return OwnItems(
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
        last_price=past.price[last_entry],
    )


def own_inputs(
    own: OwnItems,
    place: Ints,
    norm: "Norms",
    past: Past,
    log_price: Floats,
    customer: Ints,
    row: Ints,
    n_items: int,
    now: int,
) -> Floats:
    """``OWN_INPUTS`` of each candidate, float32 ``[candidates, inputs]``.

    Args:
        own: The customers' own items.
        place: For each candidate its own item, -1 where it is new to the customer.
        norm: What is usual for each customer.
        past: The flat history, for what was taken back.
        log_price: Log of each candidate's price now.
        customer: Each candidate's customer.
        row: Each candidate's row.
        n_items: Number of rows.
        now: The moment, seconds since 1970.
    """
    inputs = np.zeros((len(place), len(OWN_INPUTS)), np.float32)
    at = np.flatnonzero(place >= 0)
    mine = place[at]
    if len(mine):
        whose = own.customer[mine]
        count, last_days = own.times[mine], own.last_days[mine]
        gap = np.where(count > 1, own.span_days[mine] / np.maximum(count - 1, 1), norm.gap_days[whose])
        inputs[at] = np.stack(
            [
                np.ones(len(at)),
                np.log1p(count),
                count / past.n_baskets[whose],
                count / (own.first_ago[mine] + 1),
                np.log1p(own.last_ago[mine]),
                np.log1p(last_days),
                own.faded[mine],
                own.faded_days[mine],
                np.log((last_days + 1.0) / (gap + 1.0)),
                count > 1,
                own.mean_quantity[mine] - norm.log_quantity[whose],
                own.last_quantity[mine] - norm.log_quantity[whose],
                log_price[at] - np.log(np.maximum(own.last_price[mine], 1e-4)),
                own.times[mine] / most(own.times, own, len(past.n_baskets))[whose],
                own.faded[mine] / most(own.faded, own, len(past.n_baskets))[whose],
                np.zeros(len(at)),
            ],
            axis=1,
        )
    if len(past.taken_row):
        inputs[:, -1] = np.isin(customer * n_items + row, past.taken_customer * n_items + past.taken_row)
    return inputs


def most(values: Floats, own: OwnItems, customers: int) -> Floats:
    """The greatest value among each customer's items, float32 ``[customers]``; a little above 0 without any."""
    greatest = np.full(customers, 1e-6, np.float32)
    if len(own.key):
        starts = np.flatnonzero(np.concatenate([[True], own.customer[1:] != own.customer[:-1]]))
        greatest[own.customer[starts]] = np.maximum.reduceat(values, starts)
    return greatest
