"""Partition: a table that exceeds memory as parts that do not, each with all rows of its customers.

The cleaning rules that compare rows (exact duplicates, lines of one invoice) compare rows of one customer. So each part
is cleaned alone, and sums over the parts are those of the table.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from io import BufferedRandom
from tempfile import TemporaryFile
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from training.data import columns
from training.data.assumption import merge_assumptions
from training.data.cleaning.clean import normalise_customer_ids
from training.data.tables.invoice_table import InvoiceTable, TableBatches, settle_dialect
from training.data.tables.receipts import NumberUse

PART_ROWS = 200_000
"""Mean number of rows of a part: some 100 MB while it is cleaned."""
MAX_FILES = 256
"""Files that are open at once: systems allow 1,024. With more parts each file has several, and is split later."""
_ROWS_AT_ONCE = 500_000
"""Rows that are written to the parts at once, some 100 MB: a write costs the same for one row as for hundreds."""


def partition_by_customer(
    batches: TableBatches, rows: int = PART_ROWS, *, anonymous_by: Sequence[str] = ()
) -> Iterator[InvoiceTable]:
    """Split a table into parts; the order of rows within a part is that of the table.

    They wait in temporary files without a name, which end with the process.

    Args:
        batches: The table.
        rows: Mean number of rows of a part; a table with fewer is one part.
        anonymous_by: Columns. Of the rows without a customer, those with the same values in them are in one part.

    Yields:
        The parts; the first has the assumptions of the table.
    """
    number = -(-batches.rows // rows)
    use = NumberUse()
    tables = observed(batches.tables, use)
    if number == 1:
        yield settled(concatenated(list(tables)), use)
        return
    with ExitStack() as files:
        group = -(-number // MAX_FILES)
        groups = [files.enter_context(TemporaryFile()) for _ in range(-(-number // group))]
        without_rows: list[InvoiceTable] = []
        with _Writer(groups) as writer:
            for table in tables:
                part = _parts_of_rows(table.frame, number, anonymous_by)
                writer.write(pa.Table.from_pandas(table.frame, writer.schema, preserve_index=False), part // group)
                without_rows.append(replace(table, frame=pd.DataFrame()))
        whole = settled(concatenated(without_rows), use)
        parts = iter(groups) if group == 1 else _split_groups(groups, group, number, anonymous_by)
        for index, file in enumerate(parts):
            with file, _reader(file) as reader:
                frame: pd.DataFrame = reader.read_pandas()
            first = index == 0
            yield replace(
                whole,
                frame=frame,
                retyped=whole.retyped if first else 0,
                assumptions=whole.assumptions if first else (),
            )


def observed(tables: Iterable[InvoiceTable], use: NumberUse) -> Iterator[InvoiceTable]:
    """The tables; counts how their numbers are used where that is not known."""
    for table in tables:
        if table.start_anew is None:
            use.add(table.frame[columns.INVOICE_NO], table.frame[columns.CUSTOMER_ID])
        yield table


def settled(table: InvoiceTable, use: NumberUse) -> InvoiceTable:
    """The table with what only all batches decide: its dialect, and whether numbers start anew."""
    table = settle_dialect(table)
    return replace(table, start_anew=use.start_anew) if table.start_anew is None else table


def _split_groups(
    groups: list[BufferedRandom], group: int, number: int, anonymous_by: Sequence[str]
) -> Iterator[BufferedRandom]:
    """The files of single parts, in their order, from files of ``group`` parts each; one of those is split at once."""
    for index, file in enumerate(groups):
        first = index * group
        with ExitStack() as files:
            parts = [files.enter_context(TemporaryFile()) for _ in range(min(group, number - first))]
            with file, _Writer(parts) as writer, _reader(file) as reader:
                writer.schema = reader.schema
                for batch in reader:
                    part = _parts_of_rows(batch.to_pandas(), number, anonymous_by)
                    # A row without a customer may be of any part.
                    inside = np.clip(part.astype(np.int64) - first, 0, len(parts) - 1)
                    writer.write(pa.Table.from_batches([batch]), inside.astype(np.uint64))
            yield from parts


def _reader(file: BufferedRandom) -> pa.RecordBatchStreamReader:
    """What reads the rows of a file from its beginning."""
    file.seek(0)
    return pa.ipc.open_stream(file)


class _Writer(ExitStack):
    """Writes rows to files, each to the one that is given, in their order.

    Attributes:
        schema: Of the rows; that of the first ones unless it is set.
    """

    def __init__(self, files: Sequence[BufferedRandom]) -> None:
        super().__init__()
        self.schema: pa.Schema | None = None
        self._to = files
        self._writers: list[pa.RecordBatchStreamWriter] = []
        self._waiting: list[pa.Table] = []
        self._files: list[NDArray[np.uint64]] = []

    def write(self, rows: pa.Table, files: NDArray[np.uint64]) -> None:
        """Write rows, or let them wait until there are many.

        Args:
            rows: The rows.
            files: The index of the file of each row.
        """
        self.schema = self.schema or rows.schema
        self._waiting.append(rows)
        self._files.append(files)
        if sum(map(len, self._files)) >= _ROWS_AT_ONCE:
            self._flush()

    def __exit__(self, *error: Any) -> bool | None:
        if not any(error):
            self._flush()
        return super().__exit__(*error)

    def _flush(self) -> None:
        """Write what waits; files without rows are there, too."""
        if not self._writers and self.schema is not None:
            self._writers = [self.enter_context(pa.ipc.new_stream(file, self.schema)) for file in self._to]
        if not self._waiting:
            return
        file_of_row = np.concatenate(self._files)
        order = np.argsort(file_of_row, kind="stable")
        rows = pa.concat_tables(self._waiting).take(order)
        first = np.searchsorted(file_of_row[order], np.arange(len(self._writers) + 1)).tolist()
        for writer, start, end in zip(self._writers, first, first[1:], strict=False):
            if end > start:
                writer.write_table(rows.slice(start, end - start))
        self._waiting, self._files = [], []


def _parts_of_rows(frame: pd.DataFrame, parts: int, anonymous_by: Sequence[str]) -> NDArray[np.uint64]:
    """The part of each row, by a hash of its customer, or of other columns where it has none; else spread evenly."""
    known = normalise_customer_ids(frame[columns.CUSTOMER_ID])
    hashed = np.asarray(pd.util.hash_pandas_object(known, index=False), np.uint64)
    anonymous = np.arange(len(known), dtype=np.uint64)
    if anonymous_by:
        anonymous = np.asarray(pd.util.hash_pandas_object(frame[[*anonymous_by]], index=False), np.uint64)
    return np.where(known.notna(), hashed, anonymous) % np.uint64(parts)


def concatenated(tables: list[InvoiceTable]) -> InvoiceTable:
    """One table with the rows and assumptions of all."""
    if len(tables) == 1:
        return tables[0]
    evidence = [table.evidence for table in tables if table.evidence is not None]
    return replace(
        tables[0],
        evidence=sum(evidence[1:], evidence[0]) if evidence else None,
        frame=pd.concat([table.frame for table in tables], ignore_index=True),
        assumptions=merge_assumptions(each for table in tables for each in table.assumptions),
        retyped=sum(table.retyped for table in tables),
    )
