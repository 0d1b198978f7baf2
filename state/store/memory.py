"""MemoryStore: the store in memory, for tests and simulations, and the reference for the behaviour of a store."""

from collections.abc import Iterator, Sequence, Set

import msgspec

from state.domain.history import CustomerHistory, DemandChange, demand_changes
from state.domain.identities import Identities
from state.domain.items import ItemState, count_sale, observe_sale
from state.domain.merge import raise_watermark
from state.domain.recommendation import Recommendation
from state.events.invoice import Invoice
from state.events.shop_dialect import ShopDialect
from state.settings import Settings
from state.store.customer import (
    AppliedEvents,
    CustomerRecord,
    apply_events,
    events_by_customer,
    result_of,
)
from state.store.identities import IdentityStore, MemoryIdentities
from state.store.protocol import ApplyResult, CustomerSnapshot, CustomerState, ItemChanges, StoreMark


class MemoryStore:
    """Implements ``Store``; nothing outlives the process, and nothing is shared between threads.

    Args:
        settings: The bounds of a history.
        identities: The lists of merged and erased customers.
    """

    def __init__(self, settings: Settings, identities: IdentityStore | None = None) -> None:
        self._identities = MemoryIdentities() if identities is None else identities
        self._window = settings.window
        self._cap = settings.max_history_lines
        self._customers: dict[str, CustomerRecord] = {}
        self._items: dict[str, ItemState] = {}
        self._item_versions: dict[str, int] = {}
        self._version = 0
        self._now: int | None = None
        self._dialect: ShopDialect | None = None
        self._run: str | None = None

    def apply(self, invoices: Sequence[Invoice], *, clock_ms: int) -> ApplyResult:
        """See ``Store.apply``."""
        applied: list[tuple[str, AppliedEvents]] = []
        items: dict[str, ItemState] = {}
        for customer_id, events in events_by_customer(invoices).items():
            record = self._customers.get(customer_id) or CustomerRecord(CustomerHistory(customer_id))
            one = apply_events(record, events, window=self._window, cap=self._cap, clock_ms=clock_ms)
            applied.append((customer_id, one))
            if one.accepted:
                self._customers[customer_id] = one.record
            if one.now is not None:
                self._now = one.now if self._now is None else max(self._now, one.now)
            self._change_items(one, items)
        self._save_items(items)
        return result_of(applied, self._cap)

    def confirm(self, recommendations: Sequence[Recommendation], unchanged: Sequence[tuple[str, int]] = ()) -> None:
        """See ``Store.confirm``."""
        for recommendation in recommendations:
            self._publish(recommendation.customer_id, recommendation.revision, recommendation)
        for customer_id, revision in unchanged:
            self._publish(customer_id, revision)

    def _publish(self, customer_id: str, revision: int, recommendation: Recommendation | None = None) -> None:
        record = self._customers.get(customer_id)
        if record is not None and revision >= record.published:
            last = recommendation or record.last
            self._customers[customer_id] = msgspec.structs.replace(record, published=revision, last=last)

    def current_ids(self, customer_ids: Sequence[str]) -> list[str]:
        """See ``Store.current_ids``."""
        known = self._identities.lookup(customer_ids) or Identities()
        return [known.current(each) for each in customer_ids]

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
                raised = max(revision + 1, clock_ms)
                self._customers[customer_id] = msgspec.structs.replace(customer, revision=raised)
                reserved.append(raised)
        return reserved

    def withdraw(self, customers: Sequence[tuple[str, int]]) -> None:
        """See ``Store.withdraw``."""
        for customer_id, revision in customers:
            customer = self._customers.get(customer_id)
            if customer is not None and customer.revision == revision:
                self._customers[customer_id] = msgspec.structs.replace(customer, last=None)

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

    def restore_parts(self) -> None:
        """See ``Store.restore_parts``: there are none."""

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

    def remove_merged(
        self, customer_id: str, revision: int, *, clock_ms: int, not_taken: Set[str] = frozenset()
    ) -> bool:
        """See ``Store.remove_merged``."""
        customer = self._customers.get(customer_id)
        if customer is None or customer.revision != revision:
            return False
        del self._customers[customer_id]
        items: dict[str, ItemState] = {}
        for invoice in customer.history.invoices:
            if invoice.invoice_no not in not_taken:
                self._count(demand_changes(invoice, None), items)
        self._save_items(items)
        return True

    def raise_watermark(self, customer_id: str, watermark: tuple[int, str], *, clock_ms: int) -> None:
        """See ``Store.raise_watermark``."""
        customer = self._customers.get(customer_id)
        if customer is not None:
            history = raise_watermark(customer.history, watermark)
            self._customers[customer_id] = msgspec.structs.replace(customer, history=history)

    def reconnect(self) -> None:
        """See ``Store.reconnect``; there are no connections."""

    def close(self) -> None:
        """Nothing to release."""

    def _change_items(self, applied: AppliedEvents, items: dict[str, ItemState]) -> None:
        for invoice in applied.invoices:
            for line in invoice.lines:
                if line.quantity > 0:
                    code = line.stock_code
                    state = items.get(code) or self._items.get(code)
                    items[code] = observe_sale(
                        state, code, invoice.date, line.unit_price, line.description, line.attributes
                    )
        self._count(applied.demand_changes, items)

    def _count(self, changes: Sequence[DemandChange], items: dict[str, ItemState]) -> None:
        for date, times, share, codes in changes:
            for code in codes:
                items[code] = count_sale(items.get(code) or self._items[code], date, times, share)

    def _save_items(self, items: dict[str, ItemState]) -> None:
        changed = {code: state for code, state in items.items() if state != self._items.get(code)}
        if changed:
            self._version += 1
            self._items.update(changed)
            self._item_versions.update(dict.fromkeys(changed, self._version))
