"""Global statistics as of any date, as old as those of a service whose trainer runs every week, or every four."""

import copy
import logging
from collections import deque
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import groupby
from tempfile import TemporaryFile
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from state.events.dates import DAY
from state.events.invoice import Invoice
from training.data.purchases import purchases_of
from training.engine import map_parts
from training.features.basket_lstm.global_statistics import GlobalStatistics
from training.features.item_to_item import Neighbours
from training.models.global_statistics import (
    GlobalStatisticsBuilder,
    ItemToItemInputs,
    UnfittedStatistics,
    fit_item_to_item,
)
from training.models.item_to_item import EXACT_ITEMS

logger = logging.getLogger(__name__)

REFIT_DAYS = 7
"""Days between two fits."""
LARGE_CATALOGUE_REFIT_DAYS = 28
"""The same where more than ``EXACT_ITEMS`` items were sold, and a fit takes up to a minute. It holds for dates before
the fit of the model only, since what serves is as new as its training."""
MIN_PARALLEL_ITEMS = 1_000
"""The statistics of fewer items are fitted here before other processes would have loaded their libraries."""
_MAX_FITS = 60
"""Fits at hand, a year of them, since an evaluation needs those of the training again. Their arrays are in files: 6 MB
each for 3,000 items, 270 MB for 100,000."""


class StatisticsHistory:
    """The global statistics as of any date, fitted on demand at dates ``REFIT_DAYS`` apart.

    Training so reads statistics as old as those of a service whose trainer runs that often. With a large catalogue it
    reads older ones (``LARGE_CATALOGUE_REFIT_DAYS``).
    """

    def __init__(self, invoices: Sequence[Invoice], until: int) -> None:
        """Use what is dated before ``until``, seconds since 1970; ``extend`` adds more."""
        self._invoices = invoices
        self._origin = self._until = until
        self._builder = GlobalStatisticsBuilder(invoices)
        self._fitted: dict[int, GlobalStatistics] = {}
        log = purchases_of(invoices)
        large = log.before(log.first_at(until)).n_items > EXACT_ITEMS
        self._days_before_origin = LARGE_CATALOGUE_REFIT_DAYS if large else REFIT_DAYS

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
        since = min(now, self._until) - self._origin
        period = (REFIT_DAYS if since >= 0 else self._days_before_origin) * DAY
        return self._origin + since // period * period

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
            yield self._add(date, unfitted.fitted({name: _in_files(each) for name, each in neighbours.items()}))
        yield from known()

    def _unfitted(self, date: int) -> UnfittedStatistics:
        if self._builder.date is not None and date < self._builder.date:
            self._builder = GlobalStatisticsBuilder(self._invoices)
        return self._builder.unfitted(date)

    def _add(self, date: int, fitted: GlobalStatistics) -> GlobalStatistics:
        while len(self._fitted) >= _MAX_FITS:
            del self._fitted[min(self._fitted)]
        self._fitted[date] = fitted
        logger.debug("fitted global statistics", extra={"until": date})
        return fitted


def _in_files(neighbours: Neighbours) -> Neighbours:
    """The same numbers in temporary files, so that memory holds those that are read only."""
    return Neighbours(*map(_in_file, neighbours))


def _in_file(array: NDArray[Any]) -> NDArray[Any]:
    if not array.size:
        return array  # nothing was sold yet, or no item has a neighbour: an empty file cannot be mapped
    with TemporaryFile(prefix="nextbasket-statistics-") as file:  # it exists as long as the array
        array.tofile(file)
        return np.asarray(np.memmap(file, array.dtype, mode="r", shape=array.shape))
