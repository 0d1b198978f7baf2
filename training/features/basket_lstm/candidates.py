"""Candidates: the few hundred items worth a closer look for a customer, and how the customer's items speak for them."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.features.basket_lstm.customer_items import FADE, CustomerItems
from training.features.basket_lstm.flat_histories import STEPS, FlatHistories, Floats, Ints
from training.features.basket_lstm.global_statistics import BASKETS, CUSTOMERS, I2I_VARIANTS, RECENT, GlobalStatistics
from training.features.basket_lstm.retrieval import Retrieval, RetrievalIndex, largest
from training.features.basket_lstm.text_similarity import direction
from training.features.item_inputs import ItemSnapshot
from training.features.item_table import ItemTable
from training.features.item_to_item import Neighbours

RELATED_INPUTS = (
    *(f"{name}_speak" for name in I2I_VARIANTS),
    *(f"{name}_speak_of_last" for name in (BASKETS, RECENT)),
)
"""How much the whole history, in each way of speaking, and the last basket speak for a candidate."""
MAX_I2I_SOURCES = 2_000
"""At most this many of a customer's newest entries speak for other items: their cost is one neighbour list each."""


class Found(NamedTuple):
    """The candidates of a batch, sorted by customer, then row, and how much each customer's history speaks for them.

    ``customer``, ``row`` int64 ``[n]`` · ``related`` float32 ``[n, RELATED_INPUTS]`` · ``steps`` float32
    ``[n, STEPS]``: by each of the newest baskets, the newest in the last column · ``place`` int64 ``[n]``: in the
    vocabulary.
    """

    customer: Ints
    row: Ints
    related: Floats
    steps: Floats
    place: Ints


class I2ISources(NamedTuple):
    """The entries of one customer that speak for other items, oldest first.

    ``place`` (in the vocabulary), ``step`` (0 to STEPS − 1, the newest basket last; −1 for an older one), ``ago``
    (baskets), ``size`` (of the basket).
    """

    place: Ints
    step: Ints
    ago: Ints
    size: Ints


def gather(
    flat: FlatHistories,
    own: CustomerItems,
    shop: ItemSnapshot,
    statistics: GlobalStatistics,
    items: ItemTable,
    retrieval: Retrieval,
) -> Found:
    """Finds each customer's candidates, one customer after the other: the dense scores then stay in the cache."""
    binding = statistics.bind(items)
    weights = np.asarray(retrieval.weights, np.float32)
    place_of_row = np.concatenate([binding.place_of_row, np.full(len(flat.unknown), len(statistics.codes))])
    shelf = RetrievalIndex.of(shop, place_of_row, binding.vectors, weights)
    alike = directions(own, len(flat.n_baskets), binding.vectors) @ shelf.vectors.T
    rows, scores = [], []
    for one, similarity in zip(each_customer(flat, own, place_of_row, statistics), alike, strict=True):
        likely = shelf.scores(one.said[: len(RELATED_INPUTS)], similarity, weights)
        unknown = np.ones(shop.size, np.bool_)
        unknown[one.own_row] = False
        new = np.flatnonzero(unknown[shelf.row])
        new = shelf.row[new[largest(likely[new], retrieval.new)]]
        found = np.union1d(one.own_row[largest(one.own_faded, retrieval.own)], new)
        rows.append(found)
        scores.append(one.said[:, place_of_row[found]].T)
    row = np.concatenate([np.zeros(0, np.int64), *rows])
    related = len(RELATED_INPUTS)
    score = np.concatenate([np.zeros((0, related + STEPS), np.float32), *scores])
    return Found(
        customer=np.repeat(np.arange(len(rows)), [len(found) for found in rows]),
        row=row,
        related=score[:, :related],
        steps=score[:, related:],
        place=place_of_row[row],
    )


class One(NamedTuple):
    """What one customer says of all items.

    ``said`` as ``i2i_scores`` gives it · ``own_row``, ``own_faded`` ``[own]``: the own items, by row, and how much each
    counts.
    """

    said: Floats
    own_row: Ints
    own_faded: Floats


def directions(own: CustomerItems, customers: int, vectors: Floats) -> Floats:
    """Where each customer's descriptions point to: their mean, of length 1 or 0, float32 ``[customers, width]``.

    ``vectors`` are those of the rows that are in the item table.
    """
    described = own.row < len(vectors)
    points = np.zeros((customers, vectors.shape[1]), np.float32)
    np.add.at(points, own.customer[described], own.faded[described, None] * vectors[own.row[described]])
    return direction(points)


def each_customer(
    flat: FlatHistories, own: CustomerItems, place_of_row: Ints, statistics: GlobalStatistics
) -> Iterator[One]:
    """The customers of a batch, one after the other.

    Args:
        flat: Their baskets.
        own: Their items.
        place_of_row: Place of each row in the vocabulary, of rows that are in no table too.
        statistics: What was learnt from everybody's baskets.
    """
    outside = len(statistics.codes)
    customers = np.arange(len(flat.n_baskets) + 1)
    entry_ends = np.searchsorted(flat.basket_customer[flat.entry_basket], customers)
    own_ends = np.searchsorted(own.customer, customers)
    entry_ago = flat.basket_ago[flat.entry_basket]
    entry_place = place_of_row[flat.entry_row]
    entry_size = np.bincount(flat.entry_basket, minlength=len(flat.basket_date))[flat.entry_basket]
    for customer in range(len(flat.n_baskets)):
        entries = np.arange(entry_ends[customer], entry_ends[customer + 1])
        entries = entries[entry_place[entries] != outside][-MAX_I2I_SOURCES:]
        ago = entry_ago[entries]
        step = np.maximum(STEPS - 1 - ago, -1)
        mine = slice(own_ends[customer], own_ends[customer + 1])
        said = i2i_scores(I2ISources(entry_place[entries], step, ago, entry_size[entries]), statistics)
        yield One(said, own.row[mine], own.faded[mine])


def i2i_scores(speakers: I2ISources, statistics: GlobalStatistics) -> Floats:
    """How much a customer's baskets speak for every item of the vocabulary.

    With h the sum of the baskets, each worth ``FADE`` of the one after it, the whole history speaks with h B / ‖h‖; by
    ``CUSTOMERS``, whose weights come from whole histories, each item counts the same however often and long ago. A
    basket alone speaks with the sum of its items' weights over the root of its size.

    Returns:
        float32 ``[RELATED_INPUTS + STEPS, places + 1]``: first ``RELATED_INPUTS``, then each of the newest baskets by
        ``BASKETS``. The last place is that of items outside the vocabulary, and 0.
    """
    related = len(RELATED_INPUTS)
    width = len(statistics.codes) + 1
    said = np.zeros((related + STEPS, width), np.float32)
    if len(speakers.place) == 0:
        return said
    faded = FADE**speakers.ago
    summed = np.bincount(speakers.place, weights=faded)
    distinct = np.flatnonzero(summed)
    amount = summed[distinct]
    norm = np.sqrt(np.square(amount).sum())
    share = 1.0 / np.sqrt(speakers.size)
    recent = speakers.step >= 0
    newest = speakers.ago == 0

    # Entries of the newest baskets go one by one into the line of their basket; what is older is summed up first.
    old = np.bincount(speakers.place[~recent], weights=faded[~recent], minlength=1)
    old_place = np.flatnonzero(old)
    lines = _spread(
        statistics.neighbours[BASKETS],
        place=np.concatenate([speakers.place[recent], old_place]),
        line=np.concatenate([speakers.step[recent], np.full(len(old_place), STEPS)]),
        amount=np.concatenate([share[recent], old[old_place]]),
        shape=(STEPS + 1, width),
    )
    worth = np.zeros(STEPS + 1)
    worth[speakers.step[recent]] = (faded / share)[recent]
    worth[STEPS] = 1.0
    said[0] = worth @ lines / norm
    both = _spread(
        statistics.neighbours[RECENT],
        place=np.concatenate([distinct, speakers.place[newest]]),
        line=np.concatenate([np.zeros(len(distinct), np.int64), np.ones(newest.sum(), np.int64)]),
        amount=np.concatenate([amount / norm, share[newest]]),
        shape=(2, width),
    )
    said[1] = both[0]
    said[2] = _spread(
        statistics.neighbours[CUSTOMERS],
        place=distinct,
        line=np.zeros(len(distinct), np.int64),
        amount=np.full(len(distinct), 1.0 / np.sqrt(len(distinct))),
        shape=(1, width),
    )[0]
    said[related - 2] = lines[STEPS - 1]
    said[related - 1] = both[1]
    said[related:] = lines[:STEPS]
    return said


def _spread(
    neighbours: Neighbours, *, place: Ints, line: Ints, amount: NDArray[np.float64], shape: tuple[int, int]
) -> NDArray[np.float64]:
    """Adds ``amount`` of each place's neighbour weights into its line; float64 of the given shape."""
    target = neighbours.neighbour[place] + (line * shape[1])[:, None]
    weight = neighbours.weight[place] * amount.astype(np.float32)[:, None]
    flat = np.bincount(target.ravel(), weights=weight.ravel(), minlength=shape[0] * shape[1])
    lines: NDArray[np.float64] = flat.reshape(shape).astype(np.float64, copy=False)
    return lines


def because(places: Ints, own_places: Ints, own_faded: Floats, statistics: GlobalStatistics) -> Ints:
    """Which of a customer's items speaks most for each of some items.

    Args:
        places: Places of the items asked for ``[n]``, each at most once.
        own_places: Places of the customer's items ``[own]``; those outside the vocabulary say nothing.
        own_faded: How much each counts.
        statistics: What was learnt from everybody's baskets.

    Returns:
        Position among the customer's items, -1 where none speaks for the item, int64 ``[n]``.
    """
    best = np.full(len(places), -1, np.int64)
    outside = len(statistics.codes)
    speaking = np.flatnonzero(own_places < outside)
    asked = np.full(outside + 1, -1, np.int64)
    asked[places] = np.arange(len(places))
    asked[outside] = -1
    first = statistics.neighbours[BASKETS]
    target = asked[first.neighbour[own_places[speaking]]]
    weight = first.weight[own_places[speaking]] * own_faded[speaking, None]
    speaker, column = np.nonzero((target >= 0) & (weight > 0.0))
    order = np.argsort(weight[speaker, column], kind="stable")  # the largest is assigned last, and stays
    best[target[speaker, column][order]] = speaking[speaker[order]]
    return best
