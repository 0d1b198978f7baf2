"""The views of a log's visits and emissions, each with what was bought next."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from state.events.dates import DAY
from state.events.invoice import Invoice
from training.data.purchases import Purchases, purchases_of
from training.data.walk import PointIndex, prediction_points, repeat_dates, walk_points
from training.features.basket_lstm.retrieval import Retrieval
from training.features.basket_lstm.view import View, build_view
from training.features.item_table import ItemTable
from training.models.candidate_views.statistics_history import StatisticsHistory

EMISSION_DAYS = 30
"""Emissions up to so many days before the span are used; earlier ones are skipped."""


class LabelledView(NamedTuple):
    """The view of one visit or emission, and its outcome.

    ``date`` of the invoice that followed · which candidates were ``bought`` then ``[candidates]`` · ``items``: the live
    item table, valid only until the next view.
    """

    date: int
    view: View
    bought: NDArray[np.bool_]
    items: ItemTable


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
    global statistics, for a few examples.
    """
    purchases = purchases_of(invoices)
    for point in walk_points(invoices, purchases, view_points(purchases, start, end), window):
        view = build_view([point.history], point.items, point.now, statistics_history.at(point.now), retrieval)
        rows = [point.items.rows.get(code, -1) for code in point.target.purchased_codes]
        yield LabelledView(point.target.date, view, np.isin(view.row, rows), point.items)
