"""Inputs of the return-time network: dates, sizes and values of a customer's purchases.

All are as of the newest purchase, so they stay the same until the next one; ``NumpyReturnNetwork`` accounts for the
days since then.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from state.domain.history import CustomerHistory
from state.events.dates import DAY
from state.events.invoice import THOUSAND
from training.features.invoice_columns import invoice_columns

Floats = NDArray[np.float64]

SHARES = (0.5, 1.0, 3.0, 7.0, 14.0, 30.0, 60.0, 90.0)
"""Days: the share of the customer's gaps up to this length is an input."""
STRENGTH = 4.0
"""The shares count so many further gaps as longer, so that they are small for customers with few gaps."""
RECENT = (7.0, 30.0, 90.0)
"""Days: the number of purchases within so many days before the newest is an input."""
GAP_DECAY = 0.7
"""Weight of a gap relative to the one after it in the recent mean."""
GAPS = 3
"""Number of the newest gaps that are inputs one by one."""
OBSERVED = 90.0
"""Days: after so many days of log, a history counts as completely observed."""
SETTLED = 30.0
"""Days after the start of the log within which the weight of ``present_at_log_start`` falls by a factor of e."""
WEEK = 7
MONTH = 30.4

RETURN_INPUTS = (
    "log_baskets",
    "first",
    "second",
    "observed",
    "present_at_log_start",
    *(f"log_gap_{ago}" for ago in range(1, GAPS + 1)),
    "log_mean_gap",
    "mean_log_gap",
    "recent_log_gap",
    "deviation_log_gap",
    "min_log_gap",
    "max_log_gap",
    "mean_log_gap_of_days",
    *(f"share_within_{days:g}" for days in SHARES),
    *(f"log_baskets_{days:g}" for days in RECENT),
    "log_days_since_first",
    "log_rate",
    "log_size",
    "log_mean_size",
    "log_value",
    "log_return_invoices",
    *(f"weekday_{day}" for day in range(WEEK)),
    "hour",
    "month_sine",
    "month_cosine",
)
"""Inputs of a customer; logs are of 1 + x, gaps are in days."""


class _PurchaseArrays(NamedTuple):
    """Purchases of a batch of customers, newest first, padded with 0.

    ``number`` ``[customers]`` · ``date`` (days since 1970) and ``size`` ``[customers, max number]`` · ``value`` of the
    newest, in the shop's currency, and ``return_invoices``, number of invoices without a purchase, ``[customers]``.
    """

    number: NDArray[np.int64]
    date: Floats
    size: Floats
    value: Floats
    return_invoices: Floats


def newest_purchases(histories: Sequence[CustomerHistory]) -> NDArray[np.int64]:
    """Date of each customer's newest purchase, seconds since 1970, ``[customers]``; 0 without any."""
    newest = [
        next((invoice.date for invoice in reversed(history.invoices) if invoice_columns(invoice).codes), 0)
        for history in histories
    ]
    return np.asarray(newest, np.int64)


def return_inputs(histories: Sequence[CustomerHistory], since: float) -> NDArray[np.float32]:
    """``RETURN_INPUTS`` of each customer, float32 ``[customers, inputs]``.

    An invoice counts as a purchase whether or not a part of it was returned later. A customer without purchases gets
    the inputs of an empty first basket.

    Args:
        histories: Of any customers.
        since: Start of the log, days since 1970. A customer who appears soon after it often has older baskets that the
            log lacks; ``observed`` and ``present_at_log_start`` separate such customers from new ones.
    """
    bought = _purchases(histories)
    is_purchase = np.arange(bought.date.shape[1]) < bought.number[:, None]
    is_gap = is_purchase[:, 1:]
    gap = np.maximum(bought.date[:, :-1] - bought.date[:, 1:], 0.0)
    gap *= is_gap
    gaps = bought.number - 1.0
    log_gap = np.log1p(gap)  # 0 where there is no gap
    mean = log_gap.sum(axis=1) / np.maximum(gaps, 1.0)
    distance = log_gap - mean[:, None]
    distance *= distance
    span = bought.date[:, 0] - bought.date[np.arange(len(histories)), bought.number - 1]
    # Padded gaps and purchases count nowhere: they are longer and older than all.
    shares = (np.where(is_gap, gap, np.inf) <= _SHARES).sum(axis=2) / (gaps + STRENGTH)
    ago = np.where(is_purchase, bought.date[:, :1] - bought.date, np.inf)
    columns = [
        np.log(bought.number),
        bought.number == 1,
        bought.number == 2,
        np.clip(bought.date[:, 0] - since, 0.0, OBSERVED) / OBSERVED / bought.number,
        np.exp(-np.maximum(bought.date[:, 0] - span - since, 0.0) / SETTLED),
        *(_column(log_gap, position, mean, is_gap) for position in range(GAPS)),
        np.log1p(span / np.maximum(gaps, 1.0)),
        mean,
        _mean(log_gap, is_gap * GAP_DECAY ** np.arange(is_gap.shape[1])),
        np.sqrt((distance * is_gap).sum(axis=1) / np.maximum(gaps, 1.0)),
        np.where(gaps > 0, log_gap.min(axis=1, initial=np.inf, where=is_gap), 0.0),
        log_gap.max(axis=1, initial=0.0),
        _mean(log_gap, is_gap & (gap >= 1.0)),
        *shares,
        *np.log1p((ago < _RECENT).sum(axis=2)),
        np.log1p(span),
        np.log(bought.number / (span + 30.0)),
        np.log1p(bought.size[:, 0]),
        np.log1p(bought.size.sum(axis=1) / bought.number),
        np.log1p(bought.value),
        np.log1p(bought.return_invoices),
        *_calendar(bought.date[:, 0]),
    ]
    return np.array(columns, np.float32).T


_SHARES = np.asarray(SHARES)[:, None, None]
_RECENT = np.asarray(RECENT)[:, None, None]


def _purchases(histories: Sequence[CustomerHistory]) -> _PurchaseArrays:
    found: list[tuple[list[int], list[int]]] = []
    value: list[float] = []
    for history in histories:
        purchases = [each for each in reversed(history.invoices) if invoice_columns(each).codes]
        found.append(([each.date for each in purchases] or [0], [len(each.lines) for each in purchases]))
        value.append(invoice_columns(purchases[0]).value / THOUSAND if purchases else 0.0)
    number = np.asarray([len(dates) for dates, _ in found], np.int64)
    date = np.zeros((len(found), int(number.max(initial=1))))
    size = np.zeros_like(date)
    for row, (dates, sizes) in enumerate(found):
        date[row, : len(dates)] = dates
        size[row, : len(sizes)] = sizes
    others = [len(history.invoices) for history in histories] - number
    return_invoices = np.maximum(others, 0).astype(np.float64)
    return _PurchaseArrays(number, date / DAY, size, np.asarray(value), return_invoices)


def _mean(values: Floats, weights: NDArray[np.bool_] | Floats) -> Floats:
    """Weighted mean of each row; 0 where there is no weight."""
    weight = weights.sum(axis=1)
    mean: Floats = (values * weights).sum(axis=1) / np.where(weight > 0, weight, 1.0)
    return mean


def _column(log_gap: Floats, position: int, mean: Floats, is_gap: NDArray[np.bool_]) -> Floats:
    """The gap at a position, newest first; the mean where the customer has fewer."""
    if position >= log_gap.shape[1]:
        return mean
    return np.where(is_gap[:, position], log_gap[:, position], mean)


def _calendar(date: Floats) -> list[NDArray[np.generic]]:
    """Day of the week, time of day and day of the month, in UTC; no season, which a year of data cannot show."""
    day = np.floor(date).astype(np.int64)
    weekday = (day + 3) % WEEK  # 1970-01-01 was a Thursday, 0 is Monday
    days = day.astype("datetime64[D]")
    of_month = (days - days.astype("datetime64[M]").astype("datetime64[D]")).astype(np.int64)
    turn = 2.0 * np.pi * of_month / MONTH
    return [*(weekday == np.arange(WEEK)[:, None]), date - day, np.sin(turn), np.cos(turn)]
