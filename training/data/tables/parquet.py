"""Parquet files. Only this reader needs pyarrow, which the core install lacks: import it where a file is Parquet."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from training.data import columns
from training.data.errors import UnreadableTable
from training.data.tables.encodings import decode_windows_1252
from training.data.tables.layout import OrderCustomers
from training.data.tables.raw_table import RawTable, refuse_damaged
from training.data.tables.row_types import MAX_TYPES, are_events

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
        self.lines = _find_lines(schema)
        of_lines = [*schema.field(self.lines).type.value_type] if self.lines is not None else []
        of_invoices = [field for field in schema if field.name != self.lines]
        names = [field.name for field in [*of_invoices, *of_lines]]
        mapping = columns.require_columns(names, str(path))
        if repeated := [name for name in mapping.values() if names.count(name) > 1]:
            raise UnreadableTable(f"{path} has two columns {repeated[0]!r}. Take one of them out.")
        of_lines = [field for field in of_lines if names.count(field.name) == 1]
        of_invoices = [field for field in of_invoices if names.count(field.name) == 1]
        self._line_columns = [field.name for field in of_lines]
        self._invoice_columns = [field.name for field in of_invoices]
        self.columns = [*self._invoice_columns, *([] if self.lines is None else [self.lines])]
        fields = {field.name: field.type for field in [*of_lines, *of_invoices]}
        self.types = {column: fields[name] for column, name in mapping.items()}
        self.names = mapping
        self.lists = [mapping[column] for column, kind in self.types.items() if _is_list(kind)]
        for column, kind in self.types.items():
            if pa.types.is_nested(kind) and not _is_list(kind):
                raise UnreadableTable(
                    f"{path} holds {kind} in the column {mapping[column]!r}. Write a row for each line of an invoice."
                )
        self.path = path
        self.unread = [name for name in fields if name not in mapping.values()]

    def count_lines(self) -> int:
        """Number of lines, from the metadata alone."""
        metadata = self.file.metadata
        paths = [metadata.schema.column(index).path for index in range(metadata.num_columns)]
        nested = (index for index, path in enumerate(paths) if path.startswith(f"{self.lines}."))
        index = next(nested, None)
        if index is None:
            return metadata.num_rows
        return sum(metadata.row_group(group).column(index).num_values for group in range(metadata.num_row_groups))

    def has_missing(self, column: str) -> bool:
        """Whether the metadata does not exclude that a column of the invoices has missing values."""
        metadata = self.file.metadata
        paths = [metadata.schema.column(index).path for index in range(metadata.num_columns)]
        if self.names[column] not in paths:
            return True
        index = paths.index(self.names[column])
        statistics = [metadata.row_group(group).column(index).statistics for group in range(metadata.num_row_groups)]
        return any(each is None or each.null_count is None or each.null_count for each in statistics)

    def is_empty(self, column: str) -> bool:
        """Whether the metadata shows that a column of the invoices has no value."""
        metadata = self.file.metadata
        paths = [metadata.schema.column(index).path for index in range(metadata.num_columns)]
        if self.names.get(column) not in paths:
            return False
        index = paths.index(self.names[column])
        groups = [metadata.row_group(group).column(index) for group in range(metadata.num_row_groups)]
        return all(each.statistics is not None and each.statistics.null_count == each.num_values for each in groups)

    def has_pointed_codes(self) -> bool:
        """Whether a code is text such as ``22613.0``, or has the mark of spreadsheets, as ``'22613``."""
        names = [
            self.names[column]
            for column in (columns.INVOICE_NO, columns.STOCK_CODE)
            if column in self.types and self.names[column] in self._invoice_columns and _is_text(self.types[column])
        ]
        batches = self.file.iter_batches(columns=names) if names else []
        return any(
            pc.any(pc.match_substring_regex(_as_text(batch[name]), r"^\s*(?:'|-?[0-9]+(?:\.0+|,00?)\s*$)")).as_py()
            for batch in batches
            for name in names
        )

    def has_events(self) -> bool:
        """Whether a column that is not read holds purchases among views, carts and the like."""
        fields = self.file.schema_arrow
        texts = [name for name in self.unread if name in fields.names and _is_text(fields.field(name).type)]
        for name in texts:
            values: set[str] = set()
            for batch in self.file.iter_batches(BATCH_ROWS, columns=[name]):
                values |= set(pc.unique(_as_text(batch[name])).drop_null().to_pylist())
                if len(values) > MAX_TYPES:
                    break
            if are_events(values):
                return True
        return False

    def orders(self) -> Iterator[tuple[pd.Series, pd.Series]] | None:
        """Invoice numbers and customers of all rows in batches; None where a row is an invoice or one is not there."""
        names = [self.names.get(column) for column in (columns.INVOICE_NO, columns.CUSTOMER_ID)]
        known = [name for name in names if name is not None and name in self._invoice_columns]
        if self.lines is not None or len(known) < 2:
            return None
        frames = (
            _to_pandas(pa.Table.from_batches([batch])) for batch in self.file.iter_batches(BATCH_ROWS, columns=known)
        )
        return ((frame[known[0]], frame[known[1]]) for frame in frames)

    def to_lines(self, table: pa.Table) -> pd.DataFrame:
        """A row a line, with all columns; bytes are text, and an index of pandas is a column."""
        if self.lists:
            return self._lists_to_lines(table.combine_chunks())
        if self.lines is None:
            return _to_pandas(table)
        table = table.combine_chunks()
        lines = table[self.lines].combine_chunks()
        frame = _to_pandas(table.select(self._invoice_columns).take(pc.list_parent_indices(lines)))
        structs: Any = pc.list_flatten(lines)
        return pd.concat([frame, _to_pandas(pa.Table.from_struct_array(structs))[self._line_columns]], axis=1)

    def _lists_to_lines(self, table: pa.Table) -> pd.DataFrame:
        """A row a line of a table with a row an invoice, whose codes, quantities or prices are lists of one length."""
        lists = {name: table[name].combine_chunks() for name in self.lists}
        lengths = {name: pc.fill_null(pc.list_value_length(each), 0) for name, each in lists.items()}
        first = self.lists[0]
        for name, each in lengths.items():
            if not each.equals(lengths[first]):
                raise UnreadableTable(
                    f"{self.path} has lists of other lengths in {name!r} than in {first!r}. Write a row for each line."
                )
        others = [name for name in table.column_names if name not in lists]
        frame = _to_pandas(table.select(others).take(pc.list_parent_indices(lists[first])))
        values = pa.table({name: pc.list_flatten(each) for name, each in lists.items()})
        return pd.concat([frame, _to_pandas(values)], axis=1)


def _find_lines(schema: pa.Schema) -> str | None:
    """The column of lists of lines: ``LINES``, else the only one whose lines name an item."""
    found = [field.name for field in schema if _is_list_of_structs(field.type)]
    if LINES in found:
        return LINES
    items = {columns.STOCK_CODE, columns.DESCRIPTION}
    named = [
        name
        for name in found
        if not items.isdisjoint(columns.map_columns(field.name for field in schema.field(name).type.value_type))
    ]
    return named[0] if len(named) == 1 else None


def _item_type(kind: pa.DataType) -> pa.DataType | None:
    """The type of the items of a list; None for another type."""
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return cast("pa.ListType[Any]", kind).value_type if is_list else None


def _is_list(kind: pa.DataType) -> bool:
    """Whether a type is that of lists of simple values."""
    item = _item_type(kind)
    return item is not None and not pa.types.is_nested(item)


def _is_list_of_structs(kind: pa.DataType) -> bool:
    item = _item_type(kind)
    return item is not None and pa.types.is_struct(item)


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    return text or _is_bytes(kind)


def _is_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_bytes(kind.value_type)
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
        or pa.types.is_binary_view(kind)
    )


def _as_text(column: Any) -> Any:
    """A column of text as ``large_string``; bytes that are no UTF-8 are Windows-1252."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if not _is_bytes(column.type):
        return column.cast(pa.large_string())
    try:
        return column.cast(pa.large_binary()).cast(pa.large_string())
    except pa.ArrowInvalid:
        texts = [None if cell is None else decode_windows_1252(cell) for cell in column.to_pylist()]
        return pa.chunked_array([pa.array(texts, pa.large_string())])


def _to_pandas(table: pa.Table) -> pd.DataFrame:
    for index, field in enumerate(table.schema):
        if _is_bytes(field.type):
            table = table.set_column(index, field.name, _as_text(table[index]))
    frame: pd.DataFrame = table.to_pandas(ignore_metadata=True)
    return frame


def read_parquet(path: Path) -> RawTable:
    """Read a Parquet file with a row a line, or with a row an invoice and its lines as a list.

    Raises:
        UnreadableTable: The file is damaged or no table.
        MissingColumns: A needed column is missing.
    """
    with refuse_damaged(path, pa.ArrowException):
        parquet = _ParquetFile(path)
        return RawTable(parquet.to_lines(parquet.file.read(columns=parquet.columns)))


def read_columns(path: Path) -> RawTable:
    """Read a Parquet file of any columns that are no lists.

    Raises:
        UnreadableTable: The file is damaged or no table.
    """
    with refuse_damaged(path, pa.ArrowException):
        file = pq.ParquetFile(path, page_checksum_verification=True)
        return RawTable(_to_pandas(file.read()))


def read_batches(paths: Sequence[Path]) -> tuple[int, Iterator[RawTable]] | None:
    """The number of lines of a table in Parquet files, and the lines in batches of ``BATCH_ROWS`` rows, file by file.

    None where the whole table decides how it is read: dates or numbers are text, dates are missing (rows of an order
    may have that of its first row), codes are written as 22613.0, there are numbers of lines or types of events, or
    files differ in their columns.

    Args:
        paths: At least one; one file is open at a time.

    Raises:
        UnreadableTable: A file is damaged or no table.
        MissingColumns: A needed column is missing.
    """
    rows = 0
    schema = None
    gaps = False
    for path in paths:
        with refuse_damaged(path, pa.ArrowException):
            parquet = _ParquetFile(path)
            if schema is not None and not parquet.file.schema_arrow.equals(schema):
                return None
            schema = parquet.file.schema_arrow
            if not parquet.file.metadata.num_rows:
                continue
            if not _can_be_split(parquet):
                return None
            rows += parquet.count_lines()
            gaps |= parquet.has_missing(columns.CUSTOMER_ID)
    if gaps and _name_customers_once(paths):
        return None

    def batches() -> Iterator[RawTable]:
        for path in paths:
            with refuse_damaged(path, pa.ArrowException):
                parquet = _ParquetFile(path)
                size = BATCH_ROWS // (1 if parquet.lines is None else _LINES_PER_INVOICE)
                for batch in parquet.file.iter_batches(size, columns=parquet.columns):
                    yield RawTable(parquet.to_lines(pa.Table.from_batches([batch])))

    return rows, batches()


def _can_be_split(parquet: _ParquetFile) -> bool:
    """Whether a file may be read in batches, but for customers that only the first row of an order has."""
    date = parquet.types[columns.INVOICE_DATE]
    numbers = [parquet.types[name] for name in (columns.QUANTITY, columns.UNIT_PRICE) if name in parquet.types]
    if not pa.types.is_temporal(date) or not all(
        pa.types.is_integer(number) or pa.types.is_floating(number) for number in numbers
    ):
        return False
    line_id = parquet.names.get(columns.LINE_ID)
    return not (
        parquet.lists
        or (line_id is not None and not columns.is_standard_name(line_id))
        or columns.find_event_columns(parquet.unread)
        or parquet.has_events()
        or columns.find_mark_columns(parquet.unread)
        or columns.find_time_column(parquet.unread)
        or parquet.is_empty(columns.STOCK_CODE)
        or parquet.has_missing(columns.INVOICE_DATE)
        or parquet.has_pointed_codes()
    )


def _name_customers_once(paths: Sequence[Path]) -> bool:
    """Whether later rows of orders lack the customer and none has one: the first rows may name them all."""
    orders = OrderCustomers()
    for path in paths:
        with refuse_damaged(path, pa.ArrowException):
            found = _ParquetFile(path).orders()
            if found is None:
                return False
            for number, customer in found:
                orders.add(number, customer, np.zeros(len(number), dtype=bool))
                if orders.named_later:
                    return False
    return orders.lacking_later
