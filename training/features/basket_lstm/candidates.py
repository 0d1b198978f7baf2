"""Candidate generation: the few hundred items worth scoring for a customer, with their item-to-item scores."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from training.features.basket_lstm.customer_items import CustomerItems
from training.features.basket_lstm.flat_histories import STEPS, FlatHistories, Floats, Ints
from training.features.basket_lstm.global_statistics import BASKETS, GlobalStatistics
from training.features.basket_lstm.i2i_scores import I2I_CANDIDATE_INPUTS, i2i_scores_by_customer
from training.features.basket_lstm.retrieval import Retrieval, RetrievalIndex, largest
from training.features.basket_lstm.text_similarity import unit_vectors, vectors_of
from training.features.item_inputs import ItemSnapshot
from training.features.item_table import ItemTable


class CandidateSet(NamedTuple):
    """The candidates of a batch of customers, sorted by customer, then row.

    ``customer``, ``row`` int64 ``[n]`` · ``bought`` int64 ``[n]``: each candidate's position among the items bought, −1
    where it is new to the customer · ``i2i_inputs`` float32 ``[I2I_CANDIDATE_INPUTS, n]`` · ``i2i_by_step`` float32
    ``[STEPS, n]``: the score by each of the newest baskets, the newest last · ``item_index`` int64 ``[n]``: index in
    the vocabulary.
    """

    customer: Ints
    row: Ints
    bought: Ints
    i2i_inputs: Floats
    i2i_by_step: Floats
    item_index: Ints


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
    index_of_row = binding.index_of_row
    if flat.unknown:
        index_of_row = np.concatenate([index_of_row, np.full(len(flat.unknown), len(statistics.codes))])
    index = RetrievalIndex.of(snapshot, index_of_row, binding.vectors, weights)
    similarities = history_vectors(bought, len(flat.n_baskets), binding.vectors) @ index.vectors.T
    rows, positions = [_NO_ROWS], [_NO_ROWS]
    inputs = [np.zeros((len(I2I_CANDIDATE_INPUTS), 0), np.float32)]
    by_step = [np.zeros((STEPS, 0), np.float32)]
    for customer, similarity in zip(
        i2i_scores_by_customer(flat, bought, index_of_row, statistics), similarities, strict=True
    ):
        bought_row = bought.row[customer.bought]
        retrieval_scores = index.scores(customer.scores, similarity, weights)
        retrieval_scores[index.positions(bought_row)] = -np.inf
        new = largest(retrieval_scores, retrieval.max_new_candidates)
        new = index.row[new[retrieval_scores[new] > -np.inf]]
        repeat = largest(bought.decayed_count[customer.bought], retrieval.max_repeat_candidates)
        found = np.concatenate([bought_row[repeat], new])
        position = np.concatenate([customer.bought.start + repeat, np.full(len(new), -1)])
        order = found.argsort(kind="stable")
        found, position = found[order], position[order]
        item_index = index_of_row[found]
        rows.append(found)
        positions.append(position)
        inputs.append(customer.scores[:, item_index])
        by_step.append(customer.sources.scores_by_step(item_index, statistics))
    row = np.concatenate(rows)
    return CandidateSet(
        customer=np.arange(len(rows) - 1).repeat([len(found) for found in rows[1:]]),
        row=row,
        bought=np.concatenate(positions),
        i2i_inputs=np.concatenate(inputs, axis=1),
        i2i_by_step=np.concatenate(by_step, axis=1),
        item_index=index_of_row[row],
    )


_NO_ROWS = np.zeros(0, np.int64)


def history_vectors(bought: CustomerItems, customers: int, vectors: Floats) -> Floats:
    """Mean text vector of each customer's items, of length 1 or 0, float32 ``[customers, width]``.

    ``vectors`` are those of the rows that are in the item table.
    """
    sums = np.zeros((customers, vectors.shape[1]), np.float32)
    ends = bought.customer.searchsorted(np.arange(customers + 1)).tolist()
    for customer, (start, end) in enumerate(pairwise(ends)):
        if end > start:
            sums[customer] = bought.decayed_count[start:end] @ vectors_of(bought.row[start:end], vectors)
    return unit_vectors(sums)


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
    sources = (bought_index < outside).nonzero()[0]
    position = np.empty(outside + 1, np.int64)
    position[item_index] = np.arange(len(item_index))
    is_asked = np.zeros(outside + 1, np.bool_)
    is_asked[item_index] = True
    is_asked[outside] = False
    neighbours = statistics.neighbours[BASKETS]
    neighbour = neighbours.neighbour.take(bought_index[sources], axis=0)
    found = is_asked.take(neighbour).ravel().nonzero()[0]
    source = sources[found // max(neighbour.shape[1], 1)]
    target = position[neighbour.ravel()[found]]
    weight = neighbours.weight[bought_index[source], found % max(neighbour.shape[1], 1)] * decayed_count[source]
    positive = (weight > 0.0).nonzero()[0]
    order = positive[weight[positive].argsort(kind="stable")]  # the largest is assigned last, and stays
    best[target[order]] = source[order]
    return best
