"""What rows of a table mean together: rows of one order, numbers of lines, times of day."""

import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from state.events.missing import is_missing
from training.data import columns
from training.data.assumption import Assumption, of_column, of_columns
from training.data.distinct import map_distinct, where_distinct

_TOTALS = re.compile(r"(?:grand |sub)?totals?:?|sums?:?|summe:?|gesamt:?|insgesamt:?|totaal:?|razem:?", re.IGNORECASE)
_DAY = re.compile(r"[0-9]{1,4}[-/.][0-9]{1,2}[-/.][0-9]{2,4}\.?|(?:19|20)[0-9]{6}|[^:]*[^\W\d_]{3}[^:]*")
"""A date without a time of day."""
_TIME_OF_DAY = re.compile(r"[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?(?: ?[AaPp]\.?[Mm]\.?)?")


def total_rows(frame: pd.DataFrame, mapping: dict[str, str]) -> tuple[pd.Series, list[Assumption]]:
    """Which rows are totals, by a word such as Total as invoice number, stock code or customer."""
    totals = pd.Series(False, index=frame.index)
    examples = []
    item = columns.STOCK_CODE if columns.STOCK_CODE in mapping else columns.DESCRIPTION
    for column in (columns.INVOICE_NO, item, columns.CUSTOMER_ID):
        cells = frame[mapping[column]] if column in mapping else None
        if cells is not None and not pd.api.types.is_numeric_dtype(cells.dtype):
            found = where_distinct(cells, _is_total)
            examples += cells[found].iloc[:1].tolist()
            totals |= found
    if not examples:
        return totals, []
    what = "rows of totals are left out"
    return totals, [Assumption("rows", what, "give what is none another code", examples[0].strip(), int(totals.sum()))]


def _is_total(cell: object) -> bool:
    return isinstance(cell, str) and _TOTALS.fullmatch(cell.strip()) is not None


def fill_down(frame: pd.DataFrame, mapping: dict[str, str]) -> tuple[pd.DataFrame, Assumption | None]:
    """Rows with the order's number, customer and date of the first row of their order, where that alone has them.

    A row belongs to the order of the row above if it has the same number, or none, and neither another customer nor
    another date. One with a date is filled only where no order names its customer in a later row.

    Args:
        frame: Rows in the order of the file.
        mapping: The columns that are read, by name in the frame.
    """
    date = mapping[columns.INVOICE_DATE]
    customer = mapping[columns.CUSTOMER_ID]
    orders = OrderRows()
    rows = orders.add(frame, mapping)
    continues = rows.always if orders.named_later else rows.always | rows.unless_named_later
    if not continues.any():
        return frame, None
    dateless = _is_empty(frame[date])
    order = np.cumsum(~continues)
    filled = frame.copy(deep=False)
    names = [
        mapping[column]
        for column in (columns.INVOICE_NO, columns.CUSTOMER_ID, columns.INVOICE_DATE, columns.COUNTRY)
        if column in mapping
    ]
    changed = np.zeros(len(frame), dtype=bool)
    for name in names:
        missing = _is_empty(frame[name])
        first = frame[name].where(~missing, None).groupby(order).ffill()
        target = continues & missing & first.notna().to_numpy()
        if name == customer:
            # A later row with another date is another sale; without a customer it is anonymous.
            first_date = frame[date].groupby(order).transform("first")
            target &= dateless | (frame[date] == first_date).fillna(False).to_numpy(dtype=bool)
        if target.any():
            filled[name] = frame[name].astype(object).where(~target, first.astype(object))
            changed |= target
    if not changed.any():
        return frame, None
    what = "a gap is filled with what the first row of the order has"
    return filled, Assumption(of_columns(names), what, "write them in every row", rows=int(changed.sum()))


class ContinuingRows(NamedTuple):
    """Rows that continue the order of the row above and lack what its first row has.

    Attributes:
        always: Those that do in any table.
        unless_named_later: Those that do only where no order names its customer in a later row with a date.
    """

    always: NDArray[np.bool_]
    unless_named_later: NDArray[np.bool_]


class OrderRows:
    """Which rows continue the order of the row above, over batches of a table in the order of the file.

    Attributes:
        named_later: Whether a later row of an order, one with a date, has a customer.
        always: Whether there are such rows as ``ContinuingRows.always``.
        unless_named_later: Whether there are such rows as ``ContinuingRows.unless_named_later``.
    """

    def __init__(self) -> None:
        """Start before the first row."""
        self.named_later = False
        self.always = False
        self.unless_named_later = False
        self._begun = False
        self._last: dict[str, Any] = {}

    @property
    def may_be_filled(self) -> bool:
        """Whether ``fill_down`` may fill gaps of the table."""
        return self.always or (self.unless_named_later and not self.named_later)

    def add(self, frame: pd.DataFrame, mapping: Mapping[str, str]) -> ContinuingRows:
        """Add rows.

        Args:
            frame: Rows with a column for customer and date at least; rows of a table without items have one each.
            mapping: The columns that are read, by name in the frame.
        """
        date, customer = mapping[columns.INVOICE_DATE], mapping[columns.CUSTOMER_ID]
        number = mapping.get(columns.INVOICE_NO)
        item = mapping.get(columns.STOCK_CODE) or mapping.get(columns.DESCRIPTION)
        without_customer, dateless = _is_empty(frame[customer]), _is_empty(frame[date])
        without_number = _is_empty(frame[number]) if number is not None else np.ones(len(frame), dtype=bool)
        repeats = np.zeros(len(frame), dtype=bool)
        same = np.zeros(len(frame), dtype=bool)
        if number is not None:
            # Only the number is on the first row: customer and date are those of the row above.
            repeats = without_number & ~without_customer & self._as_above(frame[customer], without_customer)
            repeats &= dateless | self._as_above(frame[date], dateless)
            same = self._as_above(frame[number].astype("str"), without_number)
            self.named_later |= bool((same & ~dateless & ~without_customer).any())
        always = repeats | (dateless & (same | (without_number & without_customer)))
        unless_named_later = same & ~dateless & without_customer
        found = always | unless_named_later
        if found.any():
            found &= ~_totals_among(frame, mapping)
            if item is not None:
                found &= ~_is_empty(frame[item])
        if len(frame) and not self._begun:
            found[0] = False
            self._begun = True
        rows = ContinuingRows(always & found, unless_named_later & found & ~always)
        self.always |= bool(rows.always.any())
        self.unless_named_later |= bool(rows.unless_named_later.any())
        return rows

    def _as_above(self, column: pd.Series, empty: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Whether a cell is that of the last row above that has one."""
        name = str(column.name)
        given = column[~empty]
        as_above = np.zeros(len(column), dtype=bool)
        if len(given):
            above = given.shift()
            equal = np.array((given == above).fillna(False), dtype=bool)
            equal[0] = name in self._last and bool(given.iloc[0] == self._last[name])
            as_above[~empty] = equal
            self._last[name] = given.iloc[-1]
        return as_above


def _totals_among(frame: pd.DataFrame, mapping: Mapping[str, str]) -> NDArray[np.bool_]:
    """Rows with the word of a total in any column of text that is read."""
    found = np.zeros(len(frame), dtype=bool)
    for name in mapping.values():
        if frame[name].dtype == object or isinstance(frame[name].dtype, pd.StringDtype):
            found |= where_distinct(frame[name], _is_total).to_numpy()
    return found


def _is_empty(column: pd.Series) -> np.ndarray:
    blank = where_distinct(column, lambda cell: isinstance(cell, str) and is_missing(cell))
    return (column.isna() | blank).to_numpy(dtype=bool)


def unique_line_ids(frame: pd.DataFrame, name: str) -> Assumption | None:
    """Make the numbers of lines, a foreign column, identities within an invoice; return how they are read.

    A number that stands in one invoice with several contents, such as the pieces of each item, is joined with the
    content.
    """
    given = frame[columns.LINE_ID].notna()
    if not given.any():
        return None
    key = [columns.CUSTOMER_ID, columns.INVOICE_NO, columns.LINE_ID]
    content = [columns.STOCK_CODE, columns.QUANTITY, columns.UNIT_PRICE]
    distinct = frame.loc[given, [*key, *content]].drop_duplicates()
    what = "it is the number of a line within its invoice: equal lines with different numbers all count"
    cure = "take out the column"
    if not distinct.duplicated(key).any():
        return Assumption(of_column(name), what, cure)
    text = frame[columns.LINE_ID].astype("str")
    for column in content:
        text = text + " " + frame[column].map(lambda value: f"{value:g}" if isinstance(value, float) else str(value))
    frame[columns.LINE_ID] = text.where(given, None).astype("str")
    what += "; it repeats within invoices, so it counts together with item, quantity and price"
    return Assumption(of_column(name), what, cure)


def unique_standard_line_ids(frame: pd.DataFrame) -> tuple[pd.DataFrame, Assumption | None]:
    """Join ids of lines with the item in invoices where one id stands for several items.

    On the wire a ``line_id`` is one line of its invoice; a table may number the pieces of each item instead.

    Args:
        frame: Typed rows, all of their customers.
    """
    key = [columns.CUSTOMER_ID, columns.INVOICE_NO, columns.LINE_ID]
    given = frame.loc[frame[columns.LINE_ID].notna(), [*key, columns.STOCK_CODE]].dropna().drop_duplicates()
    repeated = given.loc[given.duplicated(key), key[:2]].drop_duplicates()
    if repeated.empty:
        return frame, None
    invoices = pd.MultiIndex.from_frame(frame[key[:2]])
    rows = invoices.isin(pd.MultiIndex.from_frame(repeated)) & frame[columns.LINE_ID].notna().to_numpy()
    frame = frame.copy(deep=False)
    ids = frame[columns.LINE_ID].astype(object)
    ids[rows] = ids[rows] + " " + frame.loc[rows, columns.STOCK_CODE].astype(object)
    frame[columns.LINE_ID] = ids.astype("str")
    what = "it stands for several items of one invoice, so it counts together with the item"
    cure = "give each line of an invoice an id of its own"
    return frame, Assumption(of_column(columns.LINE_ID), what, cure, rows=int(rows.sum()))


def join_times(frame: pd.DataFrame, day: str, unread: Sequence[str]) -> tuple[pd.Series, Assumption | None]:
    """The cells of a column of days with the times of day that a column of its own has, where there is such.

    Args:
        frame: Rows of the file.
        day: Name of the column of days.
        unread: Names of the columns that may hold times.
    """
    name = columns.find_time_column(unread)
    days = frame[day]
    texts = None if name is None else _day_texts(days)
    if name is None or texts is None:
        return days, None
    times = map_distinct(frame[name], _time_text)
    blank = where_distinct(frame[name], lambda cell: isinstance(cell, str) and is_missing(cell))
    if times.isna().all() or not (times.notna() | frame[name].isna() | blank).all():
        return days, None
    both = texts.astype(object).where(texts.isna() | times.isna(), texts.astype(object) + " " + times)
    what = f"it is the time of day of {day}"
    return both, Assumption(of_column(name), what, "take out the column", rows=int(times.notna().sum()))


def _day_texts(cells: pd.Series) -> pd.Series | None:
    """Cells that are dates without a time of day, as text; None where some are not, or texts and dates are mixed."""
    if pd.api.types.is_datetime64_dtype(cells.dtype):
        cells = cells.astype(object)
    days = cells.dropna()
    if where_distinct(days, lambda cell: isinstance(cell, str) and _DAY.fullmatch(cell.strip()) is not None).all():
        return cells
    if where_distinct(
        days, lambda cell: isinstance(cell, date) and (not isinstance(cell, datetime) or cell.time() == time())
    ).all():
        return map_distinct(cells, lambda cell: f"{cell:%Y-%m-%d}")
    return None


def _time_text(cell: object) -> str | None:
    """A time of day as text; None where a cell is none."""
    if isinstance(cell, time):
        return f"{cell:%H:%M:%S}"
    return cell.strip() if isinstance(cell, str) and _TIME_OF_DAY.fullmatch(cell.strip()) else None
