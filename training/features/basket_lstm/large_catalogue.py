"""Candidates from a large catalogue, of which a customer's answer looks at a part: leaders and neighbours.

The leaders are the same for all customers: what sells, and what is new. The neighbours are the items that the lists of
the customer's items name. Both are scored as all items of a smaller catalogue are.
"""

import numpy as np

from training.features.basket_lstm.candidates import CandidateSet, history_vectors
from training.features.basket_lstm.customer_items import CustomerItems
from training.features.basket_lstm.flat_histories import STEPS, FlatHistories, Floats, Ints
from training.features.basket_lstm.global_statistics import I2I_VARIANTS, GlobalStatistics
from training.features.basket_lstm.i2i_scores import I2I_CANDIDATE_INPUTS, Columns, i2i_sources_by_customer
from training.features.basket_lstm.retrieval import I2I_INPUTS, Retrieval, i2i_inputs, largest
from training.features.item_inputs import ItemSnapshot
from training.features.item_table import ItemTable

MAX_NEIGHBOURS = 500
"""Neighbours that are scored for a customer: those with the best item-to-item scores."""

_N_I2I = len(I2I_INPUTS)


def gather_from_large_catalogue(
    flat: FlatHistories,
    bought: CustomerItems,
    statistics: GlobalStatistics,
    items: ItemTable,
    now: int,
    retrieval: Retrieval,
) -> CandidateSet:
    """Finds each customer's candidates among the table's leaders and the neighbours of the customer's items."""
    binding = statistics.bind(items)
    weights = np.asarray(retrieval.weights, np.float32)
    size = len(statistics.codes)
    leaders = items.leaders()
    leader_index = binding.index_of_row[leaders]
    leader_scores = ItemSnapshot.at(items, now, 0, leaders).inputs @ weights[_N_I2I + 1 :]
    history = history_vectors(bought, len(flat.n_baskets), binding.vectors) * weights[_N_I2I]
    text_scores = history @ binding.vectors[leaders].T
    bought_index = binding.indexes_of(bought.row)
    number = np.zeros(size + 1, np.int64)
    found_rows: list[Ints] = [np.zeros(0, np.int64)]
    found_bought: list[Ints] = [np.zeros(0, np.int64)]
    inputs = [np.zeros((len(I2I_CANDIDATE_INPUTS), 0), np.float32)]
    by_step = [np.zeros((STEPS, 0), np.float32)]
    for customer, (sources, of_customer) in enumerate(i2i_sources_by_customer(flat, bought, bought_index, statistics)):
        reached: list[Ints] = [
            statistics.neighbours[name].neighbour[sources.item_index].ravel().astype(np.int64) for name in I2I_VARIANTS
        ]
        columns = Columns(
            [leader_index, bought_index[of_customer], *(each.ravel().astype(np.int64) for each in reached)],
            size,
            number,
        )
        scores = sources.scores(statistics, columns)
        i2i_part = weights[:_N_I2I] @ i2i_inputs(scores)
        bought_row = bought.row[of_customer]
        neighbours = _neighbours(columns, i2i_part, leader_index, bought_index[of_customer], binding.row_of_index)
        row, column = binding.row_of_index[columns.item_index[neighbours]], neighbours
        order = np.argsort(row)
        row, column = row[order], column[order]
        neighbour_scores = ItemSnapshot.at(items, now, 0, row).inputs @ weights[_N_I2I + 1 :]
        neighbour_scores += binding.vectors[row] @ history[customer]
        row = np.concatenate([leaders, row])
        score = i2i_part[np.concatenate([columns.of(leader_index), column])]
        score += np.concatenate([leader_scores + text_scores[customer], neighbour_scores])
        score[np.isin(row, bought_row)] = -np.inf
        new = largest(score, retrieval.max_new_candidates)
        new = row[new[score[new] > -np.inf]]
        repeat = largest(bought.decayed_count[of_customer], retrieval.max_repeat_candidates)
        found = np.concatenate([bought_row[repeat], new])
        position = np.concatenate([of_customer.start + repeat, np.full(len(new), -1)])
        order = np.argsort(found, kind="stable")
        found, position = found[order], position[order]
        item_index = binding.indexes_of(found)
        found_rows.append(found)
        found_bought.append(position)
        inputs.append(scores[:, columns.of(item_index)])
        by_step.append(sources.scores_by_step(item_index, statistics))
    row = np.concatenate(found_rows)
    return CandidateSet(
        customer=np.repeat(np.arange(len(found_rows) - 1), [len(found) for found in found_rows[1:]]),
        row=row,
        bought=np.concatenate(found_bought),
        i2i_inputs=np.concatenate(inputs, axis=1),
        i2i_by_step=np.concatenate(by_step, axis=1),
        item_index=binding.indexes_of(row),
    )


def _neighbours(columns: Columns, i2i_part: Floats, leader_index: Ints, bought_index: Ints, row_of_index: Ints) -> Ints:
    """The columns of the best items that are neither leaders nor bought, and are in the item table."""
    other = np.ones(len(columns.item_index) + 1, np.bool_)
    other[columns.of(leader_index)] = other[columns.of(bought_index)] = other[-1] = False
    other[:-1] &= row_of_index[columns.item_index] >= 0
    chosen = np.flatnonzero(other)
    return chosen[largest(i2i_part[chosen], MAX_NEIGHBOURS)]
