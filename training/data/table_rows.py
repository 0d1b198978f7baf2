"""Table rows: the rows of a table as they are, in parts, each with its place in time order.

Replay and rebuild make events of them. Memory does not grow with a table that can be read in batches: it is split by
customer into parts, as for cleaning, because rows of one customer decide together which are one invoice.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from state.events.attributes import Attributes
from state.events.dates import FIRST
from state.events.shop_dialect import ShopDialect
from state.settings import Settings
from training import progress
from training.data import columns
from training.data.assumption import Assumption, Reading, merge_assumptions
from training.data.cleaning.clean import dialect_assumptions, shop_dialect_of
from training.data.cleaning.partition import PART_ROWS, partition_by_customer
from training.data.tables.invoice_table import InvoiceTable, TableBatches, separate_invoices

POSITION = "position"
"""Index of a row in the table, int64."""
SORT_DATE = "sort_date"
"""Seconds since 1970, int64: the date of a row, or else of the last row above with one; ``UNDATED`` without such."""
UNDATED = FIRST - 1
"""Before every date."""


class TableRows:
    """The rows of a table, and how it was read.

    Attributes:
        number: Rows read so far.
        dates: The first and the last date read so far, seconds since 1970; None where no row has one.
        customers: Attributes by customer id; only those of the retail case study have some.
        items: Attributes by stock code.
    """

    def __init__(self, batches: TableBatches, settings: Settings, part_rows: int = PART_ROWS) -> None:
        """Read nothing yet.

        Args:
            batches: The table.
            settings: The dialect, where it is set.
            part_rows: As ``rows`` of ``partition_by_customer``.
        """
        self.number = 0
        self.dates: tuple[int, int] | None = None
        attributes = batches.attributes
        self.customers: Mapping[str, Attributes] = {} if attributes is None else attributes.by_customer()
        self.items: Mapping[str, Attributes] = {} if attributes is None else attributes.by_item()
        self._batches = batches
        self._settings = settings
        self._part_rows = part_rows
        self._about_rows: tuple[Assumption, ...] = ()
        self._about_dialect: tuple[Assumption, ...] = ()
        self._dialect: ShopDialect | None = None
        self._timezone = ""

    def parts(self) -> Iterator[pd.DataFrame]:
        """Read the table: typed rows of ``invoice_table`` in parts, each in the order of the table.

        Each invoice number is one invoice of its customer. Further columns are ``date`` (seconds since 1970, float64,
        NaN for none), ``POSITION`` and ``SORT_DATE``. In one part are all rows of a customer, and all rows without a
        customer that have one invoice number and one ``SORT_DATE``.

        Raises:
            DataError: The table cannot be read.
        """
        progress.stage("reading")
        in_order = self._batches._replace(tables=self._in_order(self._batches.tables))
        parts = partition_by_customer(in_order, self._part_rows, anonymous_by=[columns.INVOICE_NO, SORT_DATE])
        given = 0
        for part in parts:
            if not given:
                progress.stage("sorting by date")
            # Rows that differ in another column are other lines, so their places are left out.
            places = part.frame[[POSITION, SORT_DATE]]
            rows = replace(part, frame=part.frame.drop(columns=[*places]))
            self._dialect = shop_dialect_of(rows, self._settings)
            self._timezone = rows.timezone
            rows = separate_invoices(rows, uci=self._dialect.name == "uci")
            self._about_rows = merge_assumptions([*self._about_rows, *rows.assumptions])
            self._about_dialect = dialect_assumptions(rows, self._settings)
            yield rows.frame.assign(date=_seconds(rows.frame), **places)
            given += len(places)
            progress.update(given, self.number)

    def _in_order(self, tables: Iterable[InvoiceTable]) -> Iterator[InvoiceTable]:
        """The batches with the places of their rows."""
        last = UNDATED
        for table in tables:
            dates = _seconds(table.frame)
            sort_dates = dates.ffill().fillna(last).astype("int64")
            last = int(sort_dates.iloc[-1]) if len(dates) else last
            given = dates.dropna()
            if len(given):
                first, latest = self.dates or (int(given.iloc[0]), int(given.iloc[0]))
                self.dates = min(first, int(given.min())), max(latest, int(given.max()))
            positions = np.arange(self.number, self.number + len(dates), dtype=np.int64)
            yield replace(table, frame=table.frame.assign(**{POSITION: positions}, **{SORT_DATE: sort_dates}))
            self.number += len(dates)
            progress.update(self.number, self._batches.rows)

    @property
    def dialect(self) -> ShopDialect:
        """The dialect of the rows; known when a part was read."""
        assert self._dialect is not None
        return self._dialect

    @property
    def reading(self) -> Reading:
        """How the table was read; complete when all parts were read."""
        return Reading(self.dialect.name, self._timezone, (*self._about_rows, *self._about_dialect))


def _seconds(frame: pd.DataFrame) -> pd.Series:
    """The date of each row in seconds since 1970, float64, NaN for none."""
    dates = frame[columns.INVOICE_DATE]
    seconds: pd.Series = dates.dt.as_unit("s").astype("int64").where(dates.notna(), np.nan)
    return seconds
