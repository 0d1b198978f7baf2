"""The evaluation cases of a span: the invoices to predict, and which of their items are repeat, new, cold or rare."""

from collections.abc import Sequence
from itertools import compress
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from state.events.dates import DAY
from state.events.invoice import Invoice
from training.data.purchases import NONE, Purchases, purchases_of
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
    invoices: Sequence[Invoice],
    span: Span,
    *,
    first_invoices: bool = False,
    with_known_items: bool = False,
    with_new_items: bool = False,
    max_cases: int | None = None,
) -> EvaluationCases:
    """Every purchase invoice of a span whose customer has an earlier one.

    Args:
        invoices: The log, sorted by (date, invoice number).
        span: The span.
        first_invoices: Whether customers' first purchase invoices are cases too.
        with_known_items: Whether to collect ``known_items``, which takes much memory where histories are long.
        with_new_items: Whether only invoices with an item that is new to the customer are cases.
        max_cases: Of more cases evenly spaced ones are left.
    """
    log = purchases_of(invoices)
    log = log.before(log.first_at(span.end))
    chosen = case_positions(log, span, first_invoices=first_invoices)
    if with_new_items:
        n_new = np.concatenate([[0], np.cumsum(log.is_new)])
        indices = log.invoice[chosen]
        chosen = chosen[n_new[log.first_sale[indices + 1]] > n_new[log.first_sale[indices]]]
    if max_cases is not None and len(chosen) > max_cases:
        chosen = chosen[:: -(-len(chosen) // max_cases)]
    first_sold, common_from = _item_dates(log)
    cases: dict[int, EvaluationCase] = {}
    known_items: dict[int, frozenset[str]] = {}
    for index, number in zip(log.invoice[chosen].tolist(), log.number[chosen].tolist(), strict=True):
        sales = slice(int(log.first_sale[index]), int(log.first_sale[index + 1]))
        item, is_new, date = log.item[sales], log.is_new[sales], int(log.date[index])
        cold = is_new & (date - first_sold[item] < COLD_DAYS * DAY)
        customer = int(log.customer[index])
        codes = _Codes(log.codes, item)
        cases[index] = EvaluationCase(
            invoices[index].invoice_no,
            log.customers[customer],
            codes.where(np.ones_like(is_new)),
            repeat=codes.where(~is_new),
            new=codes.where(is_new),
            cold=codes.where(cold),
            rare=codes.where(np.arange(sales.start, sales.stop) < common_from[item]),
            earlier_invoices=number,
        )
        if with_known_items:
            own = log.invoices_of(customer)
            known_items[index] = frozenset(
                log.codes[each]
                for earlier in own[: np.searchsorted(own, index)].tolist()
                for each in log.item[log.first_sale[earlier] : log.first_sale[earlier + 1]]
            )
    return EvaluationCases(cases, known_items, log.n_items)


def case_positions(log: Purchases, span: Span, *, first_invoices: bool = False) -> NDArray[np.int64]:
    """Positions of all cases among the purchase invoices (``Purchases.invoice``)."""
    date = log.date[log.invoice]
    return np.flatnonzero((date >= span.start) & (date < span.end) & (first_invoices | (log.previous != NONE)))


def _item_dates(log: Purchases) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of each item the date of its first sale, and the first sale that has ``RARE_SALES`` earlier ones."""
    order = np.argsort(log.item, kind="stable")
    starts = np.searchsorted(log.item[order], np.arange(log.n_items))
    ends = np.append(starts[1:], len(order))
    first_invoice = np.searchsorted(log.first_sale, order[starts], side="right") - 1
    common_from = np.full(log.n_items, len(order), np.int64)
    common = ends - starts > RARE_SALES
    common_from[common] = order[starts[common] + RARE_SALES]
    return log.date[first_invoice], common_from


class _Codes:
    """The stock codes of an invoice."""

    def __init__(self, codes: Sequence[str], item: NDArray[np.int32]) -> None:
        self._codes = [codes[each] for each in item.tolist()]

    def where(self, chosen: NDArray[np.bool_]) -> frozenset[str]:
        """Those that a mask chooses."""
        return frozenset(compress(self._codes, chosen.tolist()))
