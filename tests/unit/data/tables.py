"""Small raw tables for the tests."""

from datetime import UTC, datetime
from typing import Any

import pandas as pd

from training.data.columns import UCI
from training.data.tables.invoice_table import InvoiceTable, from_frame

DATE = "2011-12-09T12:50:00Z"
SECONDS = int(datetime(2011, 12, 9, 12, 50, tzinfo=UTC).timestamp())

LINE: dict[str, Any] = {
    "InvoiceNo": "581587",
    "StockCode": "22613",
    "Description": "PACK OF 20 SPACEBOY NAPKINS",
    "Quantity": 12,
    "InvoiceDate": DATE,
    "UnitPrice": 0.85,
    "CustomerID": 12680.0,
    "Country": "France",
}
"""A good line in UCI's columns."""


def frame(*rows: dict[str, Any]) -> pd.DataFrame:
    """Rows in UCI's columns: ``LINE`` with changes."""
    lines = [LINE | row for row in rows]
    names = [*UCI, *(name for name in dict.fromkeys(name for line in lines for name in line) if name not in UCI)]
    return pd.DataFrame({name: pd.Series([line.get(name) for line in lines], dtype=object) for name in names})


def table(*rows: dict[str, Any], timezone: str = "UTC") -> InvoiceTable:
    """A raw table of ``LINE`` with changes."""
    return from_frame(frame(*rows), timezone=timezone)
