"""Parts: a table that is larger than memory as several that are not, each with all rows of its customers.

What cleaning looks for across rows, exact duplicates and the lines of one invoice, lies within one customer. So each
part can be cleaned for itself, and sums over the parts are those of the table.
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
from training.data.cleaning.clean import customer_ids
from training.data.tables.invoice_table import InvoiceTable, TableBatches

PART_ROWS = 200_000
"""About so many rows are in a part: some 100 MB while it is cleaned."""


def partition_by_customer(batches: TableBatches, rows: int = PART_ROWS) -> Iterator[InvoiceTable]:
    """The rows of a table, in its order within each part; the parts lie in a temporary folder until they are read.

    Args:
        batches: The table.
        rows: So many are to be in a part on average; where the table has no more, there is one.

    Yields:
        Parts, with what was taken for granted in the first of them.
    """
    number = -(-batches.rows // rows)
    if number == 1:
        yield _concatenated(list(batches.tables))
        return
    with tempfile.TemporaryDirectory(prefix="nextbasket-parts-") as folder:
        paths = [Path(folder) / f"{place}.arrow" for place in range(number)]
        first = _concatenated([replace(table, frame=pd.DataFrame()) for table in _write_parts(batches.tables, paths)])
        for place, path in enumerate(paths):
            with pa.OSFile(str(path), "rb") as file, pa.ipc.open_stream(file) as reader:
                frame: pd.DataFrame = reader.read_pandas()
            path.unlink()
            yield replace(first, frame=frame, retyped=0 if place else first.retyped)


def _write_parts(tables: Iterable[InvoiceTable], paths: list[Path]) -> Iterator[InvoiceTable]:
    """Write the rows of each table to the files, all of a customer to one; gives the tables back."""
    with ExitStack() as files:
        writers: list[pa.RecordBatchStreamWriter] = []
        for table in tables:
            if not writers:
                schema = pa.Schema.from_pandas(table.frame, preserve_index=False)
                writers = [files.enter_context(pa.ipc.new_stream(str(path), schema)) for path in paths]
            part = _part_of_rows(table.frame[columns.CUSTOMER_ID], len(paths))
            for place, writer in enumerate(writers):
                rows = table.frame[part == place]
                writer.write_table(pa.Table.from_pandas(rows, schema, preserve_index=False))
            yield table


def _part_of_rows(customers: pd.Series, number: int) -> NDArray[np.uint64]:
    """The part of each row, by its customer; rows of nobody are spread evenly."""
    known = customer_ids(customers)
    hashed = np.asarray(pd.util.hash_pandas_object(known, index=False), np.uint64)
    spread = np.arange(len(known), dtype=np.uint64)
    return np.where(known.notna(), hashed, spread) % np.uint64(number)


def _concatenated(tables: list[InvoiceTable]) -> InvoiceTable:
    """Tables one below the other as one."""
    if len(tables) == 1:
        return tables[0]
    return replace(
        tables[0],
        frame=pd.concat([table.frame for table in tables], ignore_index=True),
        notes=tuple(dict.fromkeys(note for table in tables for note in table.notes)),
        retyped=sum(table.retyped for table in tables),
    )
