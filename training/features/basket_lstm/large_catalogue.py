"""Candidates from a large catalogue, of which a customer's answer looks at a part: leaders and neighbours.

The leaders are the same for all customers: what sells, and what is new. The neighbours are the items that the lists of
the customer's items name. Both are scored as all items of a smaller catalogue are.
"""

from typing import NamedTuple

import numpy as np

from training.features.basket_lstm.candidates import CandidateSet, history_vectors
from training.features.basket_lstm.customer_items import CustomerItems
from training.features.basket_lstm.flat_histories import STEPS, FlatHistories, Floats, Ints
from training.features.basket_lstm.global_statistics import GlobalStatistics
from training.features.basket_lstm.i2i_scores import (
    I2I_CANDIDATE_INPUTS,
    Columns,
    ColumnScratch,
    I2ISources,
    i2i_sources_by_customer,
)
from training.features.basket_lstm.retrieval import I2I_INPUTS, Retrieval, i2i_inputs, largest
from training.features.item_inputs import ItemSnapshot
from training.features.item_table import ItemTable

MAX_NEIGHBOURS = 500
"""Neighbours that are scored for a customer: those with the best item-to-item scores."""

MAX_SOURCES = 200
"""At most this many of a customer's items lead to neighbours, those with the greatest decayed count."""
MAX_REPEAT_CANDIDATES = 250
"""At most this many of a customer's items are candidates, those with the greatest decayed count; households that buy
groceries have 400 and more, of which those bought once a year ago are not among the first."""

_N_I2I = len(I2I_INPUTS)


def gather_from_large_catalogue(
    flat: FlatHistories,
    bought: CustomerItems,
    statistics: GlobalStatistics,
    items: ItemTable,
    now: int,
    retrieval: Retrieval,
) -> tuple[CandidateSet, ItemSnapshot]:
    """Finds each customer's candidates among the table's leaders and the neighbours of the customer's items.

    Returns:
        The candidates, and the items that may be among them as of ``now``.
    """
    binding = statistics.bind(items)
    weights = np.asarray(retrieval.weights, np.float32)
    leaders = items.leaders()
    leader_index = binding.index_of_row[leaders]
    bought_index = binding.indexes_of(bought.row)
    n_repeat = min(retrieval.max_repeat_candidates, MAX_REPEAT_CANDIDATES)
    scratch = ColumnScratch(len(statistics.codes))
    customers = [
        _reach(
            sources.heaviest(MAX_SOURCES),
            of_customer,
            scratch,
            leader_index,
            bought_index,
            binding.row_of_index,
            statistics,
            weights,
        )
        for sources, of_customer in i2i_sources_by_customer(flat, bought, bought_index, statistics)
    ]
    repeats = [largest(bought.decayed_count[each.bought], n_repeat) for each in customers]
    bought_rows = [bought.row[each.bought][repeat] for each, repeat in zip(customers, repeats, strict=True)]
    # One snapshot for all of them: of the items of one customer, the calls take longer than the numbers.
    snapshot = ItemSnapshot.at(
        items, now, len(flat.unknown), _each_once([leaders, *(each.row for each in customers), *bought_rows])
    )
    of_items = snapshot.inputs @ weights[_N_I2I + 1 :]
    leader_scores = of_items[snapshot.positions(leaders)]
    history = history_vectors(bought, len(flat.n_baskets), binding.vectors) * weights[_N_I2I]
    text_scores = history @ binding.vectors[leaders].T
    found_rows: list[Ints] = [np.zeros(0, np.int64)]
    found_bought: list[Ints] = [np.zeros(0, np.int64)]
    inputs = [np.zeros((len(I2I_CANDIDATE_INPUTS), 0), np.float32)]
    by_step = [np.zeros((STEPS, 0), np.float32)]
    for customer, (reached, repeat, bought_row) in enumerate(zip(customers, repeats, bought_rows, strict=True)):
        neighbour_scores = of_items[snapshot.positions(reached.row)] + binding.vectors[reached.row] @ history[customer]
        row = np.concatenate([leaders, reached.row])
        score = reached.i2i_part + np.concatenate([leader_scores + text_scores[customer], neighbour_scores])
        score[_positions(leaders, bought.row[reached.bought])] = -np.inf  # neighbours were not bought
        new = largest(score, retrieval.max_new_candidates)
        new = row[new[score[new] > -np.inf]]
        found = np.concatenate([bought_row, new])
        position = np.concatenate([reached.bought.start + repeat, np.full(len(new), -1)])
        order = found.argsort(kind="stable")
        found, position = found[order], position[order]
        item_index = binding.indexes_of(found)
        found_rows.append(found)
        found_bought.append(position)
        reached.columns.renumber()
        inputs.append(reached.scores[:, reached.columns.of(item_index)])
        by_step.append(reached.sources.scores_by_step(item_index, statistics, scratch.zeros))
    row = np.concatenate(found_rows)
    candidates = CandidateSet(
        customer=np.repeat(np.arange(len(found_rows) - 1), [len(found) for found in found_rows[1:]]),
        row=row,
        bought=np.concatenate(found_bought),
        i2i_inputs=np.concatenate(inputs, axis=1),
        i2i_by_step=np.concatenate(by_step, axis=1),
        item_index=binding.indexes_of(row),
    )
    return candidates, snapshot


class _Reached(NamedTuple):
    """What one customer's neighbour lists lead to.

    ``sources``: the customer's items · ``bought``: these among the items of the batch · ``columns`` and ``scores``:
    item-to-item scores of all items reached · ``row``: the best of them that are neither leaders nor bought, in order ·
    ``i2i_part``: the item-to-item part of the score of the leaders, then of ``row``.
    """

    sources: I2ISources
    bought: slice
    columns: Columns
    scores: Floats
    row: Ints
    i2i_part: Floats


def _reach(
    sources: I2ISources,
    of_customer: slice,
    scratch: ColumnScratch,
    leader_index: Ints,
    bought_index: Ints,
    row_of_index: Ints,
    statistics: GlobalStatistics,
    weights: Floats,
) -> _Reached:
    """Follows the neighbour lists of one customer's items; ``scratch`` is for ``Columns``."""
    columns = Columns([leader_index, bought_index[of_customer]], sources.targets(statistics), scratch)
    scores = sources.scores(statistics, columns)
    i2i_part: Floats = weights[:_N_I2I] @ i2i_inputs(scores)
    neighbours = _neighbours(columns, i2i_part, leader_index, bought_index[of_customer], row_of_index)
    row = row_of_index[columns.item_index[neighbours]]
    order = row.argsort()
    column = np.concatenate([columns.of(leader_index), neighbours[order]])
    return _Reached(sources, of_customer, columns, scores, row[order], i2i_part[column])


def _neighbours(columns: Columns, i2i_part: Floats, leader_index: Ints, bought_index: Ints, row_of_index: Ints) -> Ints:
    """The columns of the best items that are neither leaders nor bought, and are in the item table."""
    other = np.ones(len(columns.item_index) + 1, np.bool_)
    other[columns.of(leader_index)] = other[columns.of(bought_index)] = other[-1] = False
    other[:-1] &= row_of_index[columns.item_index] >= 0
    chosen = np.flatnonzero(other)
    return chosen[largest(i2i_part[chosen], MAX_NEIGHBOURS)]


def _positions(leaders: Ints, rows: Ints) -> Ints:
    """Positions among the leaders, which are sorted, of those of some rows that lead."""
    position = leaders.searchsorted(rows)
    inside = position < len(leaders)
    position, rows = position[inside], rows[inside]
    found: Ints = position[leaders[position] == rows]
    return found


def _each_once(rows: list[Ints]) -> Ints:
    """Each row once, sorted; ``np.unique`` of NumPy 2.4 takes ten times as long for a thousand."""
    found = np.sort(np.concatenate(rows))
    return found[np.diff(found, prepend=-1) > 0]
