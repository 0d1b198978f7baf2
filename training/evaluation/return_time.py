"""How well the chance of a return is foreseen: Brier score, AUC and calibration by horizon, at the emission."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from state.domain.history import CustomerHistory, add_invoice
from state.events.dates import DAY
from state.events.invoice import Invoice
from training.data.history_cache import HistoryCache
from training.evaluation.metrics import expected_calibration_error
from training.evaluation.split import Span
from training.serving.scorer import HORIZONS

Floats = NDArray[np.float64]


class EmissionOutcomes(NamedTuple):
    """The purchases of a span, in order, and what came of them.

    ``histories`` as they stood right after each · ``date`` int64 ``[n]``, seconds since 1970 · ``following`` int64
    ``[n]``: the date of the customer's next purchase, -1 where the log has none · ``end``: the last date of the log.
    """

    histories: list[CustomerHistory]
    date: NDArray[np.int64]
    following: NDArray[np.int64]
    end: int

    def passed(self, horizon: int) -> NDArray[np.bool_]:
        """Which can be judged: those whose horizon, in days, had passed by the end of the log ``[n]``."""
        return self.end - self.date >= horizon * DAY

    def came(self, horizon: int) -> NDArray[np.bool_]:
        """Whose customer bought again within the horizon ``[n]``; an invoice of returns is no purchase."""
        return (self.following >= 0) & (self.following - self.date <= horizon * DAY)


class ReturnMetrics(NamedTuple):
    """How well the chances of one horizon came true, over ``n`` emissions; NaN where there is nothing to tell by.

    ``chances`` and ``came`` are those it was told by, ``[n]``.
    """

    n: int
    brier: float
    auc: float
    ece: float
    chances: Floats
    came: Floats


def emission_outcomes(log: Sequence[Invoice], judged: Span, window: int = 100) -> EmissionOutcomes:
    """The purchases of a span with what followed, to the end of the log.

    Args:
        log: Sorted by date.
        judged: The span of the emissions.
        window: Number of invoices that a history holds, as in the stream.
    """
    held = HistoryCache()
    last: dict[str, int] = {}
    histories: list[CustomerHistory] = []
    dates: list[int] = []
    following: list[int] = []
    end = judged.start
    for invoice in log:
        customer = invoice.customer_id
        if customer is None:
            continue
        if invoice.date < judged.end:
            held[customer] = add_invoice(held.get(customer) or CustomerHistory(customer), invoice, window).history
        if not invoice.is_purchase:
            continue
        end = invoice.date
        if customer in last:
            following[last.pop(customer)] = invoice.date
        if judged.start <= invoice.date < judged.end:
            last[customer] = len(dates)
            dates.append(invoice.date)
            following.append(-1)
            histories.append(held[customer])
    return EmissionOutcomes(histories, np.asarray(dates, np.int64), np.asarray(following, np.int64), end)


def return_metrics(chances: Floats, seen: EmissionOutcomes) -> dict[int, ReturnMetrics]:
    """Judge chances ``[emissions, horizons]`` by horizon, only where it had passed by the end of the log.

    Brier = Σ (p − y)² / n, y being whether the customer bought again within the horizon (Brier, "Verification of
    forecasts expressed in terms of probability", 1950); AUC and expected calibration error as in ``auc`` and
    ``expected_calibration_error``.
    """
    found = {}
    for place, horizon in enumerate(HORIZONS):
        passed = seen.passed(horizon)
        p, y = chances[passed, place], seen.came(horizon)[passed].astype(np.float64)
        brier = float(((p - y) ** 2).mean()) if len(p) else float("nan")
        found[horizon] = ReturnMetrics(len(p), brier, auc(p, y), expected_calibration_error(p, y), p, y)
    return found


def auc(chances: Floats, came: Floats) -> float:
    """Area under the ROC curve: the chance that one who came back was given more than one who did not; ties count half.

    NaN where all or none came back. Source: Hanley and McNeil, "The meaning and use of the area under a receiver
    operating characteristic (ROC) curve", 1982.
    """
    positive = int(came.sum())
    negative = len(came) - positive
    if not positive or not negative:
        return float("nan")
    ranks = rankdata(chances)[came > 0].sum()
    return float((ranks - positive * (positive + 1) / 2) / (positive * negative))
