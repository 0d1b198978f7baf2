"""Walk: the log in the order of time, with what was known at each point where a basket can be predicted.

Training examples and evaluation cases come from the same walk. It keeps its state by the functions of the stream
(``add_invoice``, ``ItemTable.sell``), so that nothing is known here that would not be known in service.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

from msgspec.structs import replace

from state.domain.attributes import merge_attributes
from state.domain.history import CustomerHistory, add_invoice
from state.events.invoice import Invoice
from training.data.history_cache import HistoryCache
from training.features.item_table import ItemTable

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
    for invoice in invoices:
        if invoice.customer_id is not None and invoice.is_purchase:
            yield invoice.customer_id, invoice.date


def walk(
    invoices: Sequence[Invoice],
    *,
    moment: Moment | Literal["both"],
    start: int,
    end: int,
    window: int,
    first: bool = False,
) -> Iterator[PredictionPoint]:
    """Replay the log and yield the prediction points whose target is dated in [``start``, ``end``).

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
        The points in the order of ``now``.
    """
    following = _following(invoices, start, end)
    replay = StateReplay(window)
    has_bought: set[str] = set()
    for position, invoice in enumerate(invoices):
        if invoice.date >= end:
            return
        customer = invoice.customer_id
        if customer is None:
            continue
        purchase = invoice.is_purchase
        if purchase and moment != "emission" and invoice.date >= start and (first or customer in has_bought):
            history = replay.histories.get(customer) or CustomerHistory(customer)
            if customer not in has_bought:
                history = replace(
                    history,
                    dated_attributes=merge_attributes(history.dated_attributes, invoice.attributes, invoice.date),
                )
            yield PredictionPoint("visit", invoice.date, position, invoice, history, replay.items)
        replay.apply(invoice)
        if not purchase:
            continue
        has_bought.add(customer)
        target = following.get(position)
        if target is not None and moment != "visit":
            yield PredictionPoint(
                "emission", invoice.date, target, invoices[target], replay.histories[customer], replay.items
            )


def _following(invoices: Sequence[Invoice], start: int, end: int) -> dict[int, int]:
    """For each purchase invoice, by position, the customer's next one, where that is dated in [``start``, ``end``)."""
    following: dict[int, int] = {}
    last: dict[str, int] = {}
    for position, invoice in enumerate(invoices):
        if invoice.date >= end:
            break
        customer = invoice.customer_id
        if customer is None or not invoice.is_purchase:
            continue
        if customer in last and invoice.date >= start:
            following[last[customer]] = position
        last[customer] = position
    return following
