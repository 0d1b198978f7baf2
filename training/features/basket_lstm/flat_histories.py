"""The histories of a batch of customers as flat columns, the first step of every view."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from state.domain.history import CustomerHistory, net_quantities
from state.events.invoice import THOUSAND
from training.features.invoice_columns import InvoiceColumns, invoice_columns
from training.features.item_table import ItemTable

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

STEPS = 12
"""Time steps of the LSTM: so many of the newest baskets are inputs one by one; older ones count in sums only."""


class FlatHistories(NamedTuple):
    """The baskets of a batch of customers, net of returns. Customers, baskets (oldest first) and entries are in order.

    An *entry* is an item in a basket. Those of a basket are in the order of its lines, except that items the customer
    ever returned come last, by stock code. Items are rows of the item table; codes it does not know (a table just
    rebuilt) get the rows after its last, in ``unknown``. Quantities are net, in units; a price is that of the entry's
    last line.

    ``n_baskets``, ``first_date``, ``last_date`` (of the baskets, seconds since 1970; 0 without any) ``[customers]`` ·
    ``basket_customer``, ``basket_date``, ``basket_ago`` (0: the customer's newest), ``basket_size`` (its entries)
    ``[baskets]`` · ``entry_basket``, ``entry_customer``, ``entry_ago`` (that of the basket), ``entry_row``,
    ``quantity``, ``price`` ``[entries]`` · ``returned_customer``, ``returned_row``: items the customer ever returned,
    each once.
    """

    n_baskets: Ints
    first_date: Ints
    last_date: Ints
    basket_customer: Ints
    basket_date: Ints
    basket_ago: Ints
    basket_size: Ints
    entry_basket: Ints
    entry_customer: Ints
    entry_ago: Ints
    entry_row: Ints
    quantity: Floats
    price: Floats
    returned_customer: Ints
    returned_row: Ints
    unknown: list[str]


def flatten(histories: Sequence[CustomerHistory], items: ItemTable) -> FlatHistories:
    """The net baskets of the given customers as columns; a customer without any has ``n_baskets`` 0."""
    bought: list[InvoiceColumns] = []
    dates: list[int] = []
    customers: list[int] = []
    with_returns: list[tuple[int, slice]] = []
    for customer, history in enumerate(histories):
        columns = [invoice_columns(invoice) for invoice in history.invoices]
        if any(each.returns for each in columns):
            with_returns.append((customer, slice(len(bought), len(bought) + len(columns))))
        bought += columns
        dates += [invoice.date for invoice in history.invoices]
        customers += [customer] * len(columns)

    unknown: dict[str, int] = {}
    rows = np.concatenate([_NO_ROWS, *[each.rows(items) for each in bought]])
    if rows.min(initial=0) < 0:
        rows = _rows([code for each in bought for code in each.codes], items, unknown)
    quantity = np.concatenate([_NO_ROWS, *[each.quantity for each in bought]])
    price = np.concatenate([_NO_PRICES, *[each.price for each in bought]])
    basket_size = np.asarray([len(each.codes) for each in bought], np.int64)
    entry_basket = np.arange(len(bought)).repeat(basket_size)
    returned_customer: list[int] = []
    returned_codes: list[str] = []
    returned_row = _NO_ROWS
    if with_returns:
        returns = [_returns_by_code(bought[baskets], dates[baskets]) for _, baskets in with_returns]
        for (customer, _), of_customer in zip(with_returns, returns, strict=True):
            returned_customer += [customer] * len(of_customer)
            returned_codes += of_customer
        returned_row = _rows(returned_codes, items, unknown)
        ends = np.concatenate([[0], basket_size.cumsum()])
        spans = [slice(ends[baskets.start], ends[baskets.stop]) for _, baskets in with_returns]
        netted = _net_of_returns(returns, returned_row, spans, rows, entry_basket, dates, quantity)
        if len(netted):
            order = entry_basket * (len(netted) + 1)
            order[netted] += np.arange(1, len(netted) + 1)  # those of a customer are by stock code
            left = quantity.nonzero()[0]
            left = left[order[left].argsort(kind="stable")]
            rows, quantity, price, entry_basket = rows[left], quantity[left], price[left], entry_basket[left]
            basket_size = np.bincount(entry_basket, minlength=len(bought))
    has_items = basket_size > 0
    basket_customer = np.asarray(customers, np.int64)[has_items]
    counts = np.bincount(basket_customer, minlength=len(histories))
    ends = counts.cumsum()
    basket_ago = ends[basket_customer] - 1 - np.arange(len(basket_customer))
    basket_date = np.asarray(dates, np.int64)[has_items]
    first_date, last_date = np.zeros((2, len(histories)), np.int64)
    with_baskets = counts.nonzero()[0]
    first_date[with_baskets] = basket_date[(ends - counts)[with_baskets]]
    last_date[with_baskets] = basket_date[ends[with_baskets] - 1]
    entry_basket = (has_items.cumsum() - 1)[entry_basket]
    return FlatHistories(
        n_baskets=counts,
        first_date=first_date,
        last_date=last_date,
        basket_customer=basket_customer,
        basket_date=basket_date,
        basket_ago=basket_ago,
        basket_size=basket_size[has_items],
        entry_basket=entry_basket,
        entry_customer=basket_customer[entry_basket],
        entry_ago=basket_ago[entry_basket],
        entry_row=rows,
        quantity=(quantity / THOUSAND).astype(np.float32),
        price=price,
        returned_customer=np.asarray(returned_customer, np.int64),
        returned_row=returned_row,
        unknown=list(unknown),
    )


_NO_ROWS = np.zeros(0, np.int64)
_NO_PRICES = np.zeros(0, np.float32)


def _returns_by_code(columns: Sequence[InvoiceColumns], dates: Sequence[int]) -> dict[str, list[tuple[int, int]]]:
    """Date and quantity of one customer's returns by stock code, in order of the codes."""
    returns: dict[str, list[tuple[int, int]]] = {}
    for date, each in zip(dates, columns, strict=True):
        for code, quantity in each.returns:
            returns.setdefault(code, []).append((date, quantity))
    return {code: returns[code] for code in sorted(returns)}


def _net_of_returns(
    returns: Sequence[dict[str, list[tuple[int, int]]]],
    returned_row: Ints,
    spans: Sequence[slice],
    rows: Ints,
    entry_basket: Ints,
    dates: Sequence[int],
    quantity: Ints,
) -> Ints:
    """Nets ``quantity`` in place; the entries of returned items, by customer, stock code and basket.

    Args:
        returns: As ``_returns_by_code`` gives them, of each customer with returns.
        returned_row: The row of each of their codes.
        spans: The entries of each of these customers.
        rows: Row of each entry.
        entry_basket: Basket of each entry.
        dates: Of the baskets.
        quantity: Of each entry, in thousandths.
    """
    is_returned = np.zeros(max(int(rows.max(initial=-1)), int(returned_row.max(initial=-1))) + 1, np.bool_)
    netted: list[int] = []
    left: list[int] = []
    start = 0
    for of_customer, span in zip(returns, spans, strict=True):
        of_codes = returned_row[start : start + len(of_customer)]
        start += len(of_customer)
        is_returned[of_codes] = True
        entries = is_returned[rows[span]].nonzero()[0] + span.start
        is_returned[of_codes] = False
        found: dict[int, list[tuple[int, int, int]]] = {}
        for entry, row, basket, bought in zip(
            *(each.tolist() for each in (entries, rows[entries], entry_basket[entries], quantity[entries])), strict=True
        ):
            found.setdefault(row, []).append((entry, dates[basket], bought))
        for row, of_code in zip(of_codes.tolist(), of_customer.values(), strict=True):
            if row in found:
                netted += [entry for entry, _, _ in found[row]]
                left += net_quantities([purchase[1:] for purchase in found[row]], of_code)
    positions = np.asarray(netted, np.int64)
    quantity[positions] = left
    return positions


def _rows(codes: Sequence[str], items: ItemTable, unknown: dict[str, int]) -> Ints:
    """Row of each code; codes the table does not know are numbered behind its end, and added to ``unknown``."""
    row_of = items.rows
    size = len(items)
    return np.asarray(
        [row_of[code] if code in row_of else size + unknown.setdefault(code, len(unknown)) for code in codes], np.int64
    )
