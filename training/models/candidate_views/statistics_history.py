"""Global statistics as of any date, as old as those of a service whose trainer runs every week."""

import copy
import logging
from collections import deque
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import groupby
from typing import Self

from state.events.dates import DAY
from state.events.invoice import Invoice
from training.data.purchases import purchases_of
from training.engine import map_parts
from training.features.basket_lstm.global_statistics import GlobalStatistics
from training.models.global_statistics import (
    GlobalStatisticsBuilder,
    ItemToItemInputs,
    UnfittedStatistics,
    fit_item_to_item,
)

logger = logging.getLogger(__name__)

REFIT_DAYS = 7
"""Days between two fits."""
MIN_PARALLEL_ITEMS = 1_000
"""The statistics of fewer items are fitted here before other processes would have loaded their libraries."""
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
        (found,) = self.at_each([now])
        return found

    def at_each(self, moments: Sequence[int]) -> Iterator[GlobalStatistics]:
        """``at`` of each of some moments, which rise; what is not in memory is fitted by ``map_parts``."""
        dates = [self._date(now) for now in moments]
        fitted = self._fit_each([date for date, _ in groupby(dates)])
        for _, of_date in groupby(dates):
            found = next(fitted)
            for _ in of_date:
                yield found

    def _date(self, now: int) -> int:
        period = REFIT_DAYS * DAY
        return self._origin + (min(now, self._until) - self._origin) // period * period

    def _fit_each(self, dates: Sequence[int]) -> Iterator[GlobalStatistics]:
        """The statistics of some dates, which rise."""
        planned: deque[tuple[int, GlobalStatistics | UnfittedStatistics]] = deque()

        def inputs() -> Iterator[ItemToItemInputs]:
            for date in dates:
                found = self._fitted.get(date)
                if found is not None:
                    planned.append((date, found))
                else:
                    unfitted = self._unfitted(date)
                    planned.append((date, unfitted))
                    yield unfitted.inputs

        def known() -> Iterator[GlobalStatistics]:
            while planned and isinstance(found := planned[0][1], GlobalStatistics):
                planned.popleft()
                yield found

        parallel = purchases_of(self._invoices).n_items >= MIN_PARALLEL_ITEMS
        run = partial(map_parts, each_processor=1) if parallel else map
        for neighbours in run(fit_item_to_item, inputs()):
            yield from known()
            date, unfitted = planned.popleft()
            assert isinstance(unfitted, UnfittedStatistics)
            yield self._add(date, unfitted.fitted(neighbours))
        yield from known()

    def _unfitted(self, date: int) -> UnfittedStatistics:
        if self._builder.date is not None and date < self._builder.date:
            self._builder = GlobalStatisticsBuilder(self._invoices)
        return self._builder.unfitted(date)

    def _add(self, date: int, fitted: GlobalStatistics) -> GlobalStatistics:
        while self._fitted and len(self._fitted) >= min(_MAX_FITS, _MAX_BYTES // fitted.nbytes):
            del self._fitted[min(self._fitted)]
        self._fitted[date] = fitted
        logger.debug("fitted global statistics", extra={"until": date})
        return fitted
