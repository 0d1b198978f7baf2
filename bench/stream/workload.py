"""Workload: the invoices of ``NEXTBASKET_DATA``, or simulated ones, as events of lines or of whole invoices."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from state.events.dates import to_iso
from state.events.invoice import THOUSAND, Invoice
from state.settings import Settings
from training.data.cleaning.clean import clean
from training.data.cleaning.invoices import invoices
from training.data.simulator import simulate
from training.data.tables.invoice_table import InvoiceTable, from_frame, load
from training.errors import TooLittleData

SIMULATED_CUSTOMERS = 4_000
"""As many invoices as UCI's table has: without a table the benches need most of them."""


@dataclass(frozen=True)
class Workload:
    """Invoices by time: ``stored`` in Redis at the start, or ``sent`` as events; ``source`` describes them."""

    source: str
    dialect: str
    stored: Sequence[Invoice]
    sent: Sequence[Invoice]


def table_of(settings: Settings) -> InvoiceTable:
    """The table of ``NEXTBASKET_DATA``, or a simulated one."""
    if settings.data is not None:
        return load(settings.data)
    return from_frame(simulate(seed=settings.seed, customers=SIMULATED_CUSTOMERS))


def workload(settings: Settings, *, stored: int, sent: int) -> Workload:
    """The last ``sent`` invoices of a table, and the ``stored`` ones before them.

    Raises:
        TooLittleData: It has no more than ``sent`` invoices.
    """
    table = table_of(settings)
    log = invoices(clean(table, settings))
    if len(log) <= sent:
        raise TooLittleData(
            f"{settings.data or 'The simulated table'} has {len(log):,} invoices, and the last {sent:,} are sent: give "
            "a larger table by NEXTBASKET_DATA."
        )
    source = f"{settings.data or 'simulated'}: {len(log):,} invoices, the last {sent:,} sent"
    first = len(log) - sent
    return Workload(source, "uci" if table.uci else "plain", log[max(0, first - stored) : first], log[first:])


def line_events(log: Iterable[Invoice]) -> Iterator[tuple[bytes, bytes]]:
    """(key, value) of flat lines, the shape of UCI; an extra field ``id`` numbers them."""
    number = 0
    for invoice in log:
        for line in invoice.lines:
            event = {
                "InvoiceNo": invoice.invoice_no,
                "StockCode": line.stock_code,
                "Description": line.description,
                "Quantity": line.quantity // THOUSAND,
                "InvoiceDate": to_iso(invoice.date),
                "UnitPrice": line.unit_price,
                "CustomerID": invoice.customer_id,
                "Country": invoice.attributes.get("country"),
                "id": number,
            }
            yield (invoice.customer_id or "").encode(), json.dumps(event).encode()
            number += 1


def invoice_events(log: Iterable[Invoice]) -> Iterator[tuple[bytes, bytes]]:
    """(key, value) of whole invoices; an extra field ``id`` numbers them."""
    for number, invoice in enumerate(log):
        event = {
            "invoice_no": invoice.invoice_no,
            "customer_id": invoice.customer_id,
            "invoice_date": to_iso(invoice.date),
            "country": invoice.attributes.get("country"),
            "lines": [
                {
                    "stock_code": line.stock_code,
                    "description": line.description,
                    "quantity": line.quantity // THOUSAND,
                    "unit_price": line.unit_price,
                }
                for line in invoice.lines
            ],
            "id": number,
        }
        yield (invoice.customer_id or "").encode(), json.dumps(event).encode()
