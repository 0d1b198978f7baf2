"""The log: invoices by date, in a file, so that it may exceed memory.

Training and evaluation read it like a list of invoices. In memory are 12 bytes an invoice.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple, Self, overload

import numpy as np
from msgspec.structs import replace
from pydantic import SecretStr

from state.domain.history import CustomerHistory, HeldLine, add_invoice
from state.domain.identities import Resolver
from state.events.invoice import Invoice, Line
from state.settings import Settings
from training import progress
from training.data.cleaning.clean import clean, shop_dialect_of
from training.data.cleaning.invoices import invoices
from training.data.cleaning.ledger import Ledger, LedgerBuilder
from training.data.cleaning.partition import PART_ROWS, partition_by_customer
from training.data.invoice_file import EncodedInvoices, InvoiceFile, InvoiceIndex, encode_invoices
from training.data.purchases import Purchases
from training.data.tables.invoice_table import InvoiceTable, load_batches, separate_invoices

_SECRETS = [name for name, field in Settings.model_fields.items() if field.annotation is SecretStr]
"""Settings that cleaning does not need, and other processes must not get."""

_INVOICES_AT_ONCE = 10_000
"""Invoices that are encoded at once: some MB."""


class InvoiceLog(Sequence[Invoice]):
    """Invoices sorted by (date, invoice number, customer); each is a new object whenever it is read.

    They are in a file without a name that ends with the process. A slice of a log is a log in the same file.
    """

    def __init__(self, file: InvoiceFile, index: InvoiceIndex, purchases: Purchases | None = None) -> None:
        """Read from a file.

        Args:
            file: Of the invoices.
            index: Where they are in it, in the order of the log.
            purchases: The columns of these invoices, where they have been read.
        """
        self._file = file
        self._index = index
        self._purchases = purchases

    @property
    def purchases(self) -> Purchases:
        """The columns of the log; read once."""
        if self._purchases is None:
            self._purchases = Purchases.of(self)
        return self._purchases

    def __len__(self) -> int:
        return len(self._index.offsets)

    @overload
    def __getitem__(self, position: int) -> Invoice: ...

    @overload
    def __getitem__(self, position: slice) -> Self: ...

    def __getitem__(self, position: int | slice) -> Invoice | Self:
        if isinstance(position, slice):
            beginning = position.start in (None, 0) and position.step in (None, 1)
            index = self._index.of(position)
            return type(self)(self._file, index, self.purchases.before(len(index.offsets)) if beginning else None)
        return self._file.read(int(self._index.offsets[position]), int(self._index.lengths[position]))

    def __iter__(self) -> Iterator[Invoice]:
        for first in range(0, len(self), _INVOICES_AT_ONCE):
            index = self._index.of(slice(first, first + _INVOICES_AT_ONCE))
            yield from map(self._file.read, index.offsets.tolist(), index.lengths.tolist())


def merge_logs(*logs: Iterable[Invoice]) -> InvoiceLog:
    """One log of all invoices, sorted by (date, invoice number, customer), by the rules of a history.

    Parts of one invoice of a customer are joined and have the earliest date; a line counts once, however often it
    occurs and in whichever log. Of two descriptions of a line the last one is used. Invoices without a customer or
    without lines are left out.
    """
    return _merge(part for log in logs for part in _encoded(log))


def _merge(parts: Iterable[EncodedInvoices]) -> InvoiceLog:
    """The log of encoded invoices, all with a customer and lines."""
    file = InvoiceFile()
    for part in parts:
        file.append(part)
    return InvoiceLog(file, file.finish(join_parts))


def _encoded(log: Iterable[Invoice]) -> Iterator[EncodedInvoices]:
    """Encode the invoices with a customer and lines, some at once."""
    counting = (invoice for invoice in log if invoice.customer_id is not None and invoice.lines)
    while some := list(islice(counting, _INVOICES_AT_ONCE)):
        yield encode_invoices(some)


class TablePart(NamedTuple):
    """A part of a table, with all rows of its customers, and how it is cleaned; see ``read_table``."""

    table: InvoiceTable
    settings: Settings
    clock: int | None


class CleanedPart(NamedTuple):
    """The invoices of a part, encoded, and the ledger of its cleaning."""

    invoices: EncodedInvoices
    ledger: LedgerBuilder


MapParts = Callable[[Callable[[TablePart], CleanedPart], Iterable[TablePart]], Iterator[CleanedPart]]
"""What gives the results of a function for each part, in the order of the parts; such as ``map``."""


def clean_part(part: TablePart) -> CleanedPart:
    """Clean a part of a table; it depends on no other part, so any process can."""
    dialect = shop_dialect_of(part.table, part.settings).name
    ledger = LedgerBuilder(dialect, part.table.timezone)
    separated = separate_invoices(part.table, uci=dialect == "uci")
    found = invoices(clean(separated, part.settings, clock=part.clock, builder=ledger))
    return CleanedPart(encode_invoices(found), ledger)


def read_table(
    path: Path,
    settings: Settings,
    *,
    clock: int | None = None,
    resolve: Resolver | None = None,
    map_parts: MapParts = map,
) -> tuple[InvoiceLog, Ledger]:
    """The log of a table and the ledger of its cleaning, in memory that does not grow with a Parquet table.

    Args:
        path: As in ``tables.invoice_table.load``.
        settings: Zone of dates, bounds and dialect.
        clock: Seconds since 1970; dates further ahead of it than the settings allow are refused. None: no date is.
        map_parts: Cleans the parts, in their order; ``training.engine.map_parts`` in other processes.
        resolve: Puts the invoices of merged customers under one id, and leaves out those of erased customers.

    Raises:
        DataError: The table cannot be read.
    """
    builder: LedgerBuilder | None = None

    def cleaned_invoices() -> Iterator[EncodedInvoices]:
        nonlocal builder
        batches = load_batches(
            path,
            timezone=settings.timezone,
            date_format=settings.date_format,
            decimal_mark=settings.decimal_mark,
        )
        public = settings.model_copy(update=dict.fromkeys(_SECRETS, SecretStr("")))
        for done, cleaned in enumerate(
            map_parts(
                clean_part, (TablePart(part, public, clock) for part in partition_by_customer(batches, PART_ROWS))
            )
        ):
            builder = cleaned.ledger if builder is None else builder.merge(cleaned.ledger)
            yield from resolve_encoded(cleaned.invoices, resolve)
            progress.update(min((done + 1) * PART_ROWS, batches.rows), batches.rows, "cleaning")

    log = _merge(cleaned_invoices())
    assert builder is not None  # a table has rows
    return log, builder.build()


def invoices_before(log: Sequence[Invoice], date: int) -> Sequence[Invoice]:
    """The invoices of a sorted log that are dated before ``date``, seconds since 1970."""
    if isinstance(log, InvoiceLog):
        return log[: log.purchases.first_at(date)]
    return log[: bisect_left(log, date, key=lambda invoice: invoice.date)]


def resolve_encoded(invoices: EncodedInvoices, resolve: Resolver | None) -> Iterator[EncodedInvoices]:
    """The invoices of a part after merges and erasures; only those of customers with such are decoded."""
    changed = resolve.changed(map(str, invoices.customers.unique().to_pylist())) if resolve is not None else frozenset()
    if resolve is None or not changed:
        yield invoices
        return
    rows = np.fromiter((customer in changed for customer in invoices.customers.to_pylist()), np.bool_)
    yield invoices.of(~rows)
    yield encode_invoices(resolve(invoices.of(rows).decode()))


def join_parts(parts: list[Invoice]) -> Invoice:
    """One invoice of its parts: a history joins them, and the lines get their descriptions back, which it has not."""
    first = parts[0]
    history = CustomerHistory(str(first.customer_id))
    lines: dict[HeldLine, Line] = {}
    for part in parts:
        history = add_invoice(history, part, window=1).history
        for line in part.lines:
            key = HeldLine(line.stock_code, line.quantity, line.unit_price, line.line_id)
            earlier = lines.get(key, line)
            lines[key] = replace(
                line,
                description=line.description or earlier.description,
                attributes=line.attributes or earlier.attributes,
            )
    (invoice,) = history.invoices
    return Invoice(
        first.invoice_no,
        first.customer_id,
        invoice.date,
        tuple(lines[line] for line in invoice.lines),
        next((part.attributes for part in parts if part.attributes == history.attributes), history.attributes),
    )
