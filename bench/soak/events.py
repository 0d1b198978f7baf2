"""The lines of a table, over and over: customers come back year after year, so that what is stored is bounded."""

from collections.abc import Iterator, Sequence
from itertools import islice

import msgspec

from bench.stream.variant import Event
from bench.stream.workload import line_events
from state.events.dates import DAY
from state.events.invoice import Invoice


def repeated(log: Sequence[Invoice], events: int) -> Iterator[Event]:
    """So many flat lines of a log by date; each round has other invoice numbers, and the last ends as the log does.

    A round is dated as many whole days after the one before as the log is long. So the histories of the customers grow
    up to their window, and no line is known already.
    """
    customers = [invoice for invoice in log if invoice.customer_id]
    lines = sum(len(invoice.lines) for invoice in customers)
    rounds = -(-events // lines)
    days = (customers[-1].date - customers[0].date) // DAY + 1
    return islice(
        (
            event
            for number in range(rounds)
            for event in line_events(_dated(customers, number, (number - rounds + 1) * days * DAY))
        ),
        events,
    )


def _dated(log: Sequence[Invoice], number: int, shift: int) -> Iterator[Invoice]:
    for invoice in log:
        yield msgspec.structs.replace(invoice, invoice_no=f"{invoice.invoice_no}-{number}", date=invoice.date + shift)
