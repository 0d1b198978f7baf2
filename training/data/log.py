"""The log of purchases: its invoices in the order of their dates, in a file, so that it may be larger than memory.

Who trains or judges reads it as a sequence of invoices, as if it were a list. In memory are 8 bytes an invoice.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Self, overload

import msgspec
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from state.domain.history import CustomerHistory, HeldLine, add_invoice
from state.events.invoice import Invoice, Line
from state.settings import Settings
from training.data.cleaning.clean import clean, dialect_of
from training.data.cleaning.invoices import invoices
from training.data.cleaning.ledger import Ledger, LedgerBuilder
from training.data.cleaning.partition import partition_by_customer
from training.data.tables.invoice_table import load_batches
from training.data.temporary_database import TemporaryDatabase

_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Invoice)

_TABLE = "CREATE TABLE part (place INTEGER PRIMARY KEY, customer TEXT, number TEXT, date INTEGER, content BLOB)"
_PUT = "INSERT INTO part (customer, number, date, content) VALUES (?, ?, ?, ?)"
_PARTS_OF_ONE = """
SELECT customer, number, content FROM part
WHERE (customer, number) IN (SELECT customer, number FROM part GROUP BY customer, number HAVING COUNT(*) > 1)
ORDER BY customer, number, place
"""
_DROP = """
DELETE FROM part
WHERE (customer, number) IN (SELECT customer, number FROM part GROUP BY customer, number HAVING COUNT(*) > 1)
"""


class InvoiceLog(Sequence[Invoice]):
    """Invoices sorted by (date, invoice number, customer); each one is a new object whenever it is read.

    They lie in a temporary database of SQLite: a file without a name, gone with the process. A slice of a log is a log
    in the same file.
    """

    def __init__(self, database: TemporaryDatabase, order: NDArray[np.int64]) -> None:
        """Read from a database that ``merge_logs`` made; ``order`` int64 ``[invoices]`` are places in it."""
        self._database = database
        self._order = order

    def __len__(self) -> int:
        return len(self._order)

    @overload
    def __getitem__(self, position: int) -> Invoice: ...

    @overload
    def __getitem__(self, position: slice) -> Self: ...

    def __getitem__(self, position: int | slice) -> Invoice | Self:
        if isinstance(position, slice):
            return type(self)(self._database, self._order[position])
        return self._read(int(self._order[position]))

    def __iter__(self) -> Iterator[Invoice]:
        return map(self._read, self._order)

    def _read(self, place: int) -> Invoice:
        row = self._database.execute("SELECT content FROM part WHERE place = ?", (int(place),)).fetchone()
        return _DECODER.decode(row[0])


def merge_logs(*logs: Iterable[Invoice]) -> InvoiceLog:
    """One log of all invoices, sorted by (date, invoice number), by the rules of a history.

    Parts of one invoice of a customer become one, dated at the earliest; a line counts once, however often and from
    wherever it came. Of two texts for one line the later place's wins. Anonymous invoices and those without lines are
    left out.
    """
    database = TemporaryDatabase()
    database.execute(_TABLE)
    for log in logs:
        _put(database, (invoice for invoice in log if invoice.customer_id is not None and invoice.lines))
    parts = ((key, _DECODER.decode(content)) for *key, content in database.execute(_PARTS_OF_ONE))
    joined = [_one([part for _, part in each]) for _, each in groupby(parts, key=lambda pair: pair[0])]
    database.execute(_DROP)
    _put(database, joined)
    order = database.execute("SELECT place FROM part ORDER BY date, number, customer")
    return InvoiceLog(database, np.fromiter((place for (place,) in order), np.int64))


def read_table(path: Path, settings: Settings, *, clock: int | None = None) -> tuple[InvoiceLog, Ledger]:
    """The log of a table and the account of its cleaning, in memory that does not grow with a Parquet table.

    Args:
        path: As ``datasets.load`` takes it.
        settings: Zone of dates, bounds and dialect.
        clock: Seconds since 1970; dates further ahead of it than the settings allow are refused. None: no date is.

    Raises:
        DataError: The table cannot be read.
    """
    account: LedgerBuilder | None = None

    def sold() -> Iterator[Invoice]:
        nonlocal account
        for part in partition_by_customer(load_batches(path, timezone=settings.timezone)):
            account = account or LedgerBuilder(dialect_of(part, settings).name)
            yield from invoices(clean(part, settings, clock=clock, account=account))

    log = merge_logs(sold())
    assert account is not None  # a table has rows
    return log, account.ledger()


def invoices_before(log: Sequence[Invoice], date: int) -> Sequence[Invoice]:
    """The invoices of a sorted log that are dated before ``date``, seconds since 1970."""
    return log[: bisect_left(log, date, key=lambda invoice: invoice.date)]


def _put(database: TemporaryDatabase, invoices: Iterable[Invoice]) -> None:
    database.executemany(
        _PUT, ((each.customer_id, each.invoice_no, each.date, _ENCODER.encode(each)) for each in invoices)
    )


def _one(parts: list[Invoice]) -> Invoice:
    """Parts of one invoice as one; histories know no description of a line, so those are looked up again."""
    first = parts[0]
    history = CustomerHistory(str(first.customer_id))
    said: dict[HeldLine, Line] = {}
    for part in parts:
        history = add_invoice(history, part, window=1).history
        for line in part.lines:
            held = HeldLine(line.stock_code, line.quantity, line.unit_price, line.line_id)
            before = said.get(held, line)
            said[held] = replace(
                line,
                description=line.description or before.description,
                attributes=line.attributes or before.attributes,
            )
    (invoice,) = history.invoices
    return Invoice(
        first.invoice_no,
        first.customer_id,
        invoice.date,
        tuple(said[line] for line in invoice.lines),
        next((part.attributes for part in parts if part.attributes == history.attributes), history.attributes),
    )
