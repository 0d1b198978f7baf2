"""Parts of a log's visits and emissions: plain values that any process turns into views.

A part holds what was known at its points: the items at the first of them and the sales since, the histories, and the
statistics of its week. So a part depends on no other, and its views are those of one walk over the whole log.
"""

import pickle
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import groupby, islice
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from state.domain.history import CustomerHistory
from state.events.invoice import Invoice
from training.data.purchases import purchases_of
from training.data.walk import HistoryReplay, ItemReplay, PointIndex
from training.features.basket_lstm.global_statistics import GlobalStatistics
from training.features.basket_lstm.retrieval import Retrieval
from training.features.basket_lstm.view import View, build_view
from training.features.text import TextEncoder
from training.serving.basket_lstm.scorer import candidate_codes

VIEWS = 256
"""Most views of a part: about 35 MB."""

_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(CustomerHistory)


class LabelledView(NamedTuple):
    """The view of one visit or emission, and its outcome.

    ``date`` of the invoice that followed · which candidates were ``bought`` then ``[candidates]`` · ``codes``: the
    stock code of each candidate.
    """

    date: int
    view: View
    bought: NDArray[np.bool_]
    codes: list[str]


class _Point(NamedTuple):
    """A visit or emission: the number of invoices known, the history, and the codes of the invoice that followed."""

    date: int
    now: int
    known: int
    history: bytes
    purchased_codes: frozenset[str]


class ViewPart(NamedTuple):
    """Consecutive points of one week.

    ``items``: an ``ItemReplay`` at the first point, ``text`` and ``statistics``: the text encoder, and the other
    arguments of ``GlobalStatistics``; all three pickled, so that equal ones are read once a process.
    """

    points: list[_Point]
    items: bytes
    text: bytes
    statistics: bytes
    retrieval: Retrieval


def view_parts(
    invoices: Sequence[Invoice],
    points: PointIndex,
    statistics: Iterable[GlobalStatistics],
    window: int,
    retrieval: Retrieval,
) -> Iterator[ViewPart]:
    """The points of a log in parts.

    Args:
        invoices: The log, sorted by date.
        points: In the order of the walk.
        statistics: The statistics of each point; points in a row that share them share an object.
        window: Number of invoices that a history holds.
        retrieval: How candidates are retrieved.
    """
    purchases = purchases_of(invoices)
    histories, items = HistoryReplay(invoices, purchases, window), ItemReplay(purchases)
    columns = zip(*(column.tolist() for column in points), statistics, strict=True)
    for _, of_week in groupby(columns, key=lambda point: id(point[-1])):
        pickled: tuple[bytes, bytes] | None = None
        while chosen := list(islice(of_week, VIEWS)):
            pickled = pickled or _dumps(chosen[0][-1])
            found = []
            for target, known, _, now, _ in chosen:
                invoice = invoices[target]
                history = _ENCODER.encode(histories.advance(int(purchases.customer[target]), known))
                found.append(_Point(invoice.date, now, known, history, frozenset(invoice.purchased_codes)))
            items.advance(found[0].known)
            yield ViewPart(found, pickle.dumps(items.until(found[-1].known)), *pickled, retrieval)


def build_views(part: ViewPart) -> list[LabelledView]:
    """The views of a part; it depends on no other part, so any process can build them."""
    items: ItemReplay = pickle.loads(part.items)
    statistics = _loaded(part.statistics, part.text)
    found = []
    with threadpool_limits(1):
        for date, now, known, history, purchased_codes in part.points:
            items.advance(known)
            view = build_view([_DECODER.decode(history)], items.table, now, statistics, part.retrieval)
            rows = [items.table.rows.get(code, -1) for code in purchased_codes]
            found.append(LabelledView(date, view, np.isin(view.row, rows), candidate_codes(view, items.table)))
    return found


def _dumps(statistics: GlobalStatistics) -> tuple[bytes, bytes]:
    """``ViewPart.text`` and ``ViewPart.statistics``."""
    others = (statistics.codes, statistics.neighbours, statistics.item_statistics, statistics.weeks)
    return pickle.dumps(statistics.text), pickle.dumps(others)


@lru_cache(maxsize=1)
def _loaded(statistics: bytes, text: bytes) -> GlobalStatistics:
    codes, neighbours, item_statistics, weeks = pickle.loads(statistics)
    return GlobalStatistics(codes, neighbours, item_statistics, weeks, _loaded_text(text))


@lru_cache(maxsize=1)
def _loaded_text(text: bytes) -> TextEncoder:
    """An encoder, with the vectors that it has computed so far in this process."""
    found: TextEncoder = pickle.loads(text)
    return found
