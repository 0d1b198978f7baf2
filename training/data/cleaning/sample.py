"""Sample: some of the customers of a table, with all of their rows, in memory."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from training import progress
from training.data import columns
from training.data.cleaning.clean import normalise_customer_ids
from training.data.cleaning.partition import concatenated, observed, settled
from training.data.tables.invoice_table import InvoiceTable, TableBatches
from training.data.tables.receipts import NumberUse


def read_sample(batches: TableBatches, share: float = 1.0) -> InvoiceTable:
    """A table in memory, or the rows of a share of its customers, the same ones each time.

    Of rows without a customer those of a share of the invoice numbers are read. How the table is read, its dialect and
    the use of its numbers are found by all rows; ``retyped`` is carried over from each batch by its share of rows.

    Args:
        batches: The table.
        share: Above 0; 1 for all rows.
    """
    use = NumberUse()

    def sampled() -> Iterator[InvoiceTable]:
        done = 0
        for table in observed(batches.tables, use):
            rows = len(table.frame)
            if share < 1:
                frame = table.frame[_draw(table.frame, done, share)].reset_index(drop=True)
                table = replace(table, frame=frame, retyped=round(table.retyped * len(frame) / max(rows, 1)))
            yield table
            done += rows
            progress.update(done, batches.rows)

    return settled(concatenated([*sampled()]), use)


def _draw(frame: pd.DataFrame, first: int, share: float) -> NDArray[np.bool_]:
    """Which rows are in the sample, by a hash of the customer, else of the invoice number, else of the row's index."""
    key = normalise_customer_ids(frame[columns.CUSTOMER_ID]).fillna(frame[columns.INVOICE_NO])
    index = pd.Series(np.arange(first, first + len(frame)), index=frame.index)
    hashes = np.where(key.notna(), *(pd.util.hash_pandas_object(each, index=False).to_numpy() for each in (key, index)))
    drawn: NDArray[np.bool_] = hashes < share * 2.0**64
    return drawn
