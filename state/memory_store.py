"""MemoryStore: the store in one process, for tests, simulation and for reading how a store behaves."""

from collections.abc import Iterator, Sequence

import msgspec

from state.history import CustomerHistory, Taken, take
from state.invoice import Invoice
from state.items import ItemState, count, observe
from state.recommendation import Recommendation
from state.settings import Settings
from state.store import Applied, ItemChanges, Standing, Touched, over_the_cap, standing_of


class _Newest(msgspec.Struct):
    """The newest purchase invoice, and what was recommended when it first appeared."""

    date: int
    invoice_no: str
    standing: Standing | None


class _Customer(msgspec.Struct):
    history: CustomerHistory
    revision: int = 0
    published: int = 0
    newest: _Newest | None = None
    last: Recommendation | None = None


class MemoryStore:
    """Implements ``Store``; nothing outlives the process, and nothing is shared between threads."""

    def __init__(self, settings: Settings) -> None:
        self._window = settings.window
        self._cap = settings.max_history_lines
        self._customers: dict[str, _Customer] = {}
        self._items: dict[str, ItemState] = {}
        self._item_versions: dict[str, int] = {}
        self._version = 0
        self._now: int | None = None

    def apply(self, invoices: Sequence[Invoice], *, clock_ms: int) -> Applied:
        """See ``Store.apply``."""
        counts = {"lines_new": 0, "lines_known": 0, "lines_behind": 0}
        refused: list[tuple[int, str]] = []
        changed: dict[str, bool] = {}
        brought: dict[str, set[str]] = {}
        items: dict[str, ItemState] = {}
        for place, invoice in enumerate(invoices):
            if invoice.customer_id is None or not invoice.lines:
                continue
            customer = self._customers.get(invoice.customer_id) or _Customer(CustomerHistory(invoice.customer_id))
            taken = take(customer.history, invoice, self._window)
            if taken.new and _lines(taken.history) > self._cap:
                refused.append((place, over_the_cap(invoice.customer_id, self._cap)))
                continue
            self._customers[invoice.customer_id] = customer
            changes = taken.history is not customer.history
            changed[invoice.customer_id] = changed.get(invoice.customer_id, False) or changes
            counts["lines_new"] += len(taken.new)
            counts["lines_known"] += taken.known
            if taken.behind:
                counts["lines_behind"] += len(invoice.lines)
                continue
            if any(line.quantity > 0 for line in invoice.lines):
                _note_newest(customer, invoice)
                brought.setdefault(invoice.customer_id, set()).add(invoice.invoice_no)
            customer.history = taken.history
            self._now = invoice.date if self._now is None else max(self._now, invoice.date)
            self._sell(invoice, taken, items)
        self._keep(items)
        touched = []
        for customer_id, changes in changed.items():
            customer = self._customers[customer_id]
            if changes:
                customer.revision = max(customer.revision + 1, clock_ms)
            newest = customer.newest
            scored = newest is not None and newest.invoice_no in brought.get(customer_id, ())
            touched.append(
                Touched(
                    history=customer.history,
                    revision=customer.revision,
                    published=customer.published,
                    changed=changes,
                    last=customer.last,
                    standing=newest.standing if newest is not None and scored else None,
                )
            )
        return Applied(touched, counts, refused)

    def confirm(self, recommendations: Sequence[Recommendation], unchanged: Sequence[tuple[str, int]] = ()) -> None:
        """See ``Store.confirm``."""
        for recommendation in recommendations:
            customer = self._customers.get(recommendation.customer_id)
            if customer is not None and recommendation.revision >= customer.published:
                customer.published = recommendation.revision
                customer.last = recommendation
        for customer_id, revision in unchanged:
            customer = self._customers.get(customer_id)
            if customer is not None:
                customer.published = max(customer.published, revision)

    def history(self, customer_id: str) -> CustomerHistory | None:
        """See ``Store.history``."""
        customer = self._customers.get(customer_id)
        return customer.history if customer else None

    def histories(self) -> Iterator[CustomerHistory]:
        """See ``Store.histories``."""
        for customer in list(self._customers.values()):
            yield customer.history

    def recommendation(self, customer_id: str) -> Recommendation | None:
        """See ``Store.recommendation``."""
        customer = self._customers.get(customer_id)
        return customer.last if customer else None

    def recommendations(self) -> Iterator[Recommendation]:
        """See ``Store.recommendations``."""
        for customer in list(self._customers.values()):
            if customer.last is not None:
                yield customer.last

    def items(self, since: int = 0) -> ItemChanges:
        """See ``Store.items``."""
        since = since if since <= self._version else 0
        states = {code: self._items[code] for code, version in self._item_versions.items() if version > since}
        return ItemChanges(states, self._version)

    def now(self) -> int | None:
        """See ``Store.now``."""
        return self._now

    def close(self) -> None:
        """Nothing to release."""

    def _sell(self, invoice: Invoice, taken: Taken, items: dict[str, ItemState]) -> None:
        for line in invoice.lines:
            if line.quantity > 0:
                state = items.get(line.stock_code) or self._items.get(line.stock_code)
                items[line.stock_code] = observe(
                    state, line.stock_code, invoice.date, line.unit_price, line.description
                )
        for code, date, times in taken.counts:
            items[code] = count(items.get(code) or self._items[code], date, times)

    def _keep(self, items: dict[str, ItemState]) -> None:
        changed = {code: state for code, state in items.items() if state != self._items.get(code)}
        if changed:
            self._version += 1
            self._items.update(changed)
            self._item_versions.update(dict.fromkeys(changed, self._version))


def _lines(history: CustomerHistory) -> int:
    return sum(len(invoice.lines) for invoice in history.invoices)


def _note_newest(customer: _Customer, invoice: Invoice) -> None:
    """Keeps what is recommended now beside the invoice, if it is the newest purchase and appears for the first time."""
    newest = customer.newest
    if newest is not None and newest.invoice_no == invoice.invoice_no:
        newest.date = min(newest.date, invoice.date)
        return
    if newest is not None and (invoice.date, invoice.invoice_no) < (newest.date, newest.invoice_no):
        return
    held = next((other for other in customer.history.invoices if other.invoice_no == invoice.invoice_no), None)
    if held is None or all(line.quantity < 0 for line in held.lines):
        standing = standing_of(customer.last, invoice.invoice_no) if customer.last else None
        customer.newest = _Newest(invoice.date, invoice.invoice_no, standing)
