"""The time-ordered walk over the log: what was known at every moment of prediction.

One walk gives the training examples and the evaluation moments alike, and it keeps its state with the very functions
the stream uses (``add``, ``ItemTable.sell``), so that nothing can be known here that would not be known
in service.
"""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from msgspec.structs import replace

from state.domain.attributes import merge_attributes
from state.domain.history import CustomerHistory, add_invoice
from state.events.invoice import Invoice
from training.data.history_cache import HistoryCache
from training.features.item_table import ItemTable

Moment = Literal["visit", "emission"]
"""The two moments of prediction: just before an invoice, and right after the customer's previous one."""


class PredictionPoint(NamedTuple):
    """What was known at one moment of prediction, and the invoice that came next.

    ``now`` in seconds since 1970; ``target`` the customer's next purchase invoice and ``position`` its place in the
    log. ``history`` is a value that may be kept. ``items`` is live: it is valid only until the walk
    takes its next step.
    """

    moment: Moment
    now: int
    position: int
    target: Invoice
    history: CustomerHistory
    items: ItemTable


class StateReplay:
    """Histories and items rebuilt offline, one invoice at a time, as a store that was fed the same log would hold them.

    Attributes:
        histories: The history of each customer seen so far, by customer id.
        items: What is known of the items as of the newest invoice applied.
        now: The greatest date accepted so far in seconds since 1970, or None before the first.
    """

    def __init__(self, window: int) -> None:
        """Start empty; ``window`` is the number of invoices that a history holds."""
        self.histories = HistoryCache()
        self.items = ItemTable()
        self.now: int | None = None
        self._window = window

    def apply(self, invoice: Invoice) -> None:
        """Take one whole invoice in; anonymous ones and those without lines change nothing.

        Each invoice of a customer comes once: parts of one would count its items more than once.
        """
        customer = invoice.customer_id
        if customer is None or not invoice.lines:
            return
        before = self.histories.get(customer) or CustomerHistory(customer)
        added = add_invoice(before, invoice, self._window)
        self.histories[customer] = added.history
        if added.behind_watermark:
            return
        self.now = invoice.date if self.now is None else max(self.now, invoice.date)
        self.items.sell(invoice.lines, invoice.date)


def walk(
    invoices: Sequence[Invoice],
    *,
    moment: Moment | Literal["both"],
    start: int,
    end: int,
    window: int,
    first: bool = False,
) -> Iterator[PredictionPoint]:
    """Replay the log in its order and stop at every moment of prediction whose outcome lies in [``start``, ``end``).

    There is one moment for each purchase invoice whose customer has an earlier purchase invoice, with ``first`` for one
    who has none too. At the *visit* it is what was known just before the invoice; at the *emission*, what was known
    right after the customer's previous purchase invoice, so that returns between the two are not in it. Purchases count
    gross: a customer who took everything back is no new customer.

    Args:
        invoices: The whole log from its beginning, sorted by (date, invoice number); returns included.
        moment: ``visit``, ``emission``, or ``both``.
        start: First second, since 1970, at which a target may be dated.
        end: First second at which it may not any more.
        window: Number of invoices that a history holds.
        first: Whether a customer's first purchase invoice is a moment too, at the visit: the history then holds no
            purchase, but the customer's attributes as this very invoice says them, since a storefront knows who is
            there.

    Yields:
        The moments in the order of ``now``.
    """
    following = _following(invoices, start, end)
    replay = StateReplay(window)
    has_bought: set[str] = set()
    for position, invoice in enumerate(invoices):
        if invoice.date >= end:
            return
        customer = invoice.customer_id
        if customer is None or not invoice.lines:
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
