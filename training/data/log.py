"""The log: invoices by date, in a file, so that it may exceed memory.

Training and evaluation read it like a list of invoices. In memory are 8 bytes an invoice.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple, Self, overload

import msgspec
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray
from pydantic import SecretStr

from state.domain.history import CustomerHistory, HeldLine, add_invoice
from state.events.invoice import Invoice, Line
from state.settings import Settings
from training import progress
from training.data.cleaning.clean import clean, shop_dialect_of
from training.data.cleaning.invoices import invoices
from training.data.cleaning.ledger import Ledger, LedgerBuilder
from training.data.cleaning.partition import PART_ROWS, partition_by_customer
from training.data.purchases import Purchases
from training.data.tables.invoice_table import InvoiceTable, load_batches, separate_invoices
from training.data.temporary_database import TemporaryDatabase

_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Invoice)
_INVOICES = msgspec.msgpack.Decoder(list[Invoice])
_SECRETS = [name for name, field in Settings.model_fields.items() if field.annotation is SecretStr]
"""Settings that cleaning does not need, and other processes must not get."""

_CREATE = "CREATE TABLE part (row INTEGER PRIMARY KEY, customer TEXT, number TEXT, date INTEGER, content BLOB)"
_INSERT = "INSERT INTO part (customer, number, date, content) VALUES (?, ?, ?, ?)"
_SELECT_PARTS = """
SELECT customer, number, content FROM part
WHERE (customer, number) IN (SELECT customer, number FROM part GROUP BY customer, number HAVING COUNT(*) > 1)
ORDER BY customer, number, row
"""
_DELETE_PARTS = """
DELETE FROM part
WHERE (customer, number) IN (SELECT customer, number FROM part GROUP BY customer, number HAVING COUNT(*) > 1)
"""


class InvoiceLog(Sequence[Invoice]):
    """Invoices sorted by (date, invoice number, customer); each is a new object whenever it is read.

    They are in a temporary SQLite database: a file without a name that ends with the process. A slice of a log is a log
    in the same file.
    """

    def __init__(
        self, database: TemporaryDatabase, rows: NDArray[np.int64], purchases: Purchases | None = None
    ) -> None:
        """Read from a database that ``merge_logs`` made.

        Args:
            database: Of the invoices.
            rows: Rows of it, in the order of the log, int64 ``[invoices]``.
            purchases: The columns of these invoices, where they have been read.
        """
        self._database = database
        self._rows = rows
        self._purchases = purchases

    @property
    def purchases(self) -> Purchases:
        """The columns of the log; read once."""
        if self._purchases is None:
            self._purchases = Purchases.of(self)
        return self._purchases

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, position: int) -> Invoice: ...

    @overload
    def __getitem__(self, position: slice) -> Self: ...

    def __getitem__(self, position: int | slice) -> Invoice | Self:
        if isinstance(position, slice):
            beginning = position.start in (None, 0) and position.step in (None, 1)
            rows = self._rows[position]
            return type(self)(self._database, rows, self.purchases.before(len(rows)) if beginning else None)
        return self._read(int(self._rows[position]))

    def __iter__(self) -> Iterator[Invoice]:
        return map(self._read, self._rows)

    def _read(self, row: int) -> Invoice:
        found = self._database.execute("SELECT content FROM part WHERE row = ?", (int(row),)).fetchone()
        return _DECODER.decode(found[0])


def merge_logs(*logs: Iterable[Invoice]) -> InvoiceLog:
    """One log of all invoices, sorted by (date, invoice number, customer), by the rules of a history.

    Parts of one invoice of a customer are joined and have the earliest date; a line counts once, however often it
    occurs and in whichever log. Of two descriptions of a line the last one is used. Invoices without a customer or
    without lines are left out.
    """
    database = TemporaryDatabase()
    database.execute(_CREATE)
    for log in logs:
        _insert(database, (invoice for invoice in log if invoice.customer_id is not None and invoice.lines))
    parts = ((key, _DECODER.decode(content)) for *key, content in database.execute(_SELECT_PARTS))
    joined = [_join([part for _, part in each]) for _, each in groupby(parts, key=lambda pair: pair[0])]
    database.execute(_DELETE_PARTS)
    _insert(database, joined)
    order = database.execute("SELECT row FROM part ORDER BY date, number, customer")
    return InvoiceLog(database, np.fromiter((row for (row,) in order), np.int64))


class TablePart(NamedTuple):
    """A part of a table, with all rows of its customers, and how it is cleaned; see ``read_table``."""

    table: InvoiceTable
    settings: Settings
    clock: int | None


class CleanedPart(NamedTuple):
    """The invoices of a part, encoded, and the ledger of its cleaning."""

    invoices: bytes
    ledger: LedgerBuilder


MapParts = Callable[[Callable[[TablePart], CleanedPart], Iterable[TablePart]], Iterator[CleanedPart]]
"""What gives the results of a function for each part, in the order of the parts; such as ``map``."""


def clean_part(part: TablePart) -> CleanedPart:
    """Clean a part of a table; it depends on no other part, so any process can."""
    dialect = shop_dialect_of(part.table, part.settings).name
    ledger = LedgerBuilder(dialect, part.table.timezone)
    separated = separate_invoices(part.table, uci=dialect == "uci")
    found = invoices(clean(separated, part.settings, clock=part.clock, builder=ledger))
    return CleanedPart(_ENCODER.encode(found), ledger)


def read_table(
    path: Path,
    settings: Settings,
    *,
    clock: int | None = None,
    resolve: Callable[[Iterable[Invoice]], Iterator[Invoice]] = iter,
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

    def cleaned_invoices() -> Iterator[Invoice]:
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
            yield from resolve(_INVOICES.decode(cleaned.invoices))
            progress.update(min((done + 1) * PART_ROWS, batches.rows), batches.rows, "cleaning")

    log = merge_logs(cleaned_invoices())
    assert builder is not None  # a table has rows
    return log, builder.build()


def invoices_before(log: Sequence[Invoice], date: int) -> Sequence[Invoice]:
    """The invoices of a sorted log that are dated before ``date``, seconds since 1970."""
    if isinstance(log, InvoiceLog):
        return log[: log.purchases.first_at(date)]
    return log[: bisect_left(log, date, key=lambda invoice: invoice.date)]


def _insert(database: TemporaryDatabase, invoices: Iterable[Invoice]) -> None:
    database.executemany(
        _INSERT,
        ((invoice.customer_id, invoice.invoice_no, invoice.date, _ENCODER.encode(invoice)) for invoice in invoices),
    )


def _join(parts: list[Invoice]) -> Invoice:
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
