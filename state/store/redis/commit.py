"""Commit: what one batch changes for one customer, and how it is packed for the scripts."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from state.events.invoice import Invoice
from state.store.customer import AppliedEvents
from state.store.redis.chunks import chunks
from state.store.redis.layout import pack
from state.store.redis.stored_customer import StoredCustomer, write_customer

MAX_CHANGES = 1_000
"""Changes of items in one script call, some 10 µs each; more than that go by way of the outbox, in several calls."""
CHANGES_OF_ATTRIBUTES = 20
"""A purchase line with attributes costs as much as so many changes at most, where its keys replace others."""
MAX_ENTRY_BYTES = 10_000
"""Of an entry of the outbox."""
CHANGES_PER_ENTRY = 100
"""Changes of items in an entry of the outbox, which is applied whole however large the items are."""
LINES_PER_PART = 20
"""Purchase lines of a date that are packed together in the outbox."""

Sales = tuple[int, list[str | float]]
"""A date, and for each purchase line of that date stock code, price, and description or ""."""
DetailedSale = tuple[int, str, float, str, Any]
"""A purchase line with attributes: date, stock code, price, description or "", attributes."""
Change = tuple[int, int, float, Sequence[str]]
"""``DemandChange``."""


class Commit(NamedTuple):
    """A customer before and after a batch.

    ``packed`` is the customer as the scripts read it, and ``values`` what they write: field, value and so on, then
    sequence and entry of the outbox. ``changes`` counts the changes of items, ``size`` the bytes of the values.
    """

    customer_id: str
    before: StoredCustomer
    after: StoredCustomer
    applied: AppliedEvents
    packed: tuple[Any, ...]
    values: list[str | bytes]
    changes: int
    size: int
    clock_ms: int

    def by_outbox(self) -> "Commit":
        """The same with all changes of items in the outbox."""
        return make_commit(self.customer_id, self.before, self.applied, self.clock_ms, by_outbox=True)


def make_commit(
    customer_id: str, before: StoredCustomer, applied: AppliedEvents, clock_ms: int, *, by_outbox: bool
) -> Commit:
    """The commit of what some events did to a stored customer; ``by_outbox``: all changes of items go that way."""
    sales: list[Sales | DetailedSale] = [sale for invoice in applied.invoices for sale in _sales(invoice)]
    demand: Sequence[Change] = applied.demand_changes
    changes = sum([len(sale[1]) // 3 if isinstance(sale[1], list) else CHANGES_OF_ATTRIBUTES for sale in sales])
    changes += sum([len(change[3]) for change in demand])
    now: int | bool = False if applied.now is None else applied.now
    entries: list[str | bytes] = []
    sequence = before.head.sequence
    if applied.now is not None and (by_outbox or changes > MAX_CHANGES):
        # Larger than any sequence before, also if the history was rebuilt meanwhile.
        first = max(sequence + 1, clock_ms)
        entries, sequence = outbox_entries(first, applied.now, sales, demand)
        sales, demand, now, changes = [], [], False, 0
    fields: list[str | bytes] = []
    gone: list[str] = []
    after = before
    if applied.changed or entries or before.superseded:
        after, written, gone = write_customer(before, applied.record, sequence=sequence)
        fields = [part for field in written.items() for part in field]
    packed = (before.expected, len(fields) // 2, gone, len(entries) // 2, applied.changed, now, sales, demand)
    values = [*fields, *entries]
    size = sum([len(value) for value in values])
    return Commit(customer_id, before, after, applied, packed, values, changes, size, clock_ms)


def outbox_entries(
    first: int, now: int, sales: Sequence[Sales | DetailedSale], changes: Sequence[Change]
) -> tuple[list[str | bytes], int]:
    """Changes of items for the outbox, and the last sequence: sequence, entry and so on, each within a call's bounds.

    Args:
        first: The sequence of the first entry.
        now: The greatest date of an event that counts.
        sales: Purchase lines, which come first.
        changes: Demand changes.
    """
    entries: list[str | bytes] = []
    last = first
    for last, entry in enumerate(_entries(now, sales, changes), first):
        entries += (str(last), pack((last, *entry)))
    return entries, last


def _sales(invoice: Invoice) -> Iterator[Sales | DetailedSale]:
    """The purchase lines of an invoice."""
    plain: list[str | float] = []
    for line in invoice.lines:
        if line.quantity <= 0:
            continue
        if line.attributes:
            yield invoice.date, line.stock_code, line.unit_price, line.description or "", line.attributes
        else:
            plain += (line.stock_code, line.unit_price, line.description or "")
    if plain:
        yield invoice.date, plain


def _entries(
    now: int, sales: Sequence[Sales | DetailedSale], changes: Sequence[Change]
) -> Iterator[tuple[int, list[Any], list[Any]]]:
    """Entries of the outbox, each within the bounds of a call: date, sales, demand changes. Sales come first."""
    lines = sum([len(sale[1]) // 3 if isinstance(sale[1], list) else 1 for sale in sales])
    if max(lines, *(len(change[3]) for change in changes), 0) <= CHANGES_PER_ENTRY and (
        len(pack((sales, changes))) <= MAX_ENTRY_BYTES
    ):
        yield now, list(sales), list(changes)
        return
    parts = (part for sale in sales for part in _parts_of_sales(sale))
    most = CHANGES_PER_ENTRY // LINES_PER_PART
    for portion in chunks(parts, lambda part: len(pack(part)), most=most, most_bytes=MAX_ENTRY_BYTES):
        yield now, portion, []
    for change in changes:
        for part in _parts_of_change(change):
            yield now, [], [part]


def _parts_of_sales(sale: Sales | DetailedSale) -> Iterator[Sales | DetailedSale]:
    if isinstance(sale[1], str):
        yield sale
        return
    for start in range(0, len(sale[1]), 3 * LINES_PER_PART):
        yield sale[0], sale[1][start : start + 3 * LINES_PER_PART]


def _parts_of_change(change: Change) -> Iterator[Change]:
    date, times, share, codes = change
    for start in range(0, len(codes), CHANGES_PER_ENTRY):
        yield date, times, share, codes[start : start + CHANGES_PER_ENTRY]
