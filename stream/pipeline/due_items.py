"""Who is due for an item: customers whose recommendation has it, by the chance that they come and buy it."""

import msgspec
import numpy as np
from numpy.typing import NDArray

from state.domain.due import basket_value, chance_within
from state.store.protocol import Store
from stream.pipeline.due import DueOrder, DueQuery, chances_within, ordered, return_curves, shop_mean
from stream.pipeline.due_index import DueColumns, read_rest
from training.serving.scorer import HORIZONS, ReturnSurvival, Scorer

MAX_READ = 500
"""Histories that are read at most where the model's return is not in the index: of the greatest probabilities."""


def item_order(stock_code: str, columns: DueColumns, query: DueQuery, store: Store, scorer: Scorer) -> DueOrder:
    """Customers by the chance of a purchase within the window times the probability of the item in it.

    Args:
        stock_code: Of the item.
        columns: The index with the rests, which have the recommendations last confirmed.
        query: The window, and how many customers.
        store: Histories; read only where the scorer is no ``ReturnSurvival``.
        scorer: The model that predicts the return.

    Returns:
        Those with a purchase; ``eligible`` is the number of customers whose recommendation has the item.
    """
    rows, probability = _with_item(stock_code, columns)
    has_item = len(rows)
    if isinstance(scorer, ReturnSurvival):
        found = columns.rows[rows]
        chance = chances_within(found["survival"], found["last"], query)
    else:
        best = np.argsort(-probability, kind="stable")[:MAX_READ]
        states = store.customers([columns.customer_ids[row] for row in rows[best].tolist()])
        best = best[[state is not None for state in states]]
        rows, probability, found = rows[best], probability[best], columns.rows[rows[best]]
        histories = [state.history for state in states if state is not None]
        each = return_curves(scorer, histories, query.at).tolist() if histories else []
        chance = np.asarray([chance_within(curve, HORIZONS, query.within_days) for curve in each], np.float64)
    value = basket_value(found["spending"], found["purchases"].astype(np.float64), shop_mean(columns))
    ids = [columns.customer_ids[row] for row in rows.tolist()]
    order = ordered(len(columns.customer_ids), ids, chance * probability, value, found["last"], query.limit)
    return order._replace(eligible=has_item)


def _with_item(stock_code: str, columns: DueColumns) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The rows of customers with a purchase whose recommendation has the item, and its probability."""
    key = msgspec.json.encode(stock_code).decode() + ":"
    rests = columns.rests or []
    rows: list[int] = []
    probability: list[float] = []
    for row in [row for row, rest in enumerate(rests) if key in rest]:  # a list comprehension: 50 ns a customer
        found = read_rest(rests[row]).items.get(stock_code)
        if found is not None and columns.rows["purchases"][row]:
            rows.append(row)
            probability.append(found)
    return np.asarray(rows, np.int64), np.asarray(probability, np.float64)
