"""UCI Online Retail, read and cleaned once for all tests of this folder; without NEXTBASKET_DATA they are skipped."""

import os
from pathlib import Path

import pytest

from state.events.invoice import Invoice
from state.settings import Settings
from training.data.cleaning.clean import CleanedLines, clean
from training.data.cleaning.invoices import invoices
from training.data.tables.invoice_table import InvoiceTable, load


@pytest.fixture(scope="session")
def path() -> Path:
    if not (path := os.environ.get("NEXTBASKET_DATA")):
        pytest.skip("NEXTBASKET_DATA names no table of UCI Online Retail")
    return Path(path)


@pytest.fixture(scope="session")
def table(path: Path) -> InvoiceTable:
    return load(path)


@pytest.fixture(scope="session")
def cleaned(table: InvoiceTable) -> CleanedLines:
    return clean(table, Settings())


@pytest.fixture(scope="session")
def log(cleaned: CleanedLines) -> list[Invoice]:
    return invoices(cleaned)
