"""Candidate generation: the few hundred items worth scoring for a customer, with their item-to-item scores."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.features.basket_lstm.customer_items import SLOW_BASKET_DECAY, CustomerItems
from training.features.basket_lstm.flat_histories import STEPS, FlatHistories, Floats, Ints
from training.features.basket_lstm.global_statistics import BASKETS, CUSTOMERS, I2I_VARIANTS, RECENT, GlobalStatistics
from training.features.basket_lstm.retrieval import Retrieval, RetrievalIndex, largest
from training.features.basket_lstm.text_similarity import unit_vectors
from training.features.item_inputs import ItemSnapshot
from training.features.item_table import ItemTable
from training.features.item_to_item import Neighbours

I2I_CANDIDATE_INPUTS = (
    *(f"i2i_score_{name}" for name in I2I_VARIANTS),
    *(f"last_basket_i2i_score_{name}" for name in (BASKETS, RECENT)),
)
"""Item-to-item scores of a candidate: of the whole history by each variant, and of the newest basket by two of them."""
MAX_I2I_SOURCES = 2_000
"""At most this many of a customer's newest entries count as sources: each costs one neighbour list."""


class CandidateSet(NamedTuple):
    """The candidates of a batch of customers, sorted by customer, then row.

    ``customer``, ``row`` int64 ``[n]`` · ``i2i_inputs`` float32 ``[n, I2I_CANDIDATE_INPUTS]`` · ``i2i_by_step`` float32
    ``[n, STEPS]``: the score by each of the newest baskets, the newest in the last column · ``item_index`` int64
    ``[n]``: index in the vocabulary.
    """

    customer: Ints
    row: Ints
    i2i_inputs: Floats
    i2i_by_step: Floats
    item_index: Ints


class I2ISources(NamedTuple):
    """The entries of one customer that item-to-item scores start from, oldest first.

    ``item_index`` (in the vocabulary), ``step`` (0 to STEPS − 1, the newest basket last; −1 for an older one),
    ``baskets_ago`` (0: the newest basket), ``basket_size``.
    """

    item_index: Ints
    step: Ints
    baskets_ago: Ints
    basket_size: Ints


class CustomerI2I(NamedTuple):
    """One customer's item-to-item scores, and the items they come from.

    ``scores`` as ``i2i_scores`` returns them · ``bought_row``, ``decayed_count`` ``[items bought]``: rows of the items
    the customer bought, and how often, older baskets counting less.
    """

    scores: Floats
    bought_row: Ints
    decayed_count: Floats


def gather_candidates(
    flat: FlatHistories,
    bought: CustomerItems,
    snapshot: ItemSnapshot,
    statistics: GlobalStatistics,
    items: ItemTable,
    retrieval: Retrieval,
) -> CandidateSet:
    """Finds each customer's candidates, one customer after the other: the dense scores then stay in the cache."""
    binding = statistics.bind(items)
    weights = np.asarray(retrieval.weights, np.float32)
    index_of_row = np.concatenate([binding.index_of_row, np.full(len(flat.unknown), len(statistics.codes))])
    index = RetrievalIndex.of(snapshot, index_of_row, binding.vectors, weights)
    similarities = history_vectors(bought, len(flat.n_baskets), binding.vectors) @ index.vectors.T
    rows, scores = [], []
    for customer, similarity in zip(
        i2i_scores_by_customer(flat, bought, index_of_row, statistics), similarities, strict=True
    ):
        retrieval_scores = index.scores(customer.scores[: len(I2I_CANDIDATE_INPUTS)], similarity, weights)
        is_new = np.ones(snapshot.size, np.bool_)
        is_new[customer.bought_row] = False
        new = np.flatnonzero(is_new[index.row])
        new = index.row[new[largest(retrieval_scores[new], retrieval.max_new_candidates)]]
        found = np.union1d(customer.bought_row[largest(customer.decayed_count, retrieval.max_repeat_candidates)], new)
        rows.append(found)
        scores.append(customer.scores[:, index_of_row[found]].T)
    row = np.concatenate([np.zeros(0, np.int64), *rows])
    n_inputs = len(I2I_CANDIDATE_INPUTS)
    score = np.concatenate([np.zeros((0, n_inputs + STEPS), np.float32), *scores])
    return CandidateSet(
        customer=np.repeat(np.arange(len(rows)), [len(found) for found in rows]),
        row=row,
        i2i_inputs=score[:, :n_inputs],
        i2i_by_step=score[:, n_inputs:],
        item_index=index_of_row[row],
    )


def history_vectors(bought: CustomerItems, customers: int, vectors: Floats) -> Floats:
    """Mean text vector of each customer's items, of length 1 or 0, float32 ``[customers, width]``.

    ``vectors`` are those of the rows that are in the item table.
    """
    described = bought.row < len(vectors)
    sums = np.zeros((customers, vectors.shape[1]), np.float32)
    np.add.at(sums, bought.customer[described], bought.decayed_count[described, None] * vectors[bought.row[described]])
    return unit_vectors(sums)


def i2i_scores_by_customer(
    flat: FlatHistories, bought: CustomerItems, index_of_row: Ints, statistics: GlobalStatistics
) -> Iterator[CustomerI2I]:
    """Item-to-item scores of the customers of a batch, one after the other.

    Args:
        flat: Their baskets.
        bought: Their items.
        index_of_row: Vocabulary index of each row, also of rows that are not in the item table.
        statistics: The neighbour lists.
    """
    outside = len(statistics.codes)
    customers = np.arange(len(flat.n_baskets) + 1)
    entry_ends = np.searchsorted(flat.basket_customer[flat.entry_basket], customers)
    bought_ends = np.searchsorted(bought.customer, customers)
    entry_ago = flat.basket_ago[flat.entry_basket]
    entry_index = index_of_row[flat.entry_row]
    entry_size = np.bincount(flat.entry_basket, minlength=len(flat.basket_date))[flat.entry_basket]
    for customer in range(len(flat.n_baskets)):
        entries = np.arange(entry_ends[customer], entry_ends[customer + 1])
        entries = entries[entry_index[entries] != outside][-MAX_I2I_SOURCES:]
        baskets_ago = entry_ago[entries]
        step = np.maximum(STEPS - 1 - baskets_ago, -1)
        of_customer = slice(bought_ends[customer], bought_ends[customer + 1])
        scores = i2i_scores(I2ISources(entry_index[entries], step, baskets_ago, entry_size[entries]), statistics)
        yield CustomerI2I(scores, bought.row[of_customer], bought.decayed_count[of_customer])


def i2i_scores(sources: I2ISources, statistics: GlobalStatistics) -> Floats:
    """Item-to-item scores of every item of the vocabulary for one customer.

    With h the decayed purchase counts (each basket worth ``SLOW_BASKET_DECAY`` of the one after it) and B the weights
    of a variant, the score of the whole history is h B / ‖h‖. By ``CUSTOMERS``, whose weights come from whole
    histories, each item counts the same however often and long ago it was bought. The score of a single basket is the
    sum of the weights of its items over the root of its size.

    Returns:
        float32 ``[I2I_CANDIDATE_INPUTS + STEPS, vocabulary + 1]``: first ``I2I_CANDIDATE_INPUTS``, then each of the
        newest baskets by ``BASKETS``. The last column is that of items outside the vocabulary, and 0.
    """
    n_inputs = len(I2I_CANDIDATE_INPUTS)
    width = len(statistics.codes) + 1
    scores = np.zeros((n_inputs + STEPS, width), np.float32)
    if len(sources.item_index) == 0:
        return scores
    decay = SLOW_BASKET_DECAY**sources.baskets_ago
    summed = np.bincount(sources.item_index, weights=decay)
    distinct = np.flatnonzero(summed)
    count = summed[distinct]
    norm = np.sqrt(np.square(count).sum())
    share = 1.0 / np.sqrt(sources.basket_size)
    recent = sources.step >= 0
    newest = sources.baskets_ago == 0

    # Entries of the newest baskets go one by one into the line of their basket; older ones are summed up first.
    old = np.bincount(sources.item_index[~recent], weights=decay[~recent], minlength=1)
    old_index = np.flatnonzero(old)
    lines = _sum_neighbour_weights(
        statistics.neighbours[BASKETS],
        item_index=np.concatenate([sources.item_index[recent], old_index]),
        line=np.concatenate([sources.step[recent], np.full(len(old_index), STEPS)]),
        amount=np.concatenate([share[recent], old[old_index]]),
        shape=(STEPS + 1, width),
    )
    line_weight = np.zeros(STEPS + 1)
    line_weight[sources.step[recent]] = (decay / share)[recent]
    line_weight[STEPS] = 1.0
    scores[0] = line_weight @ lines / norm
    both = _sum_neighbour_weights(
        statistics.neighbours[RECENT],
        item_index=np.concatenate([distinct, sources.item_index[newest]]),
        line=np.concatenate([np.zeros(len(distinct), np.int64), np.ones(newest.sum(), np.int64)]),
        amount=np.concatenate([count / norm, share[newest]]),
        shape=(2, width),
    )
    scores[1] = both[0]
    scores[2] = _sum_neighbour_weights(
        statistics.neighbours[CUSTOMERS],
        item_index=distinct,
        line=np.zeros(len(distinct), np.int64),
        amount=np.full(len(distinct), 1.0 / np.sqrt(len(distinct))),
        shape=(1, width),
    )[0]
    scores[n_inputs - 2] = lines[STEPS - 1]
    scores[n_inputs - 1] = both[1]
    scores[n_inputs:] = lines[:STEPS]
    return scores


def _sum_neighbour_weights(
    neighbours: Neighbours, *, item_index: Ints, line: Ints, amount: NDArray[np.float64], shape: tuple[int, int]
) -> NDArray[np.float64]:
    """Adds ``amount`` times the neighbour weights of each source item to its line; float64 of the given shape."""
    target = neighbours.neighbour[item_index] + (line * shape[1])[:, None]
    weight = neighbours.weight[item_index] * amount.astype(np.float32)[:, None]
    flat = np.bincount(target.ravel(), weights=weight.ravel(), minlength=shape[0] * shape[1])
    lines: NDArray[np.float64] = flat.reshape(shape).astype(np.float64, copy=False)
    return lines


def explaining_items(item_index: Ints, bought_index: Ints, decayed_count: Floats, statistics: GlobalStatistics) -> Ints:
    """For each of some items the item of the customer that contributes most to its item-to-item score.

    Args:
        item_index: Vocabulary indexes of the items to explain ``[n]``, each at most once.
        bought_index: Vocabulary indexes of the customer's items ``[items bought]``; those outside explain nothing.
        decayed_count: How often the customer bought each, older baskets counting less ``[items bought]``.
        statistics: The neighbour lists.

    Returns:
        Position among the customer's items, −1 where none contributes, int64 ``[n]``.
    """
    best = np.full(len(item_index), -1, np.int64)
    outside = len(statistics.codes)
    sources = np.flatnonzero(bought_index < outside)
    position = np.full(outside + 1, -1, np.int64)
    position[item_index] = np.arange(len(item_index))
    position[outside] = -1
    neighbours = statistics.neighbours[BASKETS]
    target = position[neighbours.neighbour[bought_index[sources]]]
    weight = neighbours.weight[bought_index[sources]] * decayed_count[sources, None]
    source, column = np.nonzero((target >= 0) & (weight > 0.0))
    order = np.argsort(weight[source, column], kind="stable")  # the largest is assigned last, and stays
    best[target[source, column][order]] = sources[source[order]]
    return best
