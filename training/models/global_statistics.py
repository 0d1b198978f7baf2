"""Builds ``GlobalStatistics``: reads the log once, and gives the statistics as of any date.

There are three variants of the item-to-item scores (see ``training.models.item_to_item``). Their rows are ``baskets``,
all of weight 1; ``recent``, weighted by recency; ``customers``, with all they ever bought. Needs scipy and
scikit-learn, so only training imports it.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from threadpoolctl import threadpool_limits

from state.events.dates import DAY
from state.events.invoice import Invoice
from training.data.purchases import purchases_of
from training.features.basket_lstm.global_statistics import BASKETS, CUSTOMERS, RECENT, GlobalStatistics
from training.features.basket_lstm.weekly_demand import WeeklyDemand, WeeklyDemandBuilder
from training.features.item_to_item import MAX_BASKET, Float, Neighbours
from training.features.text import TextEncoder, trimmed
from training.models.item_to_item import Baskets, basket_matrix, fit_neighbours
from training.models.text_encoders import fit_offline

NEIGHBOURS = 100
MIN_BASKETS = 3
"""An item in fewer baskets has no neighbours."""
MAX_BASKETS = 200_000
"""The newest baskets are used: about 50 MB."""

BASKETS_RIDGE = 300.0
RECENT_RIDGE = 100.0
RECENT_HALF_LIFE_DAYS = 60.0

INVOICES_AT_ONCE = 20_000
"""Invoices that are counted at once: some 50 MB."""
MAX_HALVINGS = 500.0
"""Half-lives that a basket may be away from the reference date of recency-weighted sums: a float64 holds twice that."""

TEXT_GROWTH = 1.25
"""The text encoder is fitted again once there are so many times as many descriptions."""

REBUY_PRIOR = 20.0
BUYERS_PRIOR = 1.0
"""Item statistics are shrunk to the mean over items, as if it had been observed on so many more chances, or baskets."""
ITEM_STATISTICS_HALF_LIFE_DAYS = 60.0
"""Half-life of a basket in the recency-weighted item statistics."""

Ints = NDArray[np.int32]


class ItemToItemInputs(NamedTuple):
    """What the item-to-item scores of a date are fitted on.

    ``baskets``, ``customers``: the rows of the variants, × items, float32 · ``recency``: weight of each basket.
    """

    baskets: sparse.csr_array
    recency: NDArray[np.float64]
    customers: sparse.csr_array


class UnfittedStatistics(NamedTuple):
    """The statistics of a date but for their item-to-item scores, whose fit takes most of the time."""

    codes: list[str]
    inputs: ItemToItemInputs
    item_statistics: Float
    weeks: WeeklyDemand
    text: TextEncoder

    def fitted(self, neighbours: dict[str, Neighbours]) -> GlobalStatistics:
        """The statistics with the result of ``fit_item_to_item``."""
        return GlobalStatistics(self.codes, neighbours, self.item_statistics, self.weeks, self.text)


def fit_item_to_item(inputs: ItemToItemInputs) -> dict[str, Neighbours]:
    """The item-to-item scores by variant; any process can fit them."""
    with threadpool_limits(1):
        return {
            BASKETS: fit_neighbours(inputs.baskets, None, BASKETS_RIDGE, NEIGHBOURS),
            RECENT: fit_neighbours(inputs.baskets, inputs.recency, RECENT_RIDGE, NEIGHBOURS),
            CUSTOMERS: fit_neighbours(inputs.customers, None, BASKETS_RIDGE, NEIGHBOURS),
        }


class GlobalStatisticsBuilder:
    """The log up to a date: baskets, the items of every customer, and counts of repeat purchases by item."""

    def __init__(self, invoices: Sequence[Invoice]) -> None:
        """Start before the first invoice of a log sorted by date; returns and anonymous sales are skipped."""
        self._log = purchases_of(invoices)
        self._position = 0
        self.date: int | None = None
        self._n_items = 0
        self._in_baskets = np.zeros(64)
        self._rebuys = np.zeros((64, 2, 2))  # item × (chances, times) × (all, recency-weighted as of the reference)
        self._buyers = np.zeros(
            (64, 4)
        )  # item × (baskets, sums of the logs of size, units and baskets before), recency-weighted
        self._reference = 0
        self._weekly = WeeklyDemandBuilder()
        self._texts: set[str] = set()
        self._text: TextEncoder | None = None
        self._text_from = 0
        self._texts_read = 0

    def until(self, date: int) -> GlobalStatistics:
        """The statistics of the purchases dated before ``date``, seconds since 1970; dates only rise.

        Raises:
            ValueError: A call before had a later date.
        """
        unfitted = self.unfitted(date)
        return unfitted.fitted(fit_item_to_item(unfitted.inputs))

    def unfitted(self, date: int) -> UnfittedStatistics:
        """What ``until`` starts from; it raises the same."""
        if self.date is not None and date < self.date:
            raise ValueError("A GlobalStatisticsBuilder goes forward only.")
        self.date = date
        end = self._log.first_at(date)
        while self._position < end:
            self._read(self._position, min(end, self._position + INVOICES_AT_ONCE))
        names = self._log.codes[: self._n_items]
        counts = self._in_baskets[: len(names)]
        frequent = sorted(np.flatnonzero(counts >= MIN_BASKETS).tolist(), key=lambda item: (-counts[item], names[item]))
        chosen = np.asarray(frequent, np.int64)
        codes = [names[item] for item in chosen]
        return UnfittedStatistics(
            codes,
            self._inputs(chosen, date),
            self._item_statistics(chosen, date),
            self._weekly.as_of(date, chosen),
            self._read_texts(date),
        )

    def _read_texts(self, date: int) -> TextEncoder:
        """The encoder of the descriptions so far: fitted again once they have grown by ``TEXT_GROWTH``."""
        if self._text is None or len(self._texts) > TEXT_GROWTH * self._text_from:
            self._text, self._text_from = fit_offline(self._texts), len(self._texts)
        return self._text

    def _read(self, start: int, end: int) -> None:
        """Count the invoices from ``start`` to ``end``, in their order, as sums of floats depend on it."""
        log = self._log
        self._position = end
        texts_end = int(np.searchsorted(log.text_since, end))
        self._texts.update(filter(None, map(trimmed, log.texts[self._texts_read : texts_end])))
        self._texts_read = texts_end
        first, last = np.searchsorted(log.invoice, (start, end)).tolist()
        while first < last:
            dates = np.asarray(log.date[log.invoice[first:last]])
            far = np.flatnonzero(np.abs(self._halvings(dates)) > MAX_HALVINGS)
            if len(far) and far[0] == 0:
                self._move_reference(int(dates[0]))
            elif len(far):
                self._count(first, first + int(far[0]), dates[: far[0]])
                first += int(far[0])
            else:
                self._count(first, last, dates)
                first = last

    def _count(self, first: int, last: int, dates: NDArray[np.int64]) -> None:
        """Count purchase invoices by their dates; the reference date is near enough to all of them."""
        log = self._log
        sale = slice(int(log.first_sale[log.invoice[first]]), int(log.first_sale[log.invoice[last - 1] + 1]))
        sizes = log.sizes[log.invoice[first:last]]
        item, is_new = log.item[sale].astype(np.int64), log.is_new[sale]
        self._n_items = max(self._n_items, int(item.max()) + 1)
        self._grow()
        invoice = np.repeat(np.arange(last - first), sizes)
        recency = np.exp2(self._halvings(dates))
        self._weekly.add_baskets(item, dates[invoice])
        np.add.at(self._in_baskets, item, 1.0)
        observed = (sizes[invoice], log.units[sale], log.number[first:last][invoice])
        _add(self._buyers[:, 0], item, recency[invoice])
        for column, values in enumerate(observed, 1):
            _add(self._buyers[:, column], item, recency[invoice] * np.log1p(values.astype(np.float64)))
        begins, numbers, items = log.bought_before
        number = numbers[first:last]
        offset = np.arange(int(number.sum())) - np.repeat(np.cumsum(number) - number, number)
        before = items[np.repeat(begins[first:last], number) + offset]
        _add(self._rebuys[:, 0, 0], before, np.ones(len(before)))
        _add(self._rebuys[:, 0, 1], before, np.repeat(recency, number))
        _add(self._rebuys[:, 1, 0], item[~is_new], np.ones(int((~is_new).sum())))
        _add(self._rebuys[:, 1, 1], item[~is_new], recency[invoice][~is_new])

    def _grow(self) -> None:
        while len(self._in_baskets) < self._n_items:
            self._in_baskets = np.concatenate([self._in_baskets, np.zeros_like(self._in_baskets)])
            self._rebuys = np.concatenate([self._rebuys, np.zeros_like(self._rebuys)])
            self._buyers = np.concatenate([self._buyers, np.zeros_like(self._buyers)])

    def _halvings(self, dates: NDArray[np.int64]) -> NDArray[np.float64]:
        """Half-lives from the reference date of the recency-weighted sums to some dates."""
        halvings: NDArray[np.float64] = (dates - self._reference) / (DAY * ITEM_STATISTICS_HALF_LIFE_DAYS)
        return halvings

    def _move_reference(self, date: int) -> None:
        faded = np.exp2(-np.clip(self._halvings(np.asarray([date])), -1000.0, 1000.0))
        self._rebuys[:, :, 1] *= faded
        self._buyers *= faded
        self._reference = date

    def _item_statistics(self, chosen: NDArray[np.int64], date: int) -> Float:
        """``GlobalStatistics.item_statistics``, each shrunk to its mean over items.

        As if the mean had been observed at ``REBUY_PRIOR`` more chances to buy again, or in ``BUYERS_PRIOR`` baskets.
        """
        faded = np.exp2(np.clip((self._reference - date) / (DAY * ITEM_STATISTICS_HALF_LIFE_DAYS), -1000.0, 0.0))
        counted = np.concatenate([self._rebuys[chosen], np.zeros((1, 2, 2))])
        counted[:, :, 1] *= faded
        chances, times = counted[:, 0], counted[:, 1]
        mean_rate = (times.sum(axis=0) + 1.0) / (chances.sum(axis=0) + REBUY_PRIOR)
        rates = np.log((times + REBUY_PRIOR * mean_rate) / (chances + REBUY_PRIOR))
        summed = np.concatenate([self._buyers[chosen], np.zeros((1, 4))]) * faded
        total = summed.sum(axis=0)
        mean = total[1:] / max(total[0], 1e-9)
        buyers = (summed[:, 1:] + BUYERS_PRIOR * mean) / (summed[:, :1] + BUYERS_PRIOR)
        item_statistics: Float = np.concatenate([rates, buyers], axis=1).astype(np.float32)
        return item_statistics

    def _inputs(self, chosen: NDArray[np.int64], date: int) -> ItemToItemInputs:
        index_of = np.full(max(self._n_items, 1), -1, np.int64)
        index_of[chosen] = np.arange(len(chosen))
        dates, newest = self._newest_baskets()
        ages = (date - dates.astype(np.float64)) / DAY
        return ItemToItemInputs(
            basket_matrix(newest, index_of, len(chosen)),
            np.exp2(-ages / RECENT_HALF_LIFE_DAYS),
            basket_matrix(self._items_by_customer(), index_of, len(chosen)),
        )

    def _newest_baskets(self) -> tuple[NDArray[np.int64], Baskets]:
        """Dates and items, sorted, of the newest purchases."""
        log = self._log
        end = int(np.searchsorted(log.invoice, self._position))
        newest = log.invoice[max(end - MAX_BASKETS, 0) : end]
        if not len(newest):
            return np.zeros(0, np.int64), Baskets(np.zeros(0, np.int32), np.zeros(0, np.int64))
        item = log.item[log.first_sale[newest[0]] : log.first_sale[newest[-1] + 1]]
        sizes = log.sizes[newest]
        order = np.lexsort((item, np.repeat(np.arange(len(newest)), sizes)))
        return np.asarray(log.date[newest]), Baskets(item[order], sizes).first(MAX_BASKET)

    def _items_by_customer(self) -> Baskets:
        """All items that each customer bought, sorted."""
        log = self._log
        known = log.first_sales < log.first_sale[self._position]
        customer = log.first_sale_customers[known]
        if not len(customer):
            return Baskets(np.zeros(0, np.int32), np.zeros(0, np.int64))
        starts = np.flatnonzero(np.diff(customer, prepend=-1))
        sizes = np.diff(np.append(starts, len(customer)))
        return Baskets(log.item[log.first_sales[known]], sizes).last(MAX_BASKET)


def _add(sums: NDArray[np.float64], item: NDArray[np.integer], values: NDArray[np.float64]) -> None:
    """Add values to a column of sums, one after the other; in a copy without gaps, which is ten times as fast."""
    summed = sums.copy()
    np.add.at(summed, item, values)
    sums[:] = summed


def fit_global_statistics(invoices: Sequence[Invoice], until: int) -> GlobalStatistics:
    """The statistics of a log up to a date; for several dates use one ``GlobalStatisticsBuilder``."""
    return GlobalStatisticsBuilder(invoices).until(until)
