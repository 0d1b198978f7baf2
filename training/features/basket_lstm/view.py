"""View: everything the network sees of a batch of customers. One function, for training and service alike."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from state.domain.history import CustomerHistory
from state.domain.items import HALF_LIVES
from training.features.basket_lstm.candidates import RELATED_INPUTS, Found, gather
from training.features.basket_lstm.customer_inputs import CUSTOMER_INPUTS, basket_inputs, customer_inputs
from training.features.basket_lstm.customer_item_inputs import CUSTOMER_ITEM_INPUTS, customer_item_inputs
from training.features.basket_lstm.customer_items import CustomerItems, customer_items, most
from training.features.basket_lstm.customer_norms import Norms, norms
from training.features.basket_lstm.flat_histories import STEPS, FlatHistories, Floats, Ints, flatten
from training.features.basket_lstm.global_statistics import GlobalStatistics
from training.features.basket_lstm.retrieval import Retrieval
from training.features.basket_lstm.text_similarity import TEXT_INPUTS, text_similarity
from training.features.item_inputs import ITEM_STATE_INPUTS, ItemSnapshot, item_state_inputs
from training.features.item_table import ItemTable

ITEM_STATISTIC_INPUTS = (
    "rebuy_ever",
    "rebuy_lately",
    "buyers_size_over_own",
    "buyers_quantity_over_own",
    "buyers_baskets_over_own",
    "buyers_size_apart",
    "buyers_quantity_apart",
    "buyers_baskets_apart",
)
"""Inputs from how an item is bought: how often again, and how far those who buy it lately are from this customer, with
the sign and without: wholesalers and small shops do not buy the same things."""
SIMPLE_INPUTS = ("log_count_demand", "log_ease_count_demand")
"""Inputs from the two best simple scores (docs/models/baselines.md): a base that the network need not find anew."""
CANDIDATE_INPUTS = (
    *CUSTOMER_ITEM_INPUTS,
    *ITEM_STATISTIC_INPUTS,
    *RELATED_INPUTS,
    *TEXT_INPUTS,
    *SIMPLE_INPUTS,
    *ITEM_STATE_INPUTS,
)
"""Columns of ``View.candidate``."""
STEP_INPUTS = (
    "in_basket",
    "basket_speaks",
    "log_quantity_over_norm",
    "log_price_now_over_then",
    "text_like_basket",
    "demand_then",
)
"""Inputs that depend on a candidate and a basket, of the newest ``STEPS`` baskets."""

_OWN = [CUSTOMER_INPUTS.index(name) for name in ("log_mean_size", "log_quantity", "log_baskets")]
"""What a customer has where ``ITEM_STATISTICS`` has what is usual for an item."""


class View(NamedTuple):
    """Inputs of a batch of customers, candidates flattened over customers and sorted by customer, then row.

    Attributes:
        customer: Which customer a candidate is of, int64 ``[candidates]``.
        row: Its row in the item table (from ``len(items)`` on: in no table), int64 ``[candidates]``.
        known: Whether the customer kept one before, bool ``[candidates]``.
        candidate: float32 ``[candidates, candidate inputs]``.
        person: float32 ``[customers, person inputs]``.
        steps: float32 ``[candidates, STEPS, step inputs]``, the newest basket in the last place, zeros where none is.
        baskets: float32 ``[customers, STEPS, basket inputs]``, likewise.
        length: How many of the ``STEPS`` hold a basket, int64 ``[customers]``.
        unknown: Codes of the rows that are in no table.
        place: Place of each candidate in the vocabulary, int64 ``[candidates]``.
        own: What the customers kept, for the reasons.
        own_place: Place of each of these items in the vocabulary.
    """

    customer: Ints
    row: Ints
    known: NDArray[np.bool_]
    candidate: Floats
    person: Floats
    steps: Floats
    baskets: Floats
    length: Ints
    unknown: list[str]
    place: Ints
    own: CustomerItems
    own_place: Ints


def build_view(
    histories: Sequence[CustomerHistory],
    items: ItemTable,
    now: int,
    statistics: GlobalStatistics,
    retrieval: Retrieval | None = None,
) -> View:
    """The network's inputs for some customers at one moment.

    Args:
        histories: Of any size, without baskets too: such a customer has the candidates of a stranger.
        items: What is known of the items at the moment.
        now: The moment, seconds since 1970; dates after it count as of it.
        statistics: What was learnt from everybody's baskets, before the moment.
        retrieval: How candidates are found, and how many.

    Returns:
        A view with finite numbers only, whatever the dates, prices and quantities.
    """
    flat = flatten(histories, items)
    shop = ItemSnapshot.at(items, now, len(flat.unknown))
    own = customer_items(flat, now, shop.size)
    found = gather(flat, own, shop, statistics, items, retrieval or Retrieval())
    norm = norms(flat, own)
    # Candidates and own items are both sorted by (customer, row), so each candidate's own item is found by bisection.
    key = found.customer * shop.size + found.row
    place = np.searchsorted(own.key, key)
    place[place == len(own.key)] = 0
    known = own.key[place] == key if len(own.key) else np.zeros(len(key), np.bool_)
    place[~known] = -1
    log_price = shop.log_price[found.row]
    similarity = text_similarity(flat, own, found.customer, found.row, statistics.bind(items).vectors)
    person = customer_inputs(flat, own, norm, now)
    candidate = np.concatenate(
        [
            customer_item_inputs(own, place, norm, flat, log_price, found.customer, found.row, shop.size, now),
            _habits(statistics.item_statistics[found.place], person[found.customer]),
            found.related,
            similarity.candidate,
            _simple(own, place, found, shop, len(flat.n_baskets)),
            item_state_inputs(shop, found.row, norm.log_price[found.customer]),
        ],
        axis=1,
        dtype=np.float32,
    )
    return View(
        customer=found.customer,
        row=found.row,
        known=known,
        candidate=candidate,
        person=person,
        steps=_steps(
            flat,
            own,
            norm,
            place,
            found.steps,
            similarity.steps,
            statistics.weeks.then(flat, found.customer, found.place),
            log_price,
        ),
        baskets=basket_inputs(flat, own, now),
        length=np.minimum(flat.n_baskets, STEPS),
        unknown=flat.unknown,
        place=found.place,
        own=own,
        own_place=np.concatenate(
            [statistics.bind(items).place_of_row, np.full(len(flat.unknown), len(statistics.codes))]
        )[own.row],
    )


def _habits(item_statistics: Floats, person: Floats) -> Floats:
    """``ITEM_STATISTIC_INPUTS`` of each candidate, float32 ``[candidates, inputs]``."""
    over = item_statistics[:, 2:] - person[:, _OWN]
    return np.concatenate([item_statistics[:, :2], over, np.abs(over)], axis=1)


def _simple(own: CustomerItems, place: Ints, found: Found, shop: ItemSnapshot, customers: int) -> Floats:
    """``SIMPLE_INPUTS`` of each candidate, float32 ``[candidates, inputs]``."""
    week = np.log1p(shop.demand[:, HALF_LIVES.index(7.0)])
    in_demand = (week / max(float(week.max(initial=0.0)), 1e-6))[found.row]
    mine = place >= 0
    count, faded = np.zeros(len(place), np.float32), np.zeros(len(place), np.float32)
    count[mine] = own.times[place[mine]]
    faded[mine] = (own.faded_slowly / most(own.faded_slowly, own, customers)[own.customer])[place[mine]]
    scores = np.stack(
        [
            count * (0.001 + in_demand) + 0.001 * in_demand,
            (faded + found.related[:, RELATED_INPUTS.index("baskets_speak")]) * (0.001 + in_demand),
        ],
        axis=1,
    )
    inputs: Floats = np.log(np.maximum(scores, 1e-6))
    return inputs


def _steps(
    flat: FlatHistories,
    own: CustomerItems,
    norm: Norms,
    place: Ints,
    speaks: Floats,
    similarity: Floats,
    demand_then: Floats,
    log_price: Floats,
) -> Floats:
    """``View.steps``: what each of the newest baskets says of each candidate."""
    steps = np.zeros((len(place), STEPS, len(STEP_INPUTS)), np.float32)
    steps[:, :, 1] = speaks
    steps[:, :, 4] = similarity
    steps[:, :, 5] = demand_then
    if len(own.key) == 0:
        return steps
    candidate_of_own = np.full(len(own.key), -1, np.int64)
    candidate_of_own[place[place >= 0]] = np.flatnonzero(place >= 0)
    ago = flat.basket_ago[flat.entry_basket]
    at = candidate_of_own[own.of_entry]
    use = (at >= 0) & (ago < STEPS)
    at, step = at[use], STEPS - 1 - ago[use]
    steps[at, step, 0] = 1.0
    steps[at, step, 2] = own.log_quantity[use] - norm.log_quantity[flat.basket_customer[flat.entry_basket[use]]]
    steps[at, step, 3] = log_price[at] - np.log(np.maximum(flat.price[use], 1e-4))
    return steps
