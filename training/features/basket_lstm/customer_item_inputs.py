"""Inputs of a candidate from the customer's own purchases of it."""

import numpy as np

from training.features.basket_lstm.customer_items import CustomerItems, most
from training.features.basket_lstm.customer_norms import Norms
from training.features.basket_lstm.flat_histories import FlatHistories, Floats, Ints

CUSTOMER_ITEM_INPUTS = (
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


def customer_item_inputs(
    own: CustomerItems,
    place: Ints,
    norm: Norms,
    flat: FlatHistories,
    log_price: Floats,
    customer: Ints,
    row: Ints,
    n_items: int,
    now: int,
) -> Floats:
    """``CUSTOMER_ITEM_INPUTS`` of each candidate, float32 ``[candidates, inputs]``.

    Args:
        own: The items each customer kept.
        place: For each candidate its own item, -1 where it is new to the customer.
        norm: What is usual for each customer.
        flat: The flat history, for what was taken back.
        log_price: Log of each candidate's price now.
        customer: Each candidate's customer.
        row: Each candidate's row.
        n_items: Number of rows.
        now: The moment, seconds since 1970.
    """
    inputs = np.zeros((len(place), len(CUSTOMER_ITEM_INPUTS)), np.float32)
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
                count / flat.n_baskets[whose],
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
                own.times[mine] / most(own.times, own, len(flat.n_baskets))[whose],
                own.faded[mine] / most(own.faded, own, len(flat.n_baskets))[whose],
                np.zeros(len(at)),
            ],
            axis=1,
        )
    if len(flat.taken_row):
        inputs[:, -1] = np.isin(customer * n_items + row, flat.taken_customer * n_items + flat.taken_row)
    return inputs
