"""Global statistics as of any date, as old as those of a service whose trainer runs every week."""

import copy
import logging
from collections.abc import Sequence
from typing import Self

from state.events.dates import DAY
from state.events.invoice import Invoice
from training.features.basket_lstm.global_statistics import GlobalStatistics
from training.models.global_statistics import GlobalStatisticsBuilder

logger = logging.getLogger(__name__)

REFIT_DAYS = 7
"""Days between two fits."""
_MAX_FITS = 60
"""Fits in memory, a year of them: about 6 MB each for 3,000 items. An evaluation needs those of the training again."""
_MAX_BYTES = 1_500_000_000
"""Of a large catalogue fewer are in memory: a fit of 100,000 items takes 270 MB."""


class StatisticsHistory:
    """The global statistics as of any date, fitted on demand at dates ``REFIT_DAYS`` apart.

    Training so reads statistics as old as those of a service whose trainer runs that often.
    """

    def __init__(self, invoices: Sequence[Invoice], until: int) -> None:
        """Use what is dated before ``until``, seconds since 1970; ``extend`` adds more."""
        self._invoices = invoices
        self._origin = self._until = until
        self._builder = GlobalStatisticsBuilder(invoices)
        self._fitted: dict[int, GlobalStatistics] = {}

    @property
    def fitted_until(self) -> int:
        """The end of the log that the model was fitted on."""
        return self._origin

    def copy(self) -> Self:
        """One that ``extend`` and ``at`` change without changing this one; the log and the statistics are shared."""
        found = copy.copy(self)
        found._builder = copy.deepcopy(self._builder, {id(self._invoices): self._invoices})
        found._fitted = dict(self._fitted)
        return found

    def extend(self, invoices: Sequence[Invoice], until: int) -> None:
        """Use what is dated before ``until`` too, of the same log or one that continues it."""
        self._until = max(until, self._origin)
        if invoices is not self._invoices:
            self._invoices, self._builder = invoices, GlobalStatisticsBuilder(invoices)

    def at(self, now: int) -> GlobalStatistics:
        """The newest statistics fitted at or before ``now``."""
        period = REFIT_DAYS * DAY
        date = self._origin + (min(now, self._until) - self._origin) // period * period
        if date not in self._fitted:
            if self._builder.date is not None and date < self._builder.date:
                self._builder = GlobalStatisticsBuilder(self._invoices)
            fitted = self._builder.until(date)
            while self._fitted and len(self._fitted) >= min(_MAX_FITS, _MAX_BYTES // fitted.nbytes):
                del self._fitted[min(self._fitted)]
            self._fitted[date] = fitted
            logger.debug("fitted global statistics", extra={"until": date})
        return self._fitted[date]
