"""What the chance of a return is read from: the dates, sizes and values of a customer's purchases, nothing else.

All of it is as of the newest purchase, so it stays the same until the customer is back; the days gone by since then are
``NumpyReturnNetwork``'s affair.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from state.domain.history import CustomerHistory
from state.events.dates import DAY
from state.events.invoice import THOUSAND

Floats = NDArray[np.float64]

SHARES = (0.5, 1.0, 3.0, 7.0, 14.0, 30.0, 60.0, 90.0)
"""Days: the share of the customer's gaps that are no longer."""
STRENGTH = 4.0
"""These shares are of the gaps and of so many more that are longer, so that few gaps say little."""
LATELY = (7.0, 30.0, 90.0)
"""Days: the purchases so long before the newest, and in between."""
FADING = 0.7
"""How much a gap counts against the next one in the recent mean."""
GAPS = 3
"""The newest gaps that count one by one."""
OBSERVED = 90.0
"""Days: a past that the log has been kept for so long is a whole one."""
SETTLED = 30.0
"""Days after the beginning of the log by which a customer who appears is e times less likely to be an old one."""
WEEK = 7
MONTH = 30.4

RETURN_INPUTS = (
    "log_baskets",
    "first",
    "second",
    "observed",
    "there_from_the_start",
    *(f"log_gap_{ago}" for ago in range(1, GAPS + 1)),
    "log_mean_gap",
    "mean_log_gap",
    "recent_log_gap",
    "deviation_log_gap",
    "least_log_gap",
    "greatest_log_gap",
    "mean_log_gap_of_days",
    *(f"share_within_{days:g}" for days in SHARES),
    *(f"log_baskets_{days:g}" for days in LATELY),
    "log_days_since_first",
    "log_rate",
    "log_size",
    "log_mean_size",
    "log_value",
    "log_taken_back",
    *(f"weekday_{day}" for day in range(WEEK)),
    "hour",
    "month_sine",
    "month_cosine",
)
"""Inputs of a customer; logs are of 1 + x, gaps are in days."""


class _Purchases(NamedTuple):
    """A batch of customers; ``date`` (days since 1970) and ``size`` of their purchases, newest first, padded with 0.

    ``number`` ``[customers]`` · ``date``, ``size`` ``[customers, most purchases]`` · ``value`` of the newest, in the
    shop's currency, and ``taken_back``, the invoices of returns alone, ``[customers]``.
    """

    number: NDArray[np.int64]
    date: Floats
    size: Floats
    value: Floats
    taken_back: Floats


def newest_purchases(histories: Sequence[CustomerHistory]) -> NDArray[np.int64]:
    """When each customer last bought, seconds since 1970, ``[customers]``; 0 for one who never did."""
    return np.asarray([max(history.purchase_dates, default=0) for history in histories], np.int64)


def return_inputs(histories: Sequence[CustomerHistory], since: float) -> NDArray[np.float32]:
    """``RETURN_INPUTS`` of each customer, float32 ``[customers, inputs]``.

    An invoice counts as a purchase whether or not a part of it went back later. A customer who never bought is
    read as one whose first basket is empty.

    Args:
        histories: Of any customers.
        since: When the log begins, days since 1970. Who appears soon after that is often an old customer whose earlier
            baskets nobody kept; ``observed`` and ``there_from_the_start`` tell them from those who are new.
    """
    bought = _purchases(histories)
    gap = np.maximum(bought.date[:, :-1] - bought.date[:, 1:], 0.0)
    there = np.arange(1, bought.date.shape[1]) < bought.number[:, None]
    gaps = bought.number - 1.0
    log_gap = np.where(there, np.log1p(np.where(there, gap, 0.0)), 0.0)
    mean = _mean(log_gap, there)
    span = bought.date[:, 0] - bought.date[np.arange(len(histories)), bought.number - 1]
    ago = bought.date[:, :1] - bought.date
    held = np.arange(bought.date.shape[1]) < bought.number[:, None]
    first = bought.date[:, 0] - span
    newest = [_column(log_gap, place, mean, there) for place in range(GAPS)]
    log_size = np.log1p(bought.size[:, 0])
    columns = [
        np.log(bought.number),
        bought.number == 1,
        bought.number == 2,
        np.clip(bought.date[:, 0] - since, 0.0, OBSERVED) / OBSERVED / bought.number,
        np.exp(-np.maximum(first - since, 0.0) / SETTLED),
        *newest,
        np.log1p(span / np.maximum(gaps, 1.0)),
        mean,
        _mean(log_gap, there * FADING ** np.arange(there.shape[1])),
        np.sqrt(_mean((log_gap - mean[:, None]) ** 2, there)),
        np.where(gaps > 0, np.min(log_gap, axis=1, initial=np.inf, where=there), 0.0),
        np.max(log_gap, axis=1, initial=0.0, where=there),
        _mean(log_gap, there & (gap >= 1.0)),
        *(((gap <= days) & there).sum(axis=1) / (gaps + STRENGTH) for days in SHARES),
        *(np.log1p(((ago < days) & held).sum(axis=1)) for days in LATELY),
        np.log1p(span),
        np.log(bought.number / (span + 30.0)),
        log_size,
        np.log1p(bought.size.sum(axis=1) / bought.number),
        np.log1p(bought.value),
        np.log1p(bought.taken_back),
        *_calendar(bought.date[:, 0]),
    ]
    return np.stack(columns, axis=1).astype(np.float32)


def _purchases(histories: Sequence[CustomerHistory]) -> _Purchases:
    found: list[tuple[list[int], list[int]]] = []
    value: list[float] = []
    for history in histories:
        purchases = [each for each in history.invoices if each.is_purchase]
        found.append(([each.date for each in purchases[::-1]] or [0], [len(each.lines) for each in purchases[::-1]]))
        newest = purchases[-1].lines if purchases else ()
        value.append(sum(line.quantity * line.unit_price for line in newest if line.quantity > 0) / THOUSAND)
    number = np.asarray([len(dates) for dates, _ in found], np.int64)
    date = np.zeros((len(found), int(number.max(initial=1))))
    size = np.zeros_like(date)
    for row, (dates, sizes) in enumerate(found):
        date[row, : len(dates)] = dates
        size[row, : len(sizes)] = sizes
    taken_back = [len(history.invoices) for history in histories] - number
    return _Purchases(number, date / DAY, size, np.asarray(value), np.maximum(taken_back, 0).astype(np.float64))


def _mean(values: Floats, weights: NDArray[np.bool_] | Floats) -> Floats:
    """Weighted mean of each row; 0 where there is no weight."""
    weight = weights.sum(axis=1)
    mean: Floats = (values * weights).sum(axis=1) / np.where(weight > 0, weight, 1.0)
    return mean


def _column(log_gap: Floats, place: int, mean: Floats, there: NDArray[np.bool_]) -> Floats:
    """The gap at a place, newest first; the mean where the customer has fewer."""
    if place >= log_gap.shape[1]:
        return mean
    return np.where(there[:, place], log_gap[:, place], mean)


def _calendar(date: Floats) -> list[NDArray[np.generic]]:
    """Day of the week, time of day and day of the month, in UTC; no season, which a year of data cannot tell."""
    day = np.floor(date).astype(np.int64)
    weekday = (day + 3) % WEEK  # 1970-01-01 was a Thursday, 0 is Monday
    days = day.astype("datetime64[D]")
    of_month = (days - days.astype("datetime64[M]").astype("datetime64[D]")).astype(np.int64)
    turn = 2.0 * np.pi * of_month / MONTH
    return [*(weekday == each for each in range(WEEK)), date - day, np.sin(turn), np.cos(turn)]
