"""Checksum: a fingerprint of what a table says, whatever file it was read from and in whatever order its rows stand.

UCI publishes no hash of its archive, and an archive may be packed anew without a change of its content. So what is
checked is the table itself.
"""

import hashlib

import pandas as pd

from state.invoice import THOUSAND
from training.data import columns
from training.data.datasets import Table

UCI_ONLINE_RETAIL = ""
"""Of UCI Online Retail (dataset 352, 541,909 rows). Computed from a Parquet copy of the published workbook by
``NEXTBASKET_DATA=… python -m training.data.checksum``."""


def checksum(table: Table) -> str:
    """The SHA-256 of a table's content.

    Each row becomes one line of UTF-8 with its fields between tabs: invoice number, stock code, description (runs of white
    space as one space, none at the ends), quantity in thousandths, date as written in the table's zone (ISO 8601, to the
    second), unit price in thousandths, customer, country; a missing value is empty. The lines are sorted by their bytes,
    joined by newlines and hashed.
    """
    frame = table.frame
    dates = frame[columns.INVOICE_DATE].dt.tz_convert(table.timezone)
    fields = [
        frame[columns.INVOICE_NO],
        frame[columns.STOCK_CODE],
        frame[columns.DESCRIPTION].str.split().str.join(" "),
        _thousandths(frame[columns.QUANTITY]),
        dates.dt.strftime("%Y-%m-%dT%H:%M:%S"),
        _thousandths(frame[columns.UNIT_PRICE]),
        frame[columns.CUSTOMER_ID],
        frame[columns.COUNTRY],
    ]
    texts = (field.astype(object).where(field.notna(), "").tolist() for field in fields)
    lines = sorted("\t".join(row).encode() for row in zip(*texts, strict=True))
    return hashlib.sha256(b"\n".join(lines)).hexdigest()


def _thousandths(numbers: pd.Series) -> pd.Series:
    return (numbers * THOUSAND).round().astype("Int64").astype("str")
