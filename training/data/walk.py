"""Walk: the log in the order of time, with what was known at each point where a basket can be predicted.

Training examples and evaluation cases come from the same walk. Histories are made by the function of the stream
(``add_invoice``), and only those of customers with a point; items are the sums of ``ItemTable.sell``, computed from the
columns of the log. ``StateReplay`` is the plain form of both, invoice by invoice; a test compares the two.
"""

import copy
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from state.domain.attributes import merge_attributes
from state.domain.history import CustomerHistory, add_invoice
from state.events.invoice import Invoice
from training.data.history_cache import HistoryCache
from training.data.purchases import NONE, Purchases, purchases_of
from training.features.item_table import ItemTable

Ints = NDArray[np.int64]

_INVOICES_AT_ONCE = 20_000
"""Invoices whose sales are applied at once: some MB."""

Moment = Literal["visit", "emission"]
"""The moment of a prediction: just before an invoice (visit), or right after the customer's previous one (emission)."""


class PredictionPoint(NamedTuple):
    """A point of the log where a basket is predicted: what was known then, and the invoice that came next.

    Attributes:
        moment: Visit or emission.
        now: Seconds since 1970.
        position: Of the target in the log.
        target: The customer's next purchase invoice.
        history: The customer's history; a value that may be stored.
        items: The items; valid only until the walk takes its next step.
    """

    moment: Moment
    now: int
    position: int
    target: Invoice
    history: CustomerHistory
    items: ItemTable


class StateReplay:
    """Histories and items rebuilt offline, one invoice at a time, as a store holds them after the same log.

    Attributes:
        histories: The history of each customer so far, by customer id.
        items: The items as of the newest invoice applied.
        now: The greatest date accepted so far in seconds since 1970, None before the first.
    """

    def __init__(self, window: int) -> None:
        """Start empty; ``window`` is the number of invoices that a history holds."""
        self.histories = HistoryCache()
        self.items = ItemTable()
        self.now: int | None = None
        self._window = window

    def apply(self, invoice: Invoice) -> None:
        """Apply a whole invoice, once; one without a customer or without lines changes nothing.

        An invoice in parts would count its items more than once.
        """
        customer = invoice.customer_id
        if customer is None or not invoice.lines:
            return
        history = self.histories.get(customer) or CustomerHistory(customer)
        added = add_invoice(history, invoice, self._window)
        self.histories[customer] = added.history
        if added.behind_watermark:
            return
        self.now = invoice.date if self.now is None else max(self.now, invoice.date)
        self.items.sell(invoice.lines, invoice.date)


def customer_purchase_dates(invoices: Iterable[Invoice]) -> Iterator[tuple[str, int]]:
    """Customer and date (seconds since 1970) of each purchase of a known customer, in the order of the log."""
    if isinstance(purchases := getattr(invoices, "purchases", None), Purchases):
        customer, date = purchases.customer[purchases.invoice], purchases.date[purchases.invoice]
        yield from zip(map(purchases.customers.__getitem__, customer), map(int, date), strict=True)
        return
    for invoice in invoices:
        if invoice.customer_id is not None and invoice.is_purchase:
            yield invoice.customer_id, invoice.date


def repeat_dates(purchases: Purchases, until: int) -> Ints:
    """Dates before ``until`` of the purchase invoices whose customer has an earlier one, in the order of the log."""
    dates = purchases.date[purchases.invoice[purchases.previous != NONE]]
    return np.asarray(dates[dates < until])


class PointIndex(NamedTuple):
    """Where the points of a log are, in the order of the walk.

    Attributes:
        target: Index of the invoice that came next, int64 ``[points]``.
        known: Number of invoices known at the point, int64 ``[points]``: those before the target at the visit, those
            up to the customer's previous purchase at the emission.
        is_visit: Whether it is a visit, bool ``[points]``.
        now: Seconds since 1970, int64 ``[points]``.
    """

    target: Ints
    known: Ints
    is_visit: NDArray[np.bool_]
    now: Ints

    def of(self, chosen: NDArray[Any] | slice) -> "PointIndex":
        """Some of the points, by a mask, indices or a slice."""
        return PointIndex(self.target[chosen], self.known[chosen], self.is_visit[chosen], self.now[chosen])


def prediction_points(
    purchases: Purchases,
    *,
    moment: Moment | Literal["both"],
    start: int,
    end: int,
    first: bool = False,
) -> PointIndex:
    """Find the points that ``walk`` yields, without walking."""
    date = purchases.date[purchases.invoice]
    has_bought = purchases.previous != NONE
    chosen = (date >= start) & (date < end)
    visits = np.flatnonzero(chosen & (first | has_bought) & (moment != "emission"))
    emissions = np.flatnonzero(chosen & has_bought & (moment != "visit"))
    of_both = np.concatenate([emissions, visits])
    target = purchases.invoice[of_both]
    is_visit = np.arange(len(of_both)) >= len(emissions)
    known = np.where(is_visit, target, purchases.previous[of_both] + 1)
    now = np.where(is_visit, purchases.date[target], purchases.date[known - 1])
    order = np.argsort(known, kind="stable")  # at one place of the log the emission is before the visit
    return PointIndex(target, known, is_visit, now).of(order)


def walk(
    invoices: Sequence[Invoice],
    *,
    moment: Moment | Literal["both"],
    start: int,
    end: int,
    window: int,
    first: bool = False,
) -> Iterator[PredictionPoint]:
    """Yield the prediction points whose target is dated in [``start``, ``end``), with what was known at each.

    There is a point for each purchase invoice of a customer with an earlier purchase invoice. At the *visit* it holds
    what was known just before the invoice; at the *emission*, what was known right after the customer's previous
    purchase invoice, so that returns between the two are not in it. A purchase counts even if everything was returned
    later.

    Args:
        invoices: The whole log from its beginning, sorted by (date, invoice number); returns included.
        moment: ``visit``, ``emission``, or ``both``.
        start: First second, since 1970, of the targets.
        end: First second after the targets.
        window: Number of invoices that a history holds.
        first: Whether a customer's first purchase invoice has a point too, at the visit. Its history holds no
            purchase, but the customer's attributes as of this invoice, since a storefront knows who is there.

    Yields:
        The points in the order of ``now``. The items are those at ``end`` once all points are used up.
    """
    purchases = purchases_of(invoices)
    purchases = purchases.before(purchases.first_at(end))
    points = prediction_points(purchases, moment=moment, start=start, end=end, first=first)
    items = ItemReplay(purchases)
    yield from _visit_points(invoices, purchases, points, window, items)
    items.advance(len(purchases))


def walk_points(
    invoices: Sequence[Invoice], purchases: Purchases, points: PointIndex, window: int
) -> Iterator[PredictionPoint]:
    """Yield some of a log's points: only the histories of their customers are walked, and items in one pass over sales.

    Args:
        invoices: As in ``walk``.
        purchases: The columns of the log, or of its beginning.
        points: Some of ``prediction_points``, in their order.
        window: Number of invoices that a history holds.
    """
    return _visit_points(invoices, purchases, points, window, ItemReplay(purchases))


def _visit_points(
    invoices: Sequence[Invoice], purchases: Purchases, points: PointIndex, window: int, items: "ItemReplay"
) -> Iterator[PredictionPoint]:
    histories = HistoryReplay(invoices, purchases, window)
    is_first = purchases.previous[np.searchsorted(purchases.invoice, points.target)] == NONE
    for target, known, is_visit, now, first in zip(*(column.tolist() for column in (*points, is_first)), strict=True):
        invoice = invoices[target]
        history = histories.advance(int(purchases.customer[target]), known)
        if first:
            history = replace(
                history, dated_attributes=merge_attributes(history.dated_attributes, invoice.attributes, invoice.date)
            )
        items.advance(known)
        yield PredictionPoint("visit" if is_visit else "emission", now, target, invoice, history, items.table)


class HistoryReplay:
    """Histories of some customers of a log as of any of its invoices; of other customers nothing is read."""

    def __init__(self, invoices: Sequence[Invoice], purchases: Purchases, window: int) -> None:
        """Start before the first invoice; ``window`` is the number of invoices that a history holds."""
        self._invoices = invoices
        self._purchases = purchases
        self._window = window
        self._histories = HistoryCache()
        self._read: dict[int, int] = {}

    def advance(self, customer: int, known: int) -> CustomerHistory:
        """The history of a customer (its number) after the first ``known`` invoices, which must not fall."""
        own = self._purchases.invoices_of(customer)
        name = self._purchases.customers[customer]
        history = self._histories.get(name) or CustomerHistory(name)
        read = self._read.get(customer, 0)
        end = int(np.searchsorted(own, known))
        if end > read:
            for index in own[read:end].tolist():
                history = add_invoice(history, self._invoices[index], self._window).history
            self._histories[name] = history
            self._read[customer] = end
        return history


class ItemReplay:
    """The items of a log as of any of its invoices, by passes over columns of sales; equals ``StateReplay``'s.

    Attributes:
        table: The items as of the last ``advance``.
    """

    def __init__(self, purchases: Purchases) -> None:
        """Start before the first invoice."""
        self.table = ItemTable()
        self._purchases = purchases
        self._first = 0
        self._known = 0
        self._text_of_row = np.full(purchases.n_items, NONE, np.int32)

    def advance(self, known: int) -> None:
        """Go on to the first ``known`` invoices; fewer than before change nothing."""
        while self._known < known:
            end = min(known, self._known + _INVOICES_AT_ONCE)
            self._sell(self._known - self._first, end - self._first)
            self._known = end

    def until(self, known: int) -> "ItemReplay":
        """A copy with the same table that can be pickled and advanced to ``known``, but not beyond."""
        part, texts = self._purchases.between(self._known - self._first, known - self._first)
        found = copy.copy(self)
        found._purchases, found._first = part, self._known
        number = np.searchsorted(texts, self._text_of_row)
        occurs = np.append(texts, NONE)[number] == self._text_of_row
        found._text_of_row = np.where(occurs & (self._text_of_row != NONE), number, NONE).astype(np.int32)
        return found

    def _sell(self, start: int, end: int) -> None:
        log = self._purchases
        first, last = int(log.first_sale[start]), int(log.first_sale[end])
        if first == last:
            return
        sizes = np.diff(log.first_sale[start : end + 1])
        bought = sizes > 0
        dates, sizes = np.asarray(log.date[start:end])[bought], sizes[bought]
        rows = log.item[first:last].astype(np.int64)
        self.table.add_codes(log.codes[len(self.table) : int(rows.max()) + 1])
        self.table.sell_invoices(dates, sizes, rows, np.asarray(log.price[first:last]))
        date = np.repeat(dates, sizes)
        self._describe(rows, np.asarray(log.text[first:last]), date)
        lines = slice(*np.searchsorted(log.attributed, (first, last)).tolist())
        newest: dict[tuple[int, int], int] = {}  # of equal attributes of an item only the newest count
        for sale, number in zip(log.attributed[lines].tolist(), log.attribute[lines].tolist(), strict=True):
            newest[int(rows[sale - first]), number] = int(date[sale - first])
        for (row, number), when in newest.items():
            self.table.merge_attributes(row, log.attributes[number], when)

    def _describe(self, rows: Ints, texts: NDArray[np.int32], dates: Ints) -> None:
        """Count descriptions: of rows with another one than before one by one, of the others all at once."""
        described = texts != NONE
        rows, texts, dates = rows[described], texts[described], dates[described]
        changed = np.zeros(len(self._text_of_row), np.bool_)
        changed[rows[texts != self._text_of_row[rows]]] = True
        one_by_one = changed[rows]
        self.table.describe_again(rows[~one_by_one], dates[~one_by_one])
        names = self._purchases.texts
        for row, text, date in zip(
            rows[one_by_one].tolist(), texts[one_by_one].tolist(), dates[one_by_one].tolist(), strict=True
        ):
            if self.table.describe(row, names[text], date):
                self._text_of_row[row] = text
