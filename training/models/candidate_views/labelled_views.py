"""The views of a log's visits and emissions, each with what was bought next."""

from collections.abc import Iterator, Sequence

from state.events.dates import DAY
from state.events.invoice import Invoice
from training.data.purchases import Purchases, purchases_of
from training.data.walk import PointIndex, prediction_points, repeat_dates
from training.engine import map_parts
from training.features.basket_lstm.retrieval import Retrieval
from training.models.candidate_views.statistics_history import StatisticsHistory
from training.models.candidate_views.view_parts import LabelledView, build_views, view_parts

EMISSION_DAYS = 30
"""Emissions up to so many days before the span are used; earlier ones are skipped."""

MIN_PARALLEL_VIEWS = 2_000
"""Fewer are built here before other processes would have loaded their libraries."""


def target_dates(invoices: Sequence[Invoice], until: int, newest: int | None = None) -> list[int]:
    """Dates before ``until`` of the purchase invoices whose customer has an earlier one; of the ``newest`` if given."""
    dates: list[int] = repeat_dates(purchases_of(invoices), until)[-newest if newest else None :].tolist()
    return dates


def view_points(purchases: Purchases, start: int, end: int) -> PointIndex:
    """The visits and emissions of ``labelled_views``."""
    points = prediction_points(purchases, moment="both", start=start, end=end)
    return points.of(points.now >= start - EMISSION_DAYS * DAY)


def labelled_views(
    invoices: Sequence[Invoice],
    statistics_history: StatisticsHistory,
    start: int,
    end: int,
    window: int,
    retrieval: Retrieval,
) -> Iterator[LabelledView]:
    """Every visit and emission whose next invoice is dated in [``start``, ``end``), in the order of the log.

    Emissions more than ``EMISSION_DAYS`` before the span are skipped: each week before it would need its own fit of the
    global statistics, for a few examples. Many views are built by ``map_parts``.
    """
    points = view_points(purchases_of(invoices), start, end)
    statistics = statistics_history.at_each(points.now.tolist())
    parts = view_parts(invoices, points, statistics, window, retrieval)
    run = map_parts if len(points.now) >= MIN_PARALLEL_VIEWS else map
    for views in run(build_views, parts):
        yield from views
