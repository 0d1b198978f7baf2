"""Inputs of a candidate from the customer's purchases of it."""

import numpy as np

from training.features.basket_lstm.customer_items import CustomerItems
from training.features.basket_lstm.customer_means import CustomerMeans
from training.features.basket_lstm.flat_histories import FlatHistories, Floats, Ints

CUSTOMER_ITEM_INPUTS = (
    "bought_before",
    "log_count",
    "count_per_basket",
    "count_per_basket_since_first",
    "log_baskets_since_last",
    "log_days_since_last",
    "decayed_count",
    "time_decayed_count",
    "days_since_last_over_gap",
    "bought_more_than_once",
    "mean_quantity_over_customer_mean",
    "last_quantity_over_customer_mean",
    "price_now_over_last",
    "count_over_max",
    "decayed_count_over_max",
    "returned",
)
"""Inputs of a candidate from the customer's purchases of it; all but the last are 0 for an item new to the customer."""


def customer_item_inputs(
    bought: CustomerItems,
    position: Ints,
    means: CustomerMeans,
    flat: FlatHistories,
    log_price: Floats,
    customer: Ints,
    row: Ints,
    n_items: int,
) -> Floats:
    """``CUSTOMER_ITEM_INPUTS`` of each candidate, float32 ``[inputs, candidates]``.

    Args:
        bought: The items the customers bought.
        position: For each candidate its position in ``bought``, −1 where it is new to the customer.
        means: Means of each customer.
        flat: The baskets, for the items returned.
        log_price: Log of each candidate's price now.
        customer: Each candidate's customer.
        row: Each candidate's row.
        n_items: Number of rows.
    """
    inputs = np.zeros((len(CUSTOMER_ITEM_INPUTS), len(position)), np.float32)
    held = (position >= 0).nonzero()[0]
    at = position[held]
    if len(at):
        buyer = bought.customer[at]
        count, last_days = bought.n_baskets[at], bought.last_days[at]
        gap = np.where(count > 1, bought.span_days[at] / np.maximum(count - 1, 1), means.gap_days[buyer])
        inputs[:, held] = np.array(
            [
                np.ones(len(held)),
                np.log1p(count),
                count / flat.n_baskets[buyer],
                count / (bought.first_ago[at] + 1),
                np.log1p(bought.last_ago[at]),
                np.log1p(last_days),
                bought.decayed_count[at],
                bought.time_decayed_count[at],
                np.log((last_days + 1.0) / (gap + 1.0)),
                count > 1,
                bought.mean_quantity[at] - means.log_quantity[buyer],
                bought.last_quantity[at] - means.log_quantity[buyer],
                log_price[held] - np.log(np.maximum(bought.last_price[at], 1e-4)),
                bought.count_over_max[at],
                bought.decayed_over_max[at],
                np.zeros(len(held)),
            ],
            np.float32,
        )
    if len(flat.returned_row):
        inputs[-1] = np.isin(customer * n_items + row, flat.returned_customer * n_items + flat.returned_row)
    return inputs
