"""Builds ``GlobalStatistics``: reads the log once, and gives the statistics as of any date.

There are three variants of the item-to-item scores (see ``training.models.item_to_item``). Their rows are ``baskets``,
all of weight 1; ``recent``, weighted by recency; ``customers``, with all they ever bought. Needs scipy and
scikit-learn, so only training imports it.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from state.events.dates import DAY
from state.events.invoice import THOUSAND, Invoice
from training.features.basket_lstm.global_statistics import BASKETS, CUSTOMERS, RECENT, GlobalStatistics
from training.features.basket_lstm.weekly_demand import WeeklyDemandBuilder
from training.features.item_to_item import MAX_BASKET, Float, Neighbours
from training.features.text import TextEncoder, trimmed
from training.models.item_to_item import basket_matrix, fit_neighbours
from training.models.text_encoders import fit_offline

NEIGHBOURS = 100
MIN_BASKETS = 3
"""An item in fewer baskets has no neighbours."""
MAX_BASKETS = 200_000
"""The newest baskets are used: about 50 MB."""

BASKETS_RIDGE = 300.0
RECENT_RIDGE = 100.0
RECENT_HALF_LIFE_DAYS = 60.0

TEXT_GROWTH = 1.25
"""The text encoder is fitted again once there are so many times as many descriptions."""

REBUY_PRIOR = 20.0
BUYERS_PRIOR = 1.0
"""Item statistics are shrunk to the mean over items, as if it had been observed on so many more chances, or baskets."""
ITEM_STATISTICS_HALF_LIFE_DAYS = 60.0
"""Half-life of a basket in the recency-weighted item statistics."""

Ints = NDArray[np.int32]


class GlobalStatisticsBuilder:
    """The log up to a date: baskets, the items of every customer, and counts of repeat purchases by item."""

    def __init__(self, invoices: Sequence[Invoice]) -> None:
        """Start before the first invoice of a log sorted by date; returns and anonymous sales are skipped."""
        self._invoices = invoices
        self._position = 0
        self.date: int | None = None
        self._item_of: dict[str, int] = {}
        self._owned: dict[str, Ints] = {}
        self._times: dict[str, int] = {}
        self._dates: list[int] = []
        self._baskets: list[Ints] = []
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

    def until(self, date: int) -> GlobalStatistics:
        """The statistics of the purchases dated before ``date``, seconds since 1970; dates only rise.

        Raises:
            ValueError: A call before had a later date.
        """
        if self.date is not None and date < self.date:
            raise ValueError("A GlobalStatisticsBuilder goes forward only.")
        self.date = date
        while self._position < len(self._invoices) and self._invoices[self._position].date < date:
            self._read(self._invoices[self._position])
            self._position += 1
        names = list(self._item_of)
        counts = self._in_baskets[: len(names)]
        frequent = sorted(np.flatnonzero(counts >= MIN_BASKETS).tolist(), key=lambda item: (-counts[item], names[item]))
        chosen = np.asarray(frequent, np.int64)
        codes = [names[item] for item in chosen]
        return GlobalStatistics(
            codes,
            self._fit_i2i(chosen, date),
            self._item_statistics(chosen, date),
            self._weekly.as_of(date, chosen),
            self._read_texts(date),
        )

    def _read_texts(self, date: int) -> TextEncoder:
        """The encoder of the descriptions so far: fitted again once they have grown by ``TEXT_GROWTH``."""
        if self._text is None or len(self._texts) > TEXT_GROWTH * self._text_from:
            self._text, self._text_from = fit_offline(self._texts), len(self._texts)
        return self._text

    def _read(self, invoice: Invoice) -> None:
        customer = invoice.customer_id
        if customer is None:
            return
        units: dict[str, float] = {}
        for line in invoice.lines:
            if line.quantity > 0:
                units[line.stock_code] = units.get(line.stock_code, 0.0) + line.quantity / THOUSAND
        if not units:
            return
        self._texts.update(text for line in invoice.lines if (text := trimmed(line.description)))
        basket = np.asarray([self._item_of.setdefault(code, len(self._item_of)) for code in units], np.int32)
        self._grow()
        self._weekly.add_basket(basket, invoice.date)
        recency = self._recency(invoice.date)
        times = self._times.get(customer, 0)
        self._times[customer] = times + 1
        observed = np.ones((len(basket), 4))
        observed[:, 1], observed[:, 2], observed[:, 3] = len(basket), list(units.values()), times
        observed[:, 1:] = np.log1p(observed[:, 1:])
        self._buyers[basket] += recency * observed
        basket.sort()
        self._in_baskets[basket] += 1.0
        before = self._owned.get(customer)
        if before is not None:
            weight = np.asarray([1.0, recency])
            self._rebuys[before, 0] += weight
            self._rebuys[np.intersect1d(basket, before, assume_unique=True), 1] += weight
        self._dates.append(invoice.date)
        self._baskets.append(basket[:MAX_BASKET])
        if len(self._dates) > 2 * MAX_BASKETS:
            del self._dates[:MAX_BASKETS], self._baskets[:MAX_BASKETS]
        self._owned[customer] = basket if before is None else np.union1d(before, basket)

    def _grow(self) -> None:
        while len(self._in_baskets) < len(self._item_of):
            self._in_baskets = np.concatenate([self._in_baskets, np.zeros_like(self._in_baskets)])
            self._rebuys = np.concatenate([self._rebuys, np.zeros_like(self._rebuys)])
            self._buyers = np.concatenate([self._buyers, np.zeros_like(self._buyers)])

    def _recency(self, date: int) -> float:
        """The weight of a basket of this date in the recency-weighted sums, as of their reference date."""
        halvings = (date - self._reference) / (DAY * ITEM_STATISTICS_HALF_LIFE_DAYS)
        if abs(halvings) > 500.0:  # long before a float64 overflows
            faded = np.exp2(-np.clip(halvings, -1000.0, 1000.0))
            self._rebuys[:, :, 1] *= faded
            self._buyers *= faded
            self._reference, halvings = date, 0.0
        return float(np.exp2(halvings))

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

    def _fit_i2i(self, chosen: NDArray[np.int64], date: int) -> dict[str, Neighbours]:
        index_of = np.full(max(len(self._item_of), 1), -1, np.int64)
        index_of[chosen] = np.arange(len(chosen))
        ages = (date - np.asarray(self._dates[-MAX_BASKETS:], np.float64)) / DAY
        baskets = basket_matrix(self._baskets[-MAX_BASKETS:], index_of, len(chosen))
        owned = basket_matrix([items[-MAX_BASKET:] for items in self._owned.values()], index_of, len(chosen))
        recency = np.exp2(-ages / RECENT_HALF_LIFE_DAYS)
        return {
            BASKETS: fit_neighbours(baskets, None, BASKETS_RIDGE, NEIGHBOURS),
            RECENT: fit_neighbours(baskets, recency, RECENT_RIDGE, NEIGHBOURS),
            CUSTOMERS: fit_neighbours(owned, None, BASKETS_RIDGE, NEIGHBOURS),
        }


def fit_global_statistics(invoices: Sequence[Invoice], until: int) -> GlobalStatistics:
    """The statistics of a log up to a date; for several dates use one ``GlobalStatisticsBuilder``."""
    return GlobalStatisticsBuilder(invoices).until(until)
