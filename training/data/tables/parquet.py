"""Parquet files. Only this reader needs pyarrow, which the core install lacks: import it where a file is Parquet."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from training.data import columns
from training.data.tables.raw_table import RawTable, refuse_damaged

LINES = "lines"
"""Column of lists in a Parquet file whose rows are whole invoices, as on the wire."""

BATCH_ROWS = 50_000
"""Rows of a Parquet file that are in memory at once, where it is read in batches."""
_LINES_PER_INVOICE = 20
"""Of a Parquet file with a row an invoice: how many fewer rows a batch has."""


class _ParquetFile:
    """A Parquet file with a row a line, or with a row an invoice and its lines as a list."""

    def __init__(self, path: Path) -> None:
        # The cached copy of a download has checksums.
        self.file = pq.ParquetFile(path, page_checksum_verification=True)
        schema = self.file.schema_arrow
        self.nested = LINES in schema.names and pa.types.is_list(schema.field(LINES).type)
        of_lines = [*schema.field(LINES).type.value_type] if self.nested else []
        of_invoices = [field for field in schema if field.name != LINES]
        mapping = columns.require_columns([field.name for field in [*of_invoices, *of_lines]], str(path))
        self._line_columns = [field.name for field in of_lines if field.name in mapping.values()]
        self._invoice_columns = [name for name in schema.names if name in mapping.values() and name != LINES]
        self.columns = [*self._invoice_columns, LINES] if self.nested else self._invoice_columns
        self.types = {
            column: field.type
            for column, name in mapping.items()
            for field in [*of_lines, *of_invoices]
            if field.name == name
        }

    def count_lines(self) -> int:
        """Number of lines, from the metadata alone."""
        metadata = self.file.metadata
        paths = [metadata.schema.column(index).path for index in range(metadata.num_columns)]
        nested = (index for index, path in enumerate(paths) if self.nested and path.startswith(f"{LINES}."))
        index = next(nested, None)
        if index is None:
            return metadata.num_rows
        return sum(metadata.row_group(group).column(index).num_values for group in range(metadata.num_row_groups))

    def to_lines(self, table: pa.Table) -> pd.DataFrame:
        """A row a line, with the columns that are read."""
        if not self.nested:
            frame: pd.DataFrame = table.to_pandas()
            return frame
        table = table.combine_chunks()
        lines = table[LINES].combine_chunks()
        frame = table.select(self._invoice_columns).take(pc.list_parent_indices(lines)).to_pandas()
        structs: Any = pc.list_flatten(lines)
        return pd.concat([frame, pa.Table.from_struct_array(structs).to_pandas()[self._line_columns]], axis=1)


def read_parquet(path: Path) -> RawTable:
    """Read a Parquet file with a row a line, or with a row an invoice and its lines as a list.

    Raises:
        UnreadableTable: The file is damaged or no table.
        MissingColumns: A needed column is missing.
    """
    with refuse_damaged(path, pa.ArrowException):
        parquet = _ParquetFile(path)
        return RawTable(parquet.to_lines(parquet.file.read(columns=parquet.columns)))


def read_batches(path: Path) -> tuple[int, Iterator[RawTable]] | None:
    """The number of lines of a Parquet file, and the lines in batches of ``BATCH_ROWS`` rows.

    None where dates or numbers are text: their notation is found from the whole column.

    Raises:
        UnreadableTable: The file is damaged or no table.
        MissingColumns: A needed column is missing.
    """
    with refuse_damaged(path, pa.ArrowException):
        parquet = _ParquetFile(path)
    date = parquet.types[columns.INVOICE_DATE]
    numbers = [parquet.types[name] for name in (columns.QUANTITY, columns.UNIT_PRICE) if name in parquet.types]
    if not pa.types.is_temporal(date) or not all(
        pa.types.is_integer(number) or pa.types.is_floating(number) for number in numbers
    ):
        return None

    def batches() -> Iterator[RawTable]:
        size = BATCH_ROWS // (_LINES_PER_INVOICE if parquet.nested else 1)
        with refuse_damaged(path, pa.ArrowException):
            for batch in parquet.file.iter_batches(size, columns=parquet.columns):
                yield RawTable(parquet.to_lines(pa.Table.from_batches([batch])))

    return parquet.count_lines(), batches()
