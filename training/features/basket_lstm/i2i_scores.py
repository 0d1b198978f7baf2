"""Item-to-item scores of a customer: of every item by the whole history, and of the candidates by single baskets."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.features.basket_lstm.customer_items import SLOW_BASKET_DECAY, CustomerItems
from training.features.basket_lstm.flat_histories import STEPS, FlatHistories, Floats, Ints
from training.features.basket_lstm.global_statistics import BASKETS, CUSTOMERS, I2I_VARIANTS, RECENT, GlobalStatistics
from training.features.item_to_item import Neighbours

I2I_CANDIDATE_INPUTS = (
    *(f"i2i_score_{name}" for name in I2I_VARIANTS),
    *(f"last_basket_i2i_score_{name}" for name in (BASKETS, RECENT)),
)
"""Item-to-item scores of a candidate: of the whole history by each variant, and of the newest basket by two of them."""
MAX_I2I_SOURCES = 2_000
"""At most this many of a customer's newest entries count as sources: each costs one neighbour list."""


class I2ISources(NamedTuple):
    """The items of one customer that item-to-item scores start from.

    ``item_index`` int64 ``[sources]``: indexes in the vocabulary, each once · ``decayed_count`` float32 ``[sources]``:
    purchase counts, each basket worth ``SLOW_BASKET_DECAY`` of the one after it · ``shares`` float32
    ``[STEPS, sources]``: 1 / √(size of the basket) in each of the newest baskets that holds the item, the newest last,
    else 0.
    """

    item_index: Ints
    decayed_count: Floats
    shares: Floats

    def scores(self, statistics: GlobalStatistics, columns: "Columns | None" = None) -> Floats:
        """Item-to-item scores of every item of the vocabulary, or of those of some columns.

        With h the decayed purchase counts and B the weights of a variant, the score of the whole history is h B / ‖h‖.
        By ``CUSTOMERS``, whose weights come from whole histories, each item counts the same however often and long ago
        it was bought. The score of a single basket is the sum of the weights of its items over the root of its size.

        Returns:
            float32 ``[I2I_CANDIDATE_INPUTS, vocabulary + 1]``, or one column for each of ``columns`` instead of the
            vocabulary. The last column is that of items outside, and 0.
        """
        size = len(statistics.codes) if columns is None else len(columns.item_index)
        scores = np.zeros((len(I2I_CANDIDATE_INPUTS), size + 1), np.float32)
        if len(self.item_index) == 0:
            return scores
        count = self.decayed_count / np.sqrt(np.square(self.decayed_count).sum())
        newest = self.shares[-1].nonzero()[0]
        for variant, last, name in ((0, 3, BASKETS), (1, 4, RECENT)):
            target, weight = self._lists(statistics.neighbours[name], columns, name)
            _add(scores[variant], target, weight * count[:, None])
            _add(scores[last], target[newest], weight[newest] * self.shares[-1, newest, None])
        target, weight = self._lists(statistics.neighbours[CUSTOMERS], columns, CUSTOMERS)
        _add(scores[2], target, weight * np.float32(1.0 / np.sqrt(len(self.item_index))))
        return scores

    def _lists(self, neighbours: Neighbours, columns: "Columns | None", name: str) -> tuple[Ints, Floats]:
        """The columns of the neighbours of each source by a variant, and their weights, ``[sources, neighbours]``."""
        if columns is None:
            return _neighbours_of(neighbours, self.item_index)
        return columns.targets[name], neighbours.weight.take(self.item_index, axis=0)

    def targets(self, statistics: GlobalStatistics) -> dict[str, Ints]:
        """By variant the vocabulary indexes of the neighbours of each source, int64 ``[sources, neighbours]``."""
        return {
            name: neighbours.neighbour.take(self.item_index, axis=0).astype(np.int64)
            for name, neighbours in statistics.neighbours.items()
        }

    def heaviest(self, n: int) -> "I2ISources":
        """The ``n`` sources with the greatest decayed count, in their order."""
        if len(self.item_index) <= n:
            return self
        chosen = np.sort(self.decayed_count.argpartition(-n)[-n:])
        return I2ISources(self.item_index[chosen], self.decayed_count[chosen], self.shares[:, chosen])

    def scores_by_step(self, item_index: Ints, statistics: GlobalStatistics, zeros: Ints | None = None) -> Floats:
        """Scores of some items by each of the newest baskets alone, float32 ``[STEPS, items]``.

        Args:
            item_index: Indexes in the vocabulary, each at most once but for that of items outside it.
            statistics: The neighbour lists.
            zeros: ``[vocabulary + 1]``, which several calls may use one after the other; it is zeros again at the end.
        """
        n, sources = len(item_index), np.flatnonzero(self.shares.any(axis=0))
        column = np.zeros(len(statistics.codes) + 1, np.int64) if zeros is None else zeros
        column[item_index] = np.arange(1, n + 1)
        column[-1] = 0
        target, weight = _neighbours_of(statistics.neighbours[BASKETS], self.item_index[sources])
        target = column.take(target)
        column[item_index] = 0
        target += (np.arange(len(sources)) * (n + 1))[:, None]
        weights = np.zeros((len(sources), n + 1), np.float32)  # the first column is that of all other items
        _add(weights.ravel(), target, weight)
        scores: Floats = self.shares[:, sources] @ weights[:, 1:]
        return scores


class ColumnScratch:
    """Arrays over a vocabulary that the customers of a batch use one after the other; no answer walks them."""

    def __init__(self, size: int) -> None:
        """``size``: of the vocabulary."""
        self.number: Ints = np.zeros(size + 1, np.int64)
        self.zeros: Ints = np.zeros(size + 1, np.int64)
        self.seen: NDArray[np.bool_] = np.zeros(size + 1, np.bool_)


class Columns:
    """Some items of a vocabulary, numbered: of a large one a customer's scores have a column for these only.

    ``item_index`` int64: indexes of the items in the vocabulary, sorted · ``targets``: by variant the columns of the
    neighbours of each source, int64 ``[sources, neighbours]``.
    """

    def __init__(self, items: Sequence[Ints], targets: Mapping[str, Ints], scratch: ColumnScratch) -> None:
        """Number some items and the neighbours of a customer's items.

        Args:
            items: Indexes in the vocabulary; those of items outside it are left out.
            targets: As ``I2ISources.targets`` returns them.
            scratch: Its contents change.
        """
        seen = scratch.seen
        for indexes in (*items, *targets.values()):
            seen[indexes] = True
        self.item_index = seen[:-1].nonzero()[0]  # a byte an item: 20 µs for a million
        seen[self.item_index] = False
        seen[-1] = False
        self._number = scratch.number
        self.renumber()
        self.targets = {name: self.of(indexes) for name, indexes in targets.items()}

    def renumber(self) -> None:
        """Number the items again, after other columns have used the array."""
        self._number[self.item_index] = np.arange(len(self.item_index))
        self._number[-1] = len(self.item_index)

    def of(self, item_index: Ints) -> Ints:
        """Column of each of these items; the last one for items outside the vocabulary."""
        return self._number.take(item_index)


class CustomerI2I(NamedTuple):
    """One customer's item-to-item scores, and the items they come from.

    ``scores`` as ``I2ISources.scores`` returns them · ``sources``: what they start from · ``bought``: the customer's
    items among those of the batch.
    """

    scores: Floats
    sources: I2ISources
    bought: slice


def i2i_scores_by_customer(
    flat: FlatHistories, bought: CustomerItems, index_of_row: Ints, statistics: GlobalStatistics
) -> Iterator[CustomerI2I]:
    """Item-to-item scores of the customers of a batch, one after the other: they then stay in the cache.

    Args:
        flat: Their baskets.
        bought: Their items.
        index_of_row: Vocabulary index of each row, also of rows that are not in the item table.
        statistics: The neighbour lists.
    """
    for sources, of_customer in i2i_sources_by_customer(flat, bought, index_of_row[bought.row], statistics):
        yield CustomerI2I(sources.scores(statistics), sources, of_customer)


def i2i_sources_by_customer(
    flat: FlatHistories, bought: CustomerItems, bought_index: Ints, statistics: GlobalStatistics
) -> Iterator[tuple[I2ISources, slice]]:
    """What the scores of each customer of a batch start from, and the customer's items among those of the batch.

    ``bought_index``: vocabulary index of each item of ``bought``.
    """
    outside = len(statistics.codes)
    customers = np.arange(len(flat.n_baskets) + 1)
    entry_ends = flat.entry_customer.searchsorted(customers).tolist()
    bought_ends = bought.customer.searchsorted(customers).tolist()
    entry_ago = flat.entry_ago
    share = (1.0 / np.sqrt(flat.basket_size)).astype(np.float32)
    entry_share = share[flat.entry_basket]
    inside = bought_index != outside
    for customer in range(len(flat.n_baskets)):
        of_customer = slice(bought_ends[customer], bought_ends[customer + 1])
        start, end = entry_ends[customer], entry_ends[customer + 1]
        known = inside[of_customer]
        count = bought.slowly_decayed_count[of_customer]
        if end - start > MAX_I2I_SOURCES:
            entries = np.arange(start, end)
            entries = entries[inside[bought.of_entry[entries]]][-MAX_I2I_SOURCES:]
            start = int(entries[0]) if len(entries) else end
            count = np.bincount(
                bought.of_entry[entries] - of_customer.start,
                weights=SLOW_BASKET_DECAY ** entry_ago[entries],
                minlength=len(known),
            ).astype(np.float32)
            known = known & (count > 0.0)
        recent = start + (entry_ago[start:end] < STEPS).nonzero()[0]
        shares = np.zeros((STEPS, len(known)), np.float32)
        shares[STEPS - 1 - entry_ago[recent], bought.of_entry[recent] - of_customer.start] = entry_share[recent]
        sources = I2ISources(bought_index[of_customer], count, shares)
        if not known.all():
            sources = I2ISources(sources.item_index[known], count[known], shares[:, known])
        yield sources, of_customer


def _neighbours_of(neighbours: Neighbours, item_index: Ints) -> tuple[Ints, Floats]:
    """The neighbours of some items and their weights, ``[items, neighbours]``."""
    return neighbours.neighbour.take(item_index, axis=0).astype(np.int64), neighbours.weight.take(item_index, axis=0)


def _add(line: Floats, target: Ints, amount: Floats) -> None:
    """Adds each amount to the number at its target: half the time of ``np.bincount`` (NumPy 2.4).

    NumPy takes its fast path only where both arrays have the very same dtype object, which unpickled ones do not.
    """
    np.add.at(line, target.ravel(), amount.ravel().view(np.float32))
