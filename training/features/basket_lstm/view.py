"""View: all inputs of the network for a batch of customers. Training and service call the same function."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from state.domain.history import CustomerHistory
from state.domain.items import HALF_LIVES
from training.features.basket_lstm.candidates import CandidateSet, gather_candidates
from training.features.basket_lstm.customer_inputs import (
    CUSTOMER_INPUTS,
    basket_inputs,
    customer_inputs,
    repeats_by_basket,
)
from training.features.basket_lstm.customer_item_inputs import CUSTOMER_ITEM_INPUTS, customer_item_inputs
from training.features.basket_lstm.customer_items import CustomerItems, customer_items
from training.features.basket_lstm.customer_means import CustomerMeans, customer_means
from training.features.basket_lstm.flat_histories import STEPS, FlatHistories, Floats, Ints, flatten
from training.features.basket_lstm.global_statistics import GlobalStatistics
from training.features.basket_lstm.i2i_scores import I2I_CANDIDATE_INPUTS
from training.features.basket_lstm.large_catalogue import gather_from_large_catalogue
from training.features.basket_lstm.retrieval import MAX_SCORED, Retrieval
from training.features.basket_lstm.text_similarity import TEXT_INPUTS, text_similarity
from training.features.item_inputs import ITEM_STATE_INPUTS, ItemSnapshot, item_state_inputs
from training.features.item_table import ItemTable

ITEM_STATISTIC_INPUTS = (
    "rebuy_rate",
    "recent_rebuy_rate",
    "buyers_basket_size_over_customer",
    "buyers_quantity_over_customer",
    "buyers_n_baskets_over_customer",
    "buyers_basket_size_distance",
    "buyers_quantity_distance",
    "buyers_n_baskets_distance",
)
"""Inputs from how an item is bought: how often again, and the difference between its recent buyers and this customer,
with sign and absolute: wholesalers and small shops do not buy the same things."""
BASELINE_INPUTS = ("log_count_demand", "log_ease_count_demand")
"""Logs of the scores of the two best baselines (docs/models/baselines.md), so that the network need not learn them."""
CANDIDATE_INPUTS = (
    *CUSTOMER_ITEM_INPUTS,
    *ITEM_STATISTIC_INPUTS,
    *I2I_CANDIDATE_INPUTS,
    *TEXT_INPUTS,
    *BASELINE_INPUTS,
    *ITEM_STATE_INPUTS,
)
"""Columns of ``View.candidate_inputs``."""
STEP_INPUTS = (
    "in_basket",
    "i2i_score_basket",
    "log_quantity_over_customer_mean",
    "log_price_now_over_basket",
    "text_similarity_basket",
    "demand_in_week_of_basket",
)
"""Inputs of a candidate and one of the newest ``STEPS`` baskets: what the LSTM reads at a time step."""

_CUSTOMER_COLUMNS = [CUSTOMER_INPUTS.index(name) for name in ("log_mean_size", "log_quantity", "log_baskets")]
"""The customer's inputs that go with ``ITEM_STATISTICS`` from its third column on."""


class View(NamedTuple):
    """Inputs of a batch of customers, candidates flattened over customers and sorted by customer, then row.

    Attributes:
        customer: Position of a candidate's customer in the batch, int64 ``[candidates]``.
        row: Row in the item table (from ``len(items)`` on: not in the table), int64 ``[candidates]``.
        is_held: Whether the customer bought it and did not return all of it, bool ``[candidates]``.
        candidate_inputs: float32 ``[candidates, CANDIDATE_INPUTS]``.
        customer_inputs: float32 ``[customers, CUSTOMER_INPUTS]``.
        step_inputs: float32 ``[candidates, STEPS, STEP_INPUTS]``, the newest basket last, zeros before the first one.
        basket_inputs: float32 ``[customers, STEPS, BASKET_INPUTS]``, likewise.
        length: Number of the ``STEPS`` that hold a basket, int64 ``[customers]``.
        unknown: Stock codes of the rows that are not in the table.
        item_index: Index of each candidate in the vocabulary, int64 ``[candidates]``.
        customer_items: The items the customers bought, for explanations.
        customer_item_index: Index of each of these items in the vocabulary.
    """

    customer: Ints
    row: Ints
    is_held: NDArray[np.bool_]
    candidate_inputs: Floats
    customer_inputs: Floats
    step_inputs: Floats
    basket_inputs: Floats
    length: Ints
    unknown: list[str]
    item_index: Ints
    customer_items: CustomerItems
    customer_item_index: Ints


def build_view(
    histories: Sequence[CustomerHistory],
    items: ItemTable,
    now: int,
    statistics: GlobalStatistics,
    retrieval: Retrieval | None = None,
) -> View:
    """Computes the network's inputs for some customers.

    Args:
        histories: Of any length; a customer without baskets gets the candidates of an empty history.
        items: The item table as of ``now``.
        now: Time of the prediction, seconds since 1970; later dates count as ``now``.
        statistics: Of the baskets before ``now``.
        retrieval: How candidates are retrieved, and how many.

    Returns:
        A view with finite numbers only, whatever the dates, prices and quantities.
    """
    flat = flatten(histories, items)
    bought = customer_items(flat, now, len(items) + len(flat.unknown))
    if len(items) <= MAX_SCORED:
        snapshot = ItemSnapshot.at(items, now, len(flat.unknown))
        candidates = gather_candidates(flat, bought, snapshot, statistics, items, retrieval or Retrieval())
    else:
        candidates, snapshot = gather_from_large_catalogue(
            flat, bought, statistics, items, now, retrieval or Retrieval()
        )
    means = customer_means(flat, bought)
    position = candidates.bought
    log_price = snapshot.log_price[snapshot.positions(candidates.row)]
    binding = statistics.bind(items)
    similarity = text_similarity(flat, bought, candidates.customer, candidates.row, position, binding.vectors)
    repeats = repeats_by_basket(flat, bought)
    of_customer = customer_inputs(flat, bought, means, repeats, now)
    candidate_inputs = np.concatenate(
        [
            customer_item_inputs(
                bought, position, means, flat, log_price, candidates.customer, candidates.row, snapshot.size
            ),
            _item_statistic_inputs(statistics.item_statistics[candidates.item_index], of_customer, candidates.customer),
            candidates.i2i_inputs,
            similarity.candidate_inputs,
            _baseline_inputs(bought, position, candidates, snapshot),
            item_state_inputs(snapshot, candidates.row, means.log_price[candidates.customer]),
        ],
        dtype=np.float32,
    ).T
    return View(
        customer=candidates.customer,
        row=candidates.row,
        is_held=position >= 0,
        candidate_inputs=candidate_inputs,
        customer_inputs=of_customer,
        step_inputs=_step_inputs(
            flat,
            bought,
            means,
            position,
            candidates.i2i_by_step,
            similarity.by_step,
            statistics.weeks.at_baskets(flat, candidates.customer, candidates.item_index),
            log_price,
        ),
        basket_inputs=basket_inputs(flat, repeats, now),
        length=np.minimum(flat.n_baskets, STEPS),
        unknown=flat.unknown,
        item_index=candidates.item_index,
        customer_items=bought,
        customer_item_index=binding.indexes_of(bought.row),
    )


def _item_statistic_inputs(item_statistics: Floats, of_customer: Floats, customer: Ints) -> Floats:
    """``ITEM_STATISTIC_INPUTS`` of each candidate, float32 ``[inputs, candidates]``."""
    statistics = np.ascontiguousarray(item_statistics.T)
    over = statistics[2:] - of_customer[:, _CUSTOMER_COLUMNS].T.take(customer, axis=1)
    return np.concatenate([statistics[:2], over, np.abs(over)])


def _baseline_inputs(bought: CustomerItems, position: Ints, candidates: CandidateSet, snapshot: ItemSnapshot) -> Floats:
    """``BASELINE_INPUTS`` of each candidate, float32 ``[inputs, candidates]``."""
    week = HALF_LIVES.index(7.0)
    greatest_demand = float(np.log1p(snapshot.max_demand[week]))
    demand = np.log1p(snapshot.demand[snapshot.positions(candidates.row), week]) / max(greatest_demand, 1e-6)
    is_held = position >= 0
    count, decayed = np.zeros((2, len(position)), np.float32)
    count[is_held] = bought.n_baskets[position[is_held]]
    decayed[is_held] = bought.slowly_decayed_over_max[position[is_held]]
    i2i_score = candidates.i2i_inputs[I2I_CANDIDATE_INPUTS.index("i2i_score_baskets")]
    scores = np.array([count * (0.001 + demand) + 0.001 * demand, (decayed + i2i_score) * (0.001 + demand)])
    inputs: Floats = np.log(np.maximum(scores, 1e-6))
    return inputs


def _step_inputs(
    flat: FlatHistories,
    bought: CustomerItems,
    means: CustomerMeans,
    position: Ints,
    i2i_by_step: Floats,
    similarity_by_step: Floats,
    demand_by_step: Floats,
    log_price: Floats,
) -> Floats:
    """``View.step_inputs``; ``position`` is each candidate's position in ``bought``, −1 where it is new."""
    columns = np.zeros((STEPS, len(STEP_INPUTS), len(position)), np.float32)  # as the network reads them
    columns[:, 1] = i2i_by_step
    columns[:, 4] = similarity_by_step
    columns[:, 5] = demand_by_step
    inputs = columns.transpose(2, 0, 1)
    if len(bought.key) == 0:
        return inputs
    candidate_at = np.full(len(bought.key), -1, np.int64)
    held = (position >= 0).nonzero()[0]
    candidate_at[position[held]] = held
    ago = flat.entry_ago
    at = candidate_at[bought.of_entry]
    use = (at >= 0) & (ago < STEPS)
    at, step = at[use], STEPS - 1 - ago[use]
    buyer = flat.entry_customer[use]
    inputs[at, step, 0] = 1.0
    inputs[at, step, 2] = bought.log_quantity[use] - means.log_quantity[buyer]
    inputs[at, step, 3] = log_price[at] - np.log(np.maximum(flat.price[use], 1e-4))
    return inputs
