"""Invoice file: encoded invoices one after the other in a file without a name, which ends with the process.

In memory are the keys of the invoices while the file is written (some 40 bytes each), then 12 bytes an invoice.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, compress, groupby, islice
from tempfile import TemporaryFile
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pandas.util import hash_array

from state.events.invoice import Invoice

Ints = NDArray[np.int64]

_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Invoice)

_CUSTOMER, _NUMBER, _DATE, _ROW = "customer", "number", "date", "row"
_KEY_FIELDS: "list[pa.Field[Any]]" = [
    pa.field(_DATE, pa.int64()),
    pa.field(_NUMBER, pa.large_string()),
    pa.field(_CUSTOMER, pa.large_string()),
]
_SCHEMA = pa.schema(_KEY_FIELDS)
_JOINED_AT_ONCE = 10_000
"""Invoices that are encoded at once."""


class EncodedInvoices(NamedTuple):
    """Encoded invoices of known customers, one after the other, and their keys.

    Attributes:
        content: The invoices.
        lengths: Bytes of each, int32.
        dates: Seconds since 1970, int64.
        numbers: Invoice numbers, text.
        customers: Customers, text.
        hashes: Of customer and number together, uint64; the same in every process.
    """

    content: bytes
    lengths: NDArray[np.int32]
    dates: Ints
    numbers: "pa.Array[Any]"
    customers: "pa.Array[Any]"
    hashes: NDArray[np.uint64]

    def decode(self) -> Iterator[Invoice]:
        """The invoices."""
        return map(_DECODER.decode, self._contents())

    def of(self, rows: NDArray[np.bool_]) -> "EncodedInvoices":
        """Some of the invoices, by a mask."""
        chosen = pa.array(rows)
        return EncodedInvoices(
            b"".join(compress(self._contents(), rows.tolist())),
            self.lengths[rows],
            self.dates[rows],
            self.numbers.filter(chosen),
            self.customers.filter(chosen),
            self.hashes[rows],
        )

    def _contents(self) -> Iterator[memoryview]:
        ends = np.cumsum(self.lengths, dtype=np.int64)
        content = memoryview(self.content)
        for start, end in zip((ends - self.lengths).tolist(), ends.tolist(), strict=True):
            yield content[start:end]


def encode_invoices(invoices: Iterable[Invoice]) -> EncodedInvoices:
    """Encode invoices, all of known customers."""
    found = list(invoices)
    contents = [_ENCODER.encode(invoice) for invoice in found]
    numbers = [invoice.invoice_no for invoice in found]
    customers = [str(invoice.customer_id) for invoice in found]
    both = [f"{customer}\0{number}" for customer, number in zip(customers, numbers, strict=True)]
    return EncodedInvoices(
        b"".join(contents),
        np.fromiter(map(len, contents), np.int32, len(contents)),
        np.array([invoice.date for invoice in found], np.int64),
        pa.array(numbers, pa.large_string()),
        pa.array(customers, pa.large_string()),
        hash_array(np.array(both, object), categorize=False),
    )


class InvoiceIndex(NamedTuple):
    """Where invoices are in a file: ``offsets``, int64, and ``lengths`` in bytes, int32."""

    offsets: Ints
    lengths: NDArray[np.int32]

    def of(self, chosen: NDArray[Any] | slice) -> "InvoiceIndex":
        """Some of them, by a mask, indices or a slice."""
        return InvoiceIndex(self.offsets[chosen], self.lengths[chosen])


class InvoiceFile:
    """The file: it is written by appending, then read at random."""

    def __init__(self) -> None:
        """Start empty."""
        self._file = TemporaryFile(prefix="nextbasket-log-")  # noqa: SIM115 - closed with the last reference
        self._keys: list[EncodedInvoices] = []

    def __del__(self) -> None:
        self._file.close()

    def append(self, invoices: EncodedInvoices) -> None:
        """Write invoices behind those that are there."""
        self._file.write(invoices.content)
        self._keys.append(invoices._replace(content=b""))

    def read(self, offset: int, length: int) -> Invoice:
        """The invoice at an offset; from any thread."""
        return _DECODER.decode(os.pread(self._file.fileno(), length, offset))

    def finish(self, join: Callable[[list[Invoice]], Invoice]) -> InvoiceIndex:
        """Sort the invoices by (date, invoice number, customer); nothing can be appended then.

        Args:
            join: Makes one invoice of those of a customer with one number, in the order in which they were appended.
        """
        self._file.flush()
        hashes = np.concatenate([np.zeros(0, np.uint64), *(keys.hashes for keys in self._keys)])
        index, keys = self._index(), self._table()
        repeated = np.flatnonzero(pd.Series(hashes).duplicated(keep=False))
        if len(repeated):
            kept = np.ones(len(hashes), np.bool_)
            self._keys = []
            for joined in _batched(self._joined(repeated, index, keys, kept, join), _JOINED_AT_ONCE):
                self.append(encode_invoices(joined))
            self._file.flush()
            further = self._index(int(index.lengths.sum(dtype=np.int64)))
            index = index.of(kept)
            index = InvoiceIndex(
                np.concatenate([index.offsets, further.offsets]), np.concatenate([index.lengths, further.lengths])
            )
            keys = pa.concat_tables([keys.filter(pa.array(kept)), self._table()])
        self._keys = []
        order = pc.sort_indices(
            keys.combine_chunks(), sort_keys=[(name, "ascending") for name in (_DATE, _NUMBER, _CUSTOMER)]
        )
        return index.of(order.to_numpy())

    def _index(self, start: int = 0) -> InvoiceIndex:
        """Of the invoices whose keys are in memory; the first is at ``start``."""
        lengths = np.concatenate([np.zeros(0, np.int32), *(keys.lengths for keys in self._keys)])
        ends = np.cumsum(lengths, dtype=np.int64)
        return InvoiceIndex(start + ends - lengths, lengths)

    def _table(self) -> pa.Table:
        """The keys that are in memory."""
        columns = ([pa.array(keys.dates), keys.numbers, keys.customers] for keys in self._keys)
        return pa.Table.from_batches([pa.RecordBatch.from_arrays(each, schema=_SCHEMA) for each in columns], _SCHEMA)

    def _joined(
        self,
        repeated: Ints,
        index: InvoiceIndex,
        keys: pa.Table,
        kept: NDArray[np.bool_],
        join: Callable[[list[Invoice]], Invoice],
    ) -> Iterator[Invoice]:
        """The invoices of which there are parts among some rows; the rows of their parts are taken out of ``kept``."""
        rows = keys.select([_CUSTOMER, _NUMBER]).take(repeated).append_column(_ROW, pa.array(repeated))
        rows = rows.combine_chunks().sort_by([(name, "ascending") for name in (_CUSTOMER, _NUMBER, _ROW)])
        sorted_rows = chain.from_iterable(
            zip(*(column.to_pylist() for column in batch.columns), strict=True)
            for batch in rows.to_batches(max_chunksize=_JOINED_AT_ONCE)
        )
        for _, group in groupby(sorted_rows, key=lambda row: row[:2]):
            parts = [row for *_, row in group]
            if len(parts) > 1:  # else another invoice has the same hash
                kept[parts] = False
                yield join([self.read(int(index.offsets[row]), int(index.lengths[row])) for row in parts])


def _batched(invoices: Iterator[Invoice], size: int) -> Iterator[list[Invoice]]:
    while batch := list(islice(invoices, size)):
        yield batch
