"""Knowledge: what was learnt from all customers' baskets up to a date, and what every view is computed with."""

from collections.abc import Sequence
from typing import NamedTuple, Self
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from state.dates import DAY
from state.invoice import Invoice
from training.features.item_table import ItemTable
from training.features.item_to_item import Neighbours, cooccurrence, ease, strongest


class Variant(NamedTuple):
    """One way to learn item-to-item weights: baskets count 0.5^(days ago / half-life), all alike where it is None."""

    ridge: float
    half_life_days: float | None


VARIANTS = (Variant(300.0, None), Variant(100.0, 60.0))
"""EASE over all baskets, and over the recent ones."""

NEIGHBOURS = 100
MIN_BASKETS = 3
"""An item in fewer baskets has no neighbours: there is nothing to learn from."""
MAX_ITEMS = 6_000
"""The fit inverts a matrix over the items: beyond this many (150 MB a matrix), the least sold have no neighbours."""

REBUY_PRIOR = 20.0
REBUY_HALF_LIFE_DAYS = 60.0


class Knowledge:
    """Item-to-item weights over a vocabulary of stock codes, one set of neighbours a variant, and rates of rebuying.

    The position in ``codes`` is an item's *place*. A place outside the vocabulary is ``len(codes)``, so that dense
    scores of ``len(codes) + 1`` places can be read for any item. ``rebuy`` float32 ``[places + 1, 2]``: log of the
    share of later baskets in which those who had the item bought it again, ever and lately; the last row is what is
    usual.
    """

    def __init__(self, codes: Sequence[str], variants: Sequence[Neighbours], rebuy: NDArray[np.float32]) -> None:
        """Take what was learnt over.

        Raises:
            ValueError: The parts do not fit together, or hold no finite numbers.
        """
        self.codes = list(codes)
        self.rebuy = rebuy
        self.variants = tuple(variants)
        self._place = {code: place for place, code in enumerate(self.codes)}
        self._bindings: WeakKeyDictionary[ItemTable, Binding] = WeakKeyDictionary()
        self._check()

    def _check(self) -> None:
        size = len(self.codes)
        if not self.variants or self.rebuy.shape != (size + 1, 2) or not np.isfinite(self.rebuy).all():
            raise ValueError(f"The rates of rebuying do not go with {size} stock codes.")
        for neighbour, weight in self.variants:
            fits = neighbour.ndim == 2 and neighbour.shape == weight.shape and len(neighbour) == size
            if not fits or not np.isfinite(weight).all() or not ((neighbour >= 0) & (neighbour < max(size, 1))).all():
                raise ValueError(f"The neighbours do not go with {size} stock codes.")

    @classmethod
    def fit(cls, invoices: Sequence[Invoice], until: int, *, variants: Sequence[Variant] = VARIANTS) -> Self:
        """Learn from the purchases dated before ``until`` (seconds since 1970); later invoices are not looked at.

        Args:
            invoices: The log sorted by date; returns and anonymous sales may be in it and are passed over.
            until: First second that is not known yet; also the date at which baskets are weighted.
            variants: What to learn.
        """
        dates, baskets, counts = _baskets(invoices, until)
        names = list(counts)
        frequent = sorted(
            (place for place, name in enumerate(names) if counts[name] >= MIN_BASKETS),
            key=lambda place: (-counts[names[place]], names[place]),
        )[:MAX_ITEMS]
        places = np.full(len(names), -1, np.int32)
        places[frequent] = np.arange(len(frequent), dtype=np.int32)
        placed = [places[basket] for basket in baskets]
        learnt = []
        for variant in variants:
            weights = np.ones(len(dates))
            if variant.half_life_days is not None:
                weights = np.exp2(-np.maximum(until - dates, 0) / (DAY * variant.half_life_days))
                weights[weights < 1e-3] = 0.0
            gram = cooccurrence(placed, weights.tolist(), len(frequent))
            learnt.append(strongest(ease(gram, variant.ridge), NEIGHBOURS))
        rebuy = _rebuy(invoices, until, {names[place]: at for at, place in enumerate(frequent)})
        return cls([names[place] for place in frequent], learnt, rebuy)

    def bind(self, items: ItemTable) -> "Binding":
        """Places and rows of one item table, brought up to date with what the table has learnt since."""
        binding = self._bindings.get(items)
        if binding is None:
            binding = self._bindings[items] = Binding(len(self.codes))
        binding.extend(items, self._place)
        return binding


class Binding:
    """The way between a vocabulary and an item table: ``row_of_place`` int64 ``[places + 1]``, -1 for none."""

    def __init__(self, n_places: int) -> None:
        self.row_of_place: NDArray[np.int64] = np.full(n_places + 1, -1, np.int64)
        self._places: NDArray[np.int64] = np.full(64, n_places, np.int64)
        self._size = 0
        self._outside = n_places

    @property
    def place_of_row(self) -> NDArray[np.int64]:
        """Place of each row of the table, int64 ``[rows]``."""
        return self._places[: self._size]

    def extend(self, items: ItemTable, places: dict[str, int]) -> None:
        """Take in the rows that the table has grown by."""
        while len(self._places) < len(items):
            self._places = np.concatenate([self._places, np.full(len(self._places), self._outside, np.int64)])
        for row in range(self._size, len(items)):
            place = places.get(items.codes[row], self._outside)
            self._places[row] = place
            if place != self._outside:
                self.row_of_place[place] = row
        self._size = len(items)


def _baskets(
    invoices: Sequence[Invoice], until: int
) -> tuple[NDArray[np.int64], list[NDArray[np.int32]], dict[str, int]]:
    """Date and distinct items of each purchase before ``until``, and in how many baskets each stock code was."""
    counts: dict[str, int] = {}
    order: dict[str, int] = {}
    dates: list[int] = []
    baskets: list[NDArray[np.int32]] = []
    for invoice in invoices:
        if invoice.date >= until:
            break
        if invoice.customer_id is None:
            continue
        codes = {line.stock_code: None for line in invoice.lines if line.quantity > 0}
        if not codes:
            continue
        for code in codes:
            counts[code] = counts.get(code, 0) + 1
            order.setdefault(code, len(order))
        dates.append(invoice.date)
        baskets.append(np.asarray([order[code] for code in codes], np.int32))
    return np.asarray(dates, np.int64), baskets, counts


def _rebuy(invoices: Sequence[Invoice], until: int, places: dict[str, int]) -> NDArray[np.float32]:
    """``Knowledge.rebuy``: each purchase invoice is one chance for every item that its customer had before.

    A rate is shrunk to the usual one as if that had been seen at ``REBUY_PRIOR`` chances.
    """
    width = len(places) + 1
    chances, times = np.zeros((width, 2)), np.zeros((width, 2))
    own: dict[str, NDArray[np.int64]] = {}
    for invoice in invoices:
        if invoice.date >= until:
            break
        if invoice.customer_id is None:
            continue
        codes = {line.stock_code for line in invoice.lines if line.quantity > 0}
        bought = np.asarray(sorted(places[code] for code in codes if code in places), np.int64)
        before = own.get(invoice.customer_id)
        if before is None:
            own[invoice.customer_id] = bought
            continue
        weight = np.asarray([1.0, 0.5 ** ((until - invoice.date) / (DAY * REBUY_HALF_LIFE_DAYS))])
        chances[before] += weight
        times[np.intersect1d(bought, before, assume_unique=True)] += weight
        own[invoice.customer_id] = np.union1d(before, bought)
    usual = (times.sum(axis=0) + 1.0) / (chances.sum(axis=0) + REBUY_PRIOR)
    rates: NDArray[np.float32] = np.log((times + REBUY_PRIOR * usual) / (chances + REBUY_PRIOR)).astype(np.float32)
    return rates
