"""What only a whole table decides about how its cells are read, found by a first pass over its batches."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import pandas as pd

from training.data import columns
from training.data.distinct import distinct_values
from training.data.tables.cells import CodeStyle, CodeStyleBuilder
from training.data.tables.date_cells import DateOrder
from training.data.tables.dates import DateOrderBuilder, FoundOrder
from training.data.tables.layout import OrderRows, total_rows
from training.data.tables.numbers import FoundMark, find_decimal_mark
from training.data.tables.raw_table import RawTable
from training.data.tables.row_types import MAX_TYPES, are_events

_NUMBERS = (columns.QUANTITY, columns.UNIT_PRICE)
_MAX_NUMBERS = 1_000_000
"""Different numbers of a table; with more the table is read at once."""


class Decisions(NamedTuple):
    """How the cells of a table are read.

    Attributes:
        mark: The decimal mark of its numbers.
        order: What comes first in its dates.
        codes: The style of the codes of a column.
    """

    mark: FoundMark = FoundMark(None)
    order: FoundOrder = FoundOrder("day")
    codes: Mapping[str, CodeStyle] = {}


class BatchedTable(NamedTuple):
    """A table in batches: the number of its rows, the batches, and what all of them decide."""

    rows: int
    batches: Iterator[RawTable]
    decisions: Decisions


def default_date_order(mapping: Mapping[str, str]) -> DateOrder | None:
    """What comes first in dates that do not show it: the month in tables with the columns of the wire."""
    return "month" if columns.is_standard_name(mapping.get(columns.STOCK_CODE, "")) else None


def need_all_rows(names: list[str], mapping: Mapping[str, str]) -> bool:
    """Whether columns have names of such as are understood by all rows: types of events, marks, times, line numbers.

    Args:
        names: Of all columns.
        mapping: The columns that are read, by name.
    """
    unread = [name for name in names if name not in mapping.values()]
    line_id = mapping.get(columns.LINE_ID)
    return bool(
        columns.find_event_columns(unread)
        or columns.find_mark_columns(unread)
        or columns.find_time_column(unread)
        or (line_id is not None and not columns.is_standard_name(line_id))
    )


class DecisionBuilder:
    """Finds the decisions on a table whose cells are text."""

    def __init__(self, names: list[str], timezone: str, date_format: str, decimal_mark: str) -> None:
        """Start before the first batch.

        Args:
            names: Of all columns, as the readers of files name them.
            timezone: Zone of dates that name none.
            date_format: How dates are written (``dates.parse_dates``); empty: it is found out.
            decimal_mark: ``.`` or ``,`` of all numbers; empty: it is found out.
        """
        self.rows = 0
        self._mapping = columns.require_columns(names)
        self._mark = decimal_mark
        self._orders = OrderRows()
        date = self._mapping[columns.INVOICE_DATE]
        self._dates = DateOrderBuilder(date, timezone, default_date_order(self._mapping), date_format)
        self._codes = {column: CodeStyleBuilder() for column in columns.CODES if column in self._mapping}
        # Texts in the order of their first rows.
        self._numbers: dict[str, dict[str, None]] = {
            self._mapping[column]: {} for column in _NUMBERS if column in self._mapping
        }
        unread = (name for name in names if name not in self._mapping.values() and not columns.numbers_rows(name))
        self._types: dict[str, dict[str, None]] = {name: {} for name in unread}

    def add(self, frame: pd.DataFrame) -> bool:
        """Add rows of text; whether the table may still be read in batches."""
        self.rows += len(frame)
        self._orders.add(frame, self._mapping)
        totals, found = total_rows(frame, self._mapping)
        frame = frame[~totals] if found else frame
        self._dates.add(distinct_values(frame[self._mapping[columns.INVOICE_DATE]]))
        for column, style in self._codes.items():
            style.add(distinct_values(frame[self._mapping[column]]))
        for name, numbers in self._numbers.items():
            numbers.update(dict.fromkeys(distinct_values(frame[name])))
        for name, types in self._types.items():
            if len(types) <= MAX_TYPES:
                types.update(dict.fromkeys(distinct_values(frame[name])[: MAX_TYPES + 1]))
        return not self._orders.always and max(map(len, self._numbers.values()), default=0) <= _MAX_NUMBERS

    def build(self) -> Decisions | None:
        """The decisions; None where more than these depends on all rows.

        Raises:
            UnclearDates: How the dates are written cannot be found out.
            UnclearNumbers: Which mark is the decimal one cannot be found out.
        """
        if self._orders.may_be_filled or any(are_events([*types][: MAX_TYPES + 1]) for types in self._types.values()):
            return None
        item = self._codes.get(columns.STOCK_CODE)
        order = self._dates.build()
        if order is None or (item is not None and not item.given):
            return None
        numbers = {name: pd.Series([*texts], dtype="str") for name, texts in self._numbers.items()}
        codes = {column: style.build() for column, style in self._codes.items()}
        return Decisions(find_decimal_mark(numbers, self._mark), order, codes)
