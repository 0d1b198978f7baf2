"""Checksum: a hash of a table's content, whatever file it was read from and whatever the order of its rows.

UCI publishes no hash of its archive, and an archive may be packed anew with the same content. So the table is checked.
"""

import hashlib

from state.events.invoice import THOUSAND
from training.data import columns
from training.data.distinct import map_distinct
from training.data.tables.invoice_table import InvoiceTable

UCI_ONLINE_RETAIL = "643db8dfbe2cb983b78e35b346224f3db21d5f4402eb070451e1676b888824eb"
"""``checksum`` of UCI Online Retail (dataset 352, doi 10.24432/C5BW33, 541,909 rows),
the same for a Parquet copy of the published workbook and for a workbook of the same rows, shuffled."""


def checksum(table: InvoiceTable) -> str:
    """The SHA-256 of a table's content.

    Each row becomes one line of UTF-8 with its fields between tabs: invoice number, stock code, description (runs of
    white space as one space, none at the ends), quantity in thousandths, date as written in the table's zone (ISO
    8601, to the second), unit price in thousandths, customer, country; a missing value is empty. The lines are sorted
    by their bytes, joined by newlines and hashed.
    """
    frame = table.frame
    dates = frame[columns.INVOICE_DATE].dt.tz_convert(table.timezone).dt.tz_localize(None)
    fields = [
        map_distinct(frame[columns.INVOICE_NO], str),
        map_distinct(frame[columns.STOCK_CODE], str),
        map_distinct(frame[columns.DESCRIPTION], lambda text: " ".join(text.split())),
        map_distinct(frame[columns.QUANTITY], _thousandths),
        map_distinct(dates, lambda date: date.isoformat(timespec="seconds")),
        map_distinct(frame[columns.UNIT_PRICE], _thousandths),
        map_distinct(frame[columns.CUSTOMER_ID], str),
        map_distinct(frame[columns.COUNTRY], str),
    ]
    texts = ([text or "" for text in field] for field in fields)
    lines = sorted("\t".join(row).encode() for row in zip(*texts, strict=True))
    return hashlib.sha256(b"\n".join(lines)).hexdigest()


def _thousandths(number: float) -> str:
    return str(round(number * THOUSAND))
