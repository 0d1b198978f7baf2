"""Metrics of the predicted chance of a return: Brier score, AUC and calibration by horizon, at the emission."""

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
    """The purchases of a span, in order, and when their customers bought again.

    Attributes:
        histories: Of the customer, right after each purchase.
        date: Of each purchase, int64 ``[n]``, seconds since 1970.
        next_date: Of the customer's next purchase, int64 ``[n]``; -1 where the log has none.
        log_end: Date of the last purchase of the log.
    """

    histories: list[CustomerHistory]
    date: NDArray[np.int64]
    next_date: NDArray[np.int64]
    log_end: int

    def is_observed(self, horizon: int) -> NDArray[np.bool_]:
        """Whether a horizon, in days, had ended when the log did, so that the outcome is known ``[n]``."""
        return self.log_end - self.date >= horizon * DAY

    def returned_within(self, horizon: int) -> NDArray[np.bool_]:
        """Whether the customer bought again within the horizon ``[n]``; an invoice of returns is no purchase."""
        return (self.next_date >= 0) & (self.next_date - self.date <= horizon * DAY)


class ReturnMetrics(NamedTuple):
    """Metrics of the predictions for one horizon, over ``n`` emissions; NaN where they are not defined.

    ``predicted`` and ``outcomes`` are what they were computed from, ``[n]`` both.
    """

    n: int
    brier: float
    auc: float
    ece: float
    predicted: Floats
    outcomes: Floats


def emission_outcomes(log: Sequence[Invoice], span: Span, window: int = 100) -> EmissionOutcomes:
    """The purchases of a span with what followed, to the end of the log.

    Args:
        log: Sorted by date.
        span: Of the emissions.
        window: Number of invoices that a history holds, as in the stream.
    """
    current = HistoryCache()
    newest_index: dict[str, int] = {}
    histories: list[CustomerHistory] = []
    dates: list[int] = []
    next_dates: list[int] = []
    end = span.start
    for invoice in log:
        customer = invoice.customer_id
        if customer is None:
            continue
        if invoice.date < span.end:
            history = current.get(customer) or CustomerHistory(customer)
            current[customer] = add_invoice(history, invoice, window).history
        if not invoice.is_purchase:
            continue
        end = invoice.date
        if customer in newest_index:
            next_dates[newest_index.pop(customer)] = invoice.date
        if span.start <= invoice.date < span.end:
            newest_index[customer] = len(dates)
            dates.append(invoice.date)
            next_dates.append(-1)
            histories.append(current[customer])
    return EmissionOutcomes(histories, np.asarray(dates, np.int64), np.asarray(next_dates, np.int64), end)


def return_metrics(predicted: Floats, emissions: EmissionOutcomes) -> dict[int, ReturnMetrics]:
    """Metrics by horizon of predictions ``[emissions, horizons]``, over the emissions whose outcome is known.

    Brier = Σ (p − y)² / n, y being whether the customer bought again within the horizon (Brier, "Verification of
    forecasts expressed in terms of probability", 1950); AUC and expected calibration error as in ``auc`` and
    ``expected_calibration_error``.
    """
    metrics = {}
    for index, horizon in enumerate(HORIZONS):
        observed = emissions.is_observed(horizon)
        p, y = predicted[observed, index], emissions.returned_within(horizon)[observed].astype(np.float64)
        brier = float(((p - y) ** 2).mean()) if len(p) else float("nan")
        metrics[horizon] = ReturnMetrics(len(p), brier, auc(p, y), expected_calibration_error(p, y), p, y)
    return metrics


def auc(predicted: Floats, outcomes: Floats) -> float:
    """Area under the ROC curve: how often one who returned was given more than one who did not; ties count half.

    NaN where all or none returned. Source: Hanley and McNeil, "The meaning and use of the area under a receiver
    operating characteristic (ROC) curve", 1982.
    """
    positive = int(outcomes.sum())
    negative = len(outcomes) - positive
    if not positive or not negative:
        return float("nan")
    ranks = rankdata(predicted)[outcomes > 0].sum()
    return float((ranks - positive * (positive + 1) / 2) / (positive * negative))
