"""MemoryStore: the store in memory, for tests and simulations, and the reference for the behaviour of a store."""

from collections.abc import Iterator, Sequence

import msgspec

from state.domain.history import AddedInvoice, CustomerHistory, add_invoice, demand_changes
from state.domain.items import ItemState, count_sale, observe_sale
from state.domain.recommendation import Recommendation
from state.events.invoice import Invoice
from state.events.shop_dialect import ShopDialect
from state.settings import Settings
from state.store.protocol import (
    ApplyResult,
    CustomerSnapshot,
    CustomerState,
    CustomerUpdate,
    ItemChanges,
    PriorRecommendation,
    StoreMark,
    cap_exceeded,
    prior_recommendation,
)


class _ScoringState(msgspec.Struct):
    """The recommendation in force, and the invoices to score against it: those that first appeared while it was.

    ``newest``: the newest purchase (date, invoice number) before it; an older invoice is not scored.
    """

    prior: PriorRecommendation | None = None
    newest: tuple[int, str] | None = None
    invoices: set[str] = set()


class _Customer(msgspec.Struct):
    history: CustomerHistory
    revision: int = 0
    published: int = 0
    scoring: _ScoringState = msgspec.field(default_factory=_ScoringState)
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
        self._dialect: ShopDialect | None = None
        self._run: str | None = None

    def apply(self, invoices: Sequence[Invoice], *, clock_ms: int) -> ApplyResult:
        """See ``Store.apply``."""
        counts = {"lines_new": 0, "lines_known": 0, "lines_behind": 0}
        refused: list[tuple[int, str]] = []
        changed: dict[str, bool] = {}
        priors: dict[str, dict[str, PriorRecommendation]] = {}
        items: dict[str, ItemState] = {}
        for index, invoice in enumerate(invoices):
            if invoice.customer_id is None or not invoice.lines:
                continue
            customer = self._customers.get(invoice.customer_id) or _Customer(CustomerHistory(invoice.customer_id))
            added = add_invoice(customer.history, invoice, self._window)
            if added.new_lines and _line_count(added.history) > self._cap:
                refused.append((index, cap_exceeded(invoice.customer_id, self._cap)))
                continue
            self._customers[invoice.customer_id] = customer
            changes = added.history is not customer.history
            changed[invoice.customer_id] = changed.get(invoice.customer_id, False) or changes
            counts["lines_new"] += len(added.new_lines)
            counts["lines_known"] += added.known_lines
            if added.behind_watermark:
                counts["lines_behind"] += len(invoice.lines)
                customer.history = added.history
                continue
            if invoice.is_purchase:
                prior = _prior_of(customer, invoice)
                if prior is not None:
                    priors.setdefault(invoice.customer_id, {})[invoice.invoice_no] = prior
            customer.history = added.history
            customer.scoring.invoices.intersection_update(held.invoice_no for held in added.history.invoices)
            self._now = invoice.date if self._now is None else max(self._now, invoice.date)
            self._record_sales(invoice, added, items)
        self._save_items(items)
        updates = []
        for customer_id in dict.fromkeys(invoice.customer_id for invoice in invoices):
            if customer_id is None or customer_id not in changed:
                continue
            customer, changes = self._customers[customer_id], changed[customer_id]
            if changes:
                customer.revision = max(customer.revision + 1, clock_ms)
            customer_priors = priors.get(customer_id, {})
            updates.append(
                CustomerUpdate(
                    history=customer.history,
                    revision=customer.revision,
                    published=customer.published,
                    changed=changes,
                    last=customer.last,
                    priors=[customer_priors[number] for number in sorted(customer_priors)],
                )
            )
        return ApplyResult(updates, counts, refused)

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

    def customers(self, customer_ids: Sequence[str]) -> list[CustomerState | None]:
        """See ``Store.customers``."""
        found = [self._customers.get(customer_id) for customer_id in customer_ids]
        return [CustomerState(one.history, one.revision) if one else None for one in found]

    def revisions(self, customer_ids: Sequence[str]) -> list[int]:
        """See ``Store.revisions``."""
        return [one.revision if one else 0 for one in self.customers(customer_ids)]

    def snapshots(self, customer_ids: Sequence[str]) -> list[CustomerSnapshot | None]:
        """See ``Store.snapshots``; nothing expires."""
        found = [self._customers.get(customer_id) for customer_id in customer_ids]
        return [
            CustomerSnapshot(one.history, one.revision, one.published, one.last, None) if one else None for one in found
        ]

    def reserve(self, customers: Sequence[tuple[str, int]], *, clock_ms: int) -> list[int | None]:
        """See ``Store.reserve``."""
        reserved: list[int | None] = []
        for customer_id, revision in customers:
            customer = self._customers.get(customer_id)
            if customer is None or customer.revision != revision:
                reserved.append(None)
            else:
                customer.revision = max(revision + 1, clock_ms)
                reserved.append(customer.revision)
        return reserved

    def withdraw(self, customers: Sequence[tuple[str, int]]) -> None:
        """See ``Store.withdraw``."""
        for customer_id, revision in customers:
            customer = self._customers.get(customer_id)
            if customer is not None and customer.revision == revision:
                customer.last = None

    def customer_ids(self) -> Iterator[list[str]]:
        """See ``Store.customer_ids``."""
        if self._customers:
            yield list(self._customers)

    def histories(self) -> Iterator[CustomerHistory]:
        """See ``Store.histories``."""
        for customer in list(self._customers.values()):
            yield customer.history

    def recommendation(self, customer_id: str) -> Recommendation | None:
        """See ``Store.recommendation``."""
        customer = self._customers.get(customer_id)
        return customer.last if customer else None

    def last_recommendations(self, customer_ids: Sequence[str]) -> list[Recommendation | None]:
        """See ``Store.last_recommendations``."""
        return [self.recommendation(customer_id) for customer_id in customer_ids]

    def recommendations(self) -> Iterator[Recommendation]:
        """See ``Store.recommendations``."""
        for customer in list(self._customers.values()):
            if customer.last is not None:
                yield customer.last

    def items(self, since: int = 0) -> ItemChanges:
        """See ``Store.items``."""
        since = since if since <= self._version else 0
        states = {code: self._items[code] for code, version in self._item_versions.items() if version > since}
        return ItemChanges(states, self._version, self._now)

    def now(self) -> int | None:
        """See ``Store.now``."""
        return self._now

    def mark(self) -> StoreMark:
        """See ``Store.mark``."""
        return StoreMark(self._run, self._version)

    def record_run(self, run: str) -> str:
        """See ``Store.record_run``."""
        self._run = self._run or run
        return self._run

    def clock(self) -> float | None:
        """See ``Store.clock``: there is no server."""
        return None

    def dialect(self) -> ShopDialect | None:
        """See ``Store.dialect``."""
        return self._dialect

    def record_dialect(self, dialect: ShopDialect) -> ShopDialect:
        """See ``Store.record_dialect``."""
        self._dialect = self._dialect or dialect
        return self._dialect

    def remove(self, customer_id: str) -> bool:
        """See ``Store.remove``."""
        return self._customers.pop(customer_id, None) is not None

    def remove_merged(self, customer_id: str, revision: int, *, clock_ms: int) -> bool:
        """See ``Store.remove_merged``."""
        customer = self._customers.get(customer_id)
        if customer is None or customer.revision != revision:
            return False
        del self._customers[customer_id]
        items: dict[str, ItemState] = {}
        for invoice in customer.history.invoices:
            for code, date, times, share in demand_changes(invoice, None):
                items[code] = count_sale(items.get(code) or self._items[code], date, times, share)
        self._save_items(items)
        return True

    def close(self) -> None:
        """Nothing to release."""

    def _record_sales(self, invoice: Invoice, added: AddedInvoice, items: dict[str, ItemState]) -> None:
        for line in invoice.lines:
            if line.quantity > 0:
                state = items.get(line.stock_code) or self._items.get(line.stock_code)
                items[line.stock_code] = observe_sale(
                    state, line.stock_code, invoice.date, line.unit_price, line.description, line.attributes
                )
        for code, date, times, share in added.demand_changes:
            items[code] = count_sale(items.get(code) or self._items[code], date, times, share)

    def _save_items(self, items: dict[str, ItemState]) -> None:
        changed = {code: state for code, state in items.items() if state != self._items.get(code)}
        if changed:
            self._version += 1
            self._items.update(changed)
            self._item_versions.update(dict.fromkeys(changed, self._version))


def _line_count(history: CustomerHistory) -> int:
    return sum(len(invoice.lines) for invoice in history.invoices)


def _prior_of(customer: _Customer, invoice: Invoice) -> PriorRecommendation | None:
    """The recommendation to score a purchase invoice against; notes the invoice where it appears for the first time."""
    scoring, number = customer.scoring, invoice.invoice_no
    if number not in scoring.invoices:
        held = {other.invoice_no: other for other in customer.history.invoices}
        if number in held and held[number].is_purchase:
            return None
        prior = prior_recommendation(customer.last, "") if customer.last else None
        if scoring.prior != prior:
            before = [(held[other].date, other) for other in scoring.invoices]
            newest = max([*before, scoring.newest] if scoring.newest else before, default=None)
            scoring = _ScoringState(prior, newest)
        if scoring.newest is not None and (invoice.date, number) < scoring.newest:
            return None
        scoring.invoices.add(number)
        customer.scoring = scoring
    return msgspec.structs.replace(scoring.prior, invoice_no=number) if scoring.prior else None
