"""The evaluation cases of a span: the invoices to predict, and which of their items are repeat, new, cold or rare."""

from collections.abc import Sequence
from typing import NamedTuple

from state.events.dates import DAY
from state.events.invoice import Invoice
from training.evaluation.split import Span

MIN_CASES = 10
"""With fewer cases figures are chance: ``evaluate`` warns, and a round of training is refused."""

COLD_DAYS = 30
"""An item is cold for this many days after its first sale."""

RARE_SALES = 5
"""An item is rare as long as fewer purchase invoices than this, of all customers, held it."""


class EvaluationCase(NamedTuple):
    """One invoice to predict.

    Item sets are as of this invoice, so that they are the same at both moments.

    Attributes:
        invoice_no: Of the invoice.
        customer_id: Who bought.
        bought: The distinct items bought.
        repeat: Those of ``bought`` that an earlier invoice of the customer holds, returned later or not.
        new: The others of ``bought``.
        cold: Those of ``new`` whose first sale, to anybody, was less than ``COLD_DAYS`` before.
        rare: Those of ``bought`` on fewer than ``RARE_SALES`` earlier invoices of anybody.
        earlier_invoices: Number of the customer's earlier purchase invoices; 0 only where first purchase invoices are
            cases too.
    """

    invoice_no: str
    customer_id: str
    bought: frozenset[str]
    repeat: frozenset[str]
    new: frozenset[str]
    cold: frozenset[str]
    rare: frozenset[str]
    earlier_invoices: int


class EvaluationCases(NamedTuple):
    """All cases of a span.

    Attributes:
        by_position: Case by the position of its invoice in the log.
        known_items: By the same position all items that the customer had bought before, where they were asked for.
        catalogue_size: Number of items sold before the end of the span.
    """

    by_position: dict[int, EvaluationCase]
    known_items: dict[int, frozenset[str]]
    catalogue_size: int


def evaluation_cases(
    invoices: Sequence[Invoice], span: Span, *, first_invoices: bool = False, with_known_items: bool = False
) -> EvaluationCases:
    """Every purchase invoice of a span whose customer has an earlier one.

    Args:
        invoices: The log, sorted by (date, invoice number).
        span: The span.
        first_invoices: Whether customers' first purchase invoices are cases too.
        with_known_items: Whether to collect ``known_items``, which takes much memory where histories are long.
    """
    cases: dict[int, EvaluationCase] = {}
    known_items: dict[int, frozenset[str]] = {}
    bought_by: dict[str, set[str]] = {}
    n_invoices: dict[str, int] = {}
    first_sold: dict[str, int] = {}
    n_sales: dict[str, int] = {}
    for position, invoice in enumerate(invoices):
        if invoice.date >= span.end:
            break
        customer = invoice.customer_id
        if customer is None or not invoice.is_purchase:
            continue
        bought = invoice.purchased_codes
        known = bought_by.setdefault(customer, set())
        for code in bought:
            first_sold.setdefault(code, invoice.date)
        if invoice.date >= span.start and (first_invoices or customer in n_invoices):
            new = bought - known
            cases[position] = EvaluationCase(
                invoice.invoice_no,
                customer,
                bought,
                repeat=bought & known,
                new=new,
                cold=frozenset(code for code in new if invoice.date - first_sold[code] < COLD_DAYS * DAY),
                rare=frozenset(code for code in bought if n_sales.get(code, 0) < RARE_SALES),
                earlier_invoices=n_invoices.get(customer, 0),
            )
            if with_known_items:
                known_items[position] = frozenset(known)
        for code in bought:
            n_sales[code] = n_sales.get(code, 0) + 1
        known |= bought
        n_invoices[customer] = n_invoices.get(customer, 0) + 1
    return EvaluationCases(cases, known_items, len(first_sold))
