"""Parquet files. Only this reader needs pyarrow, which the core install lacks: import it where a file is Parquet."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from state.events.missing import is_missing
from training.data import columns
from training.data.errors import UnreadableTable
from training.data.tables.cells import CodeStyleBuilder
from training.data.tables.decisions import BatchedTable, Decisions, need_all_rows
from training.data.tables.encodings import decode_windows_1252
from training.data.tables.layout import OrderRows
from training.data.tables.raw_table import RawTable, refuse_damaged
from training.data.tables.row_types import MAX_TYPES, are_events

LINES = "lines"
"""Column of lists in a Parquet file whose rows are whole invoices, as on the wire."""

BATCH_ROWS = 50_000
"""Rows of a Parquet file that are in memory at once, where it is read in batches."""
_OF_ORDER = (columns.INVOICE_NO, columns.CUSTOMER_ID, columns.INVOICE_DATE)
_LINES_PER_INVOICE = 20
"""Of a Parquet file with a row an invoice: how many fewer rows a batch has."""
_MARKED = "'.*|[0-9]{1,3}(?:[,\u00a0\u202f\u2019'][0-9]{3})+|-?[0-9]+,00?"
_REWRITTEN = {
    True: re.compile(rf"\s*(?:{_MARKED})\s*"),
    False: re.compile(rf"\s*(?:{_MARKED}|-?[0-9]+\.0+)\s*"),
}
"""Codes that ``parse_codes`` may rewrite, depending on the other codes: of customers, and others."""


_INTEGERS: dict[pa.DataType, Any] = {
    pa.int8(): pd.Int8Dtype(),
    pa.int16(): pd.Int16Dtype(),
    pa.int32(): pd.Int32Dtype(),
    pa.int64(): pd.Int64Dtype(),
    pa.uint8(): pd.UInt8Dtype(),
    pa.uint16(): pd.UInt16Dtype(),
    pa.uint32(): pd.UInt32Dtype(),
    pa.uint64(): pd.UInt64Dtype(),
}


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
        self._unread_types = {name: fields[name] for name in self.unread}

    def count_lines(self) -> int:
        """Number of lines, from the metadata alone."""
        metadata = self.file.metadata
        paths = [metadata.schema.column(index).path for index in range(metadata.num_columns)]
        nested = (index for index, path in enumerate(paths) if path.startswith(f"{self.lines}."))
        index = next(nested, None)
        if index is None:
            return metadata.num_rows
        return sum(metadata.row_group(group).column(index).num_values for group in range(metadata.num_row_groups))

    def has_gaps(self, column: str) -> bool:
        """Whether a column may have missing values or words for them; False where the file lacks the column."""
        name = self.names.get(column)
        if name is None:
            return False
        if self.has_missing(column):
            return True
        if pa.types.is_floating(self.types[column]):
            return any(pc.any(pc.is_nan(cells)).as_py() for cells in self._cells(name))
        return _is_text(self.types[column]) and any(
            is_missing(text) for texts in self._distinct_texts(name) for text in texts
        )

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
        """Whether a column has no value, as far as the metadata shows it, or not-a-number in all rows."""
        if column in self.names and pa.types.is_floating(self.types[column]):
            cells_are_missing = (pc.is_null(cells, nan_is_null=True) for cells in self._cells(self.names[column]))
            return all(pc.all(missing).as_py() is not False for missing in cells_are_missing)
        metadata = self.file.metadata
        paths = [metadata.schema.column(index).path for index in range(metadata.num_columns)]
        if self.names.get(column) not in paths:
            return False
        index = paths.index(self.names[column])
        groups = [metadata.row_group(group).column(index) for group in range(metadata.num_row_groups)]
        return all(each.statistics is not None and each.statistics.null_count == each.num_values for each in groups)

    def add_codes(self, styles: Mapping[str, CodeStyleBuilder]) -> bool:
        """Add the codes that are text to the styles of their columns.

        Returns:
            Whether one is such as ``22613.0``, ``22,613`` or ``'22613``, the mark of spreadsheets; the rest is
            not read.
        """
        for column, style in styles.items():
            if column not in self.types or not _is_text(self.types[column]):
                continue
            rewritten = _REWRITTEN[column == columns.CUSTOMER_ID]
            for texts in self._distinct_texts(self.names[column]):
                if any(map(rewritten.fullmatch, texts)):
                    return True
                style.add(texts)
        return False

    def has_events(self) -> bool:
        """Whether a column that is not read holds purchases among views, carts and the like."""
        for name in self.unread:
            if _is_text(self._unread_types[name]):
                values: set[str] = set()
                for texts in self._distinct_texts(name):
                    values.update(texts[: MAX_TYPES + 1])
                    if len(values) > MAX_TYPES:
                        break
                if are_events(values):
                    return True
        return False

    def _distinct_texts(self, name: str) -> Iterator[list[str]]:
        """The texts of a column, each once a batch."""
        for cells in self._cells(name):
            yield pc.unique(_as_text(cells)).drop_null().to_pylist()

    def _cells(self, name: str) -> Iterator[Any]:
        """The cells of a column of invoices or lines, in batches."""
        column = name if self.lines is None or name in self._invoice_columns else self.lines
        for batch in self.file.iter_batches(BATCH_ROWS, columns=[column]):
            cells: Any = batch[column]
            yield cells if column == name else pc.struct_field(pc.list_flatten(cells), name)

    def order_rows(self) -> Iterator[pd.DataFrame]:
        """Invoice number, customer and date of all rows, in batches; a row may be an invoice."""
        known = [self.names[column] for column in _OF_ORDER if column in self.names]
        for batch in self.file.iter_batches(BATCH_ROWS, columns=known):
            yield _to_pandas(pa.Table.from_batches([batch]))

    def has_nested_orders(self) -> bool:
        """Whether invoice number, customer or date are within the lines."""
        return any(self.names.get(column) in self._line_columns for column in _OF_ORDER)

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
    """A column of text as ``large_string``; cells that are no UTF-8 are Windows-1252."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if not _is_bytes(column.type):
        return column.cast(pa.large_string())
    try:
        return column.cast(pa.large_binary()).cast(pa.large_string())
    except pa.ArrowInvalid:  # cell by cell, so that it does not depend on the other rows
        texts = [None if cell is None else _decode(cell) for cell in column.to_pylist()]
        return pa.chunked_array([pa.array(texts, pa.large_string())])


def _decode(cell: bytes) -> str:
    try:
        return cell.decode()
    except UnicodeDecodeError:
        return decode_windows_1252(cell)


def _is_integer(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind))


def _to_pandas(table: pa.Table) -> pd.DataFrame:
    for index, field in enumerate(table.schema):
        if _is_bytes(field.type):
            table = table.set_column(index, field.name, _as_text(table[index]))
    gaps = any(_is_integer(column.type) and column.null_count for column in table.columns)
    # Without gaps pandas has integers, with gaps floats: a batch with some would be read otherwise than one without.
    frame: pd.DataFrame = table.to_pandas(ignore_metadata=True, types_mapper=_INTEGERS.get if gaps else None)
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


def count_rows(path: Path) -> int:
    """Number of rows of a file, from its metadata alone.

    Raises:
        UnreadableTable: The file is damaged.
    """
    with refuse_damaged(path, pa.ArrowException):
        return pq.read_metadata(path).num_rows


def read_columns(path: Path) -> RawTable:
    """Read a Parquet file of any columns that are no lists.

    Raises:
        UnreadableTable: The file is damaged or no table.
    """
    with refuse_damaged(path, pa.ArrowException):
        file = pq.ParquetFile(path, page_checksum_verification=True)
        return RawTable(_to_pandas(file.read()))


def read_batches(paths: Sequence[Path]) -> BatchedTable | None:
    """A table in Parquet files, in batches of ``BATCH_ROWS`` rows, file by file.

    None where the whole table decides how it is read: dates or numbers are text, dates are missing, only the first row
    of an order has its number or customer, codes are written as 22613.0 or 22,613, there are numbers of lines or types
    of events, or files differ in their columns.

    Args:
        paths: At least one; one file is open at a time.

    Raises:
        UnreadableTable: A file is damaged or no table.
        MissingColumns: A needed column is missing.
    """
    rows = 0
    styles = {column: CodeStyleBuilder() for column in columns.CODES}
    schema = None
    numbers = customers = False
    for path in paths:
        with refuse_damaged(path, pa.ArrowException):
            parquet = _ParquetFile(path)
            if schema is not None and not parquet.file.schema_arrow.equals(schema):
                return None
            schema = parquet.file.schema_arrow
            if not parquet.file.metadata.num_rows:
                continue
            if not _can_be_split(parquet) or parquet.add_codes(styles):
                return None
            rows += parquet.count_lines()
            numbers |= parquet.has_gaps(columns.INVOICE_NO)
            customers |= parquet.has_gaps(columns.CUSTOMER_ID)
    if (numbers or customers) and _fills_gaps(paths, customers_only=not numbers):
        return None

    def batches() -> Iterator[RawTable]:
        for path in paths:
            with refuse_damaged(path, pa.ArrowException):
                parquet = _ParquetFile(path)
                size = BATCH_ROWS // (1 if parquet.lines is None else _LINES_PER_INVOICE)
                for batch in parquet.file.iter_batches(size, columns=parquet.columns):
                    yield RawTable(parquet.to_lines(pa.Table.from_batches([batch])))

    codes = {column: style.build() for column, style in styles.items() if style.given}
    return BatchedTable(rows, batches(), Decisions(codes=codes))


def _can_be_split(parquet: _ParquetFile) -> bool:
    """Whether a file may be read in batches, but for what only the first row of an order has."""
    date = parquet.types[columns.INVOICE_DATE]
    numbers = [parquet.types[name] for name in (columns.QUANTITY, columns.UNIT_PRICE) if name in parquet.types]
    if not pa.types.is_temporal(date) or not all(
        pa.types.is_integer(number) or pa.types.is_floating(number) for number in numbers
    ):
        return False
    return not (
        parquet.lists
        or need_all_rows([*parquet.names.values(), *parquet.unread], parquet.names)
        or parquet.has_events()
        or parquet.is_empty(columns.STOCK_CODE)
        or parquet.has_missing(columns.INVOICE_DATE)
    )


def _fills_gaps(paths: Sequence[Path], *, customers_only: bool) -> bool:
    """Whether rows of orders may lack what their first row has; ``customers_only`` where nothing else is missing."""
    orders = OrderRows()
    for path in paths:
        with refuse_damaged(path, pa.ArrowException):
            parquet = _ParquetFile(path)
            if parquet.has_nested_orders():
                return True
            mapping = {column: parquet.names[column] for column in _OF_ORDER if column in parquet.names}
            for rows in parquet.order_rows():
                orders.add(rows, mapping)
                if orders.always:
                    return True
                if customers_only and orders.named_later:
                    return False
    return orders.may_be_filled
