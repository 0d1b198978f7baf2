"""Partition: a table that exceeds memory as parts that do not, each with all rows of its customers.

The cleaning rules that compare rows (exact duplicates, lines of one invoice) compare rows of one customer. So each part
is cleaned alone, and sums over the parts are those of the table.
"""

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

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
_ROWS_AT_ONCE = 500_000
"""Rows that are written to the parts at once, some 100 MB: a write costs the same for one row as for hundreds."""


def partition_by_customer(batches: TableBatches, rows: int = PART_ROWS) -> Iterator[InvoiceTable]:
    """Split a table into parts, which wait in a temporary folder; the order of rows within a part is that of the table.

    Args:
        batches: The table.
        rows: Mean number of rows of a part; a table with fewer is one part.

    Yields:
        The parts; the first has the assumptions of the table.
    """
    number = -(-batches.rows // rows)
    use = NumberUse()
    tables = _observe(batches.tables, use)
    if number == 1:
        yield _settled(_concatenated(list(tables)), use)
        return
    with tempfile.TemporaryDirectory(prefix="nextbasket-parts-") as folder:
        paths = [Path(folder) / f"{part}.arrow" for part in range(number)]
        whole = _concatenated([replace(table, frame=pd.DataFrame()) for table in _write_parts(tables, paths)])
        whole = _settled(whole, use)
        for part, path in enumerate(paths):
            with pa.OSFile(str(path), "rb") as file, pa.ipc.open_stream(file) as reader:
                frame: pd.DataFrame = reader.read_pandas()
            path.unlink()
            first = part == 0
            yield replace(
                whole,
                frame=frame,
                retyped=whole.retyped if first else 0,
                assumptions=whole.assumptions if first else (),
            )


def _observe(tables: Iterable[InvoiceTable], use: NumberUse) -> Iterator[InvoiceTable]:
    """Yield tables, and count how their numbers are used where that is not known."""
    for table in tables:
        if table.start_anew is None:
            use.add(table.frame[columns.INVOICE_NO], table.frame[columns.CUSTOMER_ID])
        yield table


def _settled(table: InvoiceTable, use: NumberUse) -> InvoiceTable:
    """The table with what only all batches decide: its dialect, and whether numbers start anew."""
    table = settle_dialect(table)
    return replace(table, start_anew=use.start_anew) if table.start_anew is None else table


def _write_parts(tables: Iterable[InvoiceTable], paths: list[Path]) -> Iterator[InvoiceTable]:
    """Write the rows of each table to the files, all rows of a customer to one file, and yield the table."""
    with ExitStack() as files:
        writers: list[pa.RecordBatchStreamWriter] = []
        schema: pa.Schema | None = None
        waiting: list[pa.Table] = []
        parts: list[NDArray[np.uint64]] = []
        for table in tables:
            if schema is None:
                schema = pa.Schema.from_pandas(table.frame, preserve_index=False)
                writers = [files.enter_context(pa.ipc.new_stream(str(path), schema)) for path in paths]
            waiting.append(pa.Table.from_pandas(table.frame, schema, preserve_index=False))
            parts.append(_parts_of_rows(table.frame[columns.CUSTOMER_ID], len(paths)))
            if sum(map(len, parts)) >= _ROWS_AT_ONCE:
                _write_rows(waiting, parts, writers)
                waiting, parts = [], []
            yield table
        if waiting:
            _write_rows(waiting, parts, writers)


def _write_rows(
    tables: list[pa.Table], parts: list[NDArray[np.uint64]], writers: list[pa.RecordBatchStreamWriter]
) -> None:
    """Write each row to the writer of its part, the rows of a part at once and in their order."""
    part_of_row = np.concatenate(parts)
    order = np.argsort(part_of_row, kind="stable")
    rows = pa.concat_tables(tables).take(order)
    first = np.searchsorted(part_of_row[order], np.arange(len(writers) + 1)).tolist()
    for writer, start, end in zip(writers, first, first[1:], strict=False):
        if end > start:
            writer.write_table(rows.slice(start, end - start))


def _parts_of_rows(customers: pd.Series, parts: int) -> NDArray[np.uint64]:
    """The part of each row, by a hash of its customer; rows without a customer are spread evenly."""
    known = normalise_customer_ids(customers)
    hashed = np.asarray(pd.util.hash_pandas_object(known, index=False), np.uint64)
    row = np.arange(len(known), dtype=np.uint64)
    return np.where(known.notna(), hashed, row) % np.uint64(parts)


def _concatenated(tables: list[InvoiceTable]) -> InvoiceTable:
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
