"""The histories of a batch of customers as flat columns, the first step of every view."""

from collections.abc import Collection, Sequence
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

    An *entry* is an item in a basket. Items are rows of the item table; codes it does not know (a table just rebuilt)
    get the rows after its last, in ``unknown``. Quantities are net, in units; a price is that of the entry's last line.

    ``n_baskets`` ``[customers]`` · ``basket_customer``, ``basket_date`` (seconds since 1970), ``basket_ago`` (0: the
    customer's newest) ``[baskets]`` · ``entry_basket``, ``entry_row``, ``quantity``, ``price`` ``[entries]`` ·
    ``returned_customer``, ``returned_row``: items the customer ever returned, each once.
    """

    n_baskets: Ints
    basket_customer: Ints
    basket_date: Ints
    basket_ago: Ints
    entry_basket: Ints
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
    returned: list[tuple[int, str]] = []
    net = _NetEntries([], [])
    for customer, history in enumerate(histories):
        columns = [invoice_columns(invoice) for invoice in history.invoices]
        of_customer = [invoice.date for invoice in history.invoices]
        if any(each.returns for each in columns):
            codes = _net_of_returns(columns, of_customer, len(bought), net)
            returned.extend((customer, code) for code in sorted(codes))
        bought += columns
        dates += of_customer
        customers += [customer] * len(columns)

    unknown: dict[str, int] = {}
    rows = np.concatenate([_NO_ROWS, *[each.rows(items) for each in bought]])
    if rows.min(initial=0) < 0:
        rows = _rows([code for each in bought for code in each.codes], items, unknown)
    quantity = np.concatenate([_NO_ROWS, *[each.quantity for each in bought]])
    price = np.concatenate([_NO_PRICES, *[each.price for each in bought]])
    basket_size = np.asarray([len(each.codes) for each in bought], np.int64)
    entry_basket = np.repeat(np.arange(len(bought)), basket_size)
    if net.basket:
        start = np.cumsum(basket_size) - basket_size
        quantity[start[[basket for basket, _ in net.basket]] + [position for _, position in net.basket]] = net.quantity
        left = np.flatnonzero(quantity)
        rows, quantity, price, entry_basket = rows[left], quantity[left], price[left], entry_basket[left]
        basket_size = np.bincount(entry_basket, minlength=len(bought))
    has_items = basket_size > 0
    basket_customer = np.asarray(customers, np.int64)[has_items]
    counts = np.bincount(basket_customer, minlength=len(histories))
    return FlatHistories(
        n_baskets=counts,
        basket_customer=basket_customer,
        basket_date=np.asarray(dates, np.int64)[has_items],
        basket_ago=np.cumsum(counts)[basket_customer] - 1 - np.arange(len(basket_customer)),
        entry_basket=(np.cumsum(has_items) - 1)[entry_basket],
        entry_row=rows,
        quantity=(quantity / THOUSAND).astype(np.float32),
        price=price,
        returned_customer=np.asarray([customer for customer, _ in returned], np.int64),
        returned_row=_rows([code for _, code in returned], items, unknown),
        unknown=list(unknown),
    )


_NO_ROWS = np.zeros(0, np.int64)
_NO_PRICES = np.zeros(0, np.float32)


class _NetEntries(NamedTuple):
    """The entries of items that were returned: basket and position in it, and quantity net of returns, maybe 0."""

    basket: list[tuple[int, int]]
    quantity: list[int]


def _net_of_returns(
    columns: Sequence[InvoiceColumns], dates: Sequence[int], first_basket: int, net: _NetEntries
) -> Collection[str]:
    """Adds one customer's entries of returned items to ``net``; the stock codes of these items."""
    returns: dict[str, list[tuple[int, int]]] = {}
    for date, each in zip(dates, columns, strict=True):
        for code, quantity in each.returns:
            returns.setdefault(code, []).append((date, quantity))
    codes = set(returns)
    found: dict[str, list[tuple[int, int]]] = {}
    for basket, each in enumerate(columns):
        for code in codes.intersection(each.codes):
            found.setdefault(code, []).append((basket, each.codes.index(code)))
    for code, entries in found.items():
        purchases = [(dates[basket], int(columns[basket].quantity[position])) for basket, position in entries]
        net.basket.extend((first_basket + basket, position) for basket, position in entries)
        net.quantity.extend(net_quantities(purchases, returns[code]))
    return codes


def _rows(codes: Sequence[str], items: ItemTable, unknown: dict[str, int]) -> Ints:
    """Row of each code; codes the table does not know are numbered behind its end, and added to ``unknown``."""
    row_of = items.rows
    size = len(items)
    return np.asarray(
        [row_of[code] if code in row_of else size + unknown.setdefault(code, len(unknown)) for code in codes], np.int64
    )
