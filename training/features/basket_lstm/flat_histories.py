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
    returned: list[tuple[int, str]] = []
    net = _NetEntries([], [], [])
    for customer, history in enumerate(histories):
        columns = [invoice_columns(invoice) for invoice in history.invoices]
        of_customer = [invoice.date for invoice in history.invoices]
        if any(each.returns for each in columns):
            codes = _net_of_returns(columns, of_customer, len(bought), net)
            returned.extend([(customer, code) for code in codes])
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
        netted = start[net.basket] + net.position
        quantity[netted] = net.quantity
        order = entry_basket * (len(netted) + 1)
        order[netted] += np.arange(1, len(netted) + 1)  # those of a customer are by stock code
        left = np.flatnonzero(quantity)
        left = left[np.argsort(order[left], kind="stable")]
        rows, quantity, price, entry_basket = rows[left], quantity[left], price[left], entry_basket[left]
        basket_size = np.bincount(entry_basket, minlength=len(bought))
    has_items = basket_size > 0
    basket_customer = np.asarray(customers, np.int64)[has_items]
    counts = np.bincount(basket_customer, minlength=len(histories))
    ends = np.cumsum(counts)
    basket_ago = ends[basket_customer] - 1 - np.arange(len(basket_customer))
    basket_date = np.asarray(dates, np.int64)[has_items]
    first_date, last_date = np.zeros((2, len(histories)), np.int64)
    with_baskets = np.flatnonzero(counts)
    first_date[with_baskets] = basket_date[(ends - counts)[with_baskets]]
    last_date[with_baskets] = basket_date[ends[with_baskets] - 1]
    entry_basket = (np.cumsum(has_items) - 1)[entry_basket]
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
        returned_customer=np.asarray([customer for customer, _ in returned], np.int64),
        returned_row=_rows([code for _, code in returned], items, unknown),
        unknown=list(unknown),
    )


_NO_ROWS = np.zeros(0, np.int64)
_NO_PRICES = np.zeros(0, np.float32)


class _NetEntries(NamedTuple):
    """The entries of items that were returned, by stock code: basket, position in it, quantity net of returns."""

    basket: list[int]
    position: list[int]
    quantity: list[int]


def _net_of_returns(
    columns: Sequence[InvoiceColumns], dates: Sequence[int], first_basket: int, net: _NetEntries
) -> list[str]:
    """Adds one customer's entries of returned items to ``net``; the stock codes of these items, in order."""
    returns: dict[str, list[tuple[int, int]]] = {}
    for date, each in zip(dates, columns, strict=True):
        for code, quantity in each.returns:
            returns.setdefault(code, []).append((date, quantity))
    found: dict[str, list[tuple[int, int]]] = {}
    for basket, each in enumerate(columns):
        positions = each.positions
        for code in returns.keys() & positions.keys():
            found.setdefault(code, []).append((basket, positions[code]))
    codes = sorted(returns)
    for code in codes:
        entries = found.get(code, ())
        purchases = [(dates[basket], int(columns[basket].quantity[position])) for basket, position in entries]
        net.basket.extend([first_basket + basket for basket, _ in entries])
        net.position.extend([position for _, position in entries])
        net.quantity.extend(net_quantities(purchases, returns[code]))
    return codes


def _rows(codes: Sequence[str], items: ItemTable, unknown: dict[str, int]) -> Ints:
    """Row of each code; codes the table does not know are numbered behind its end, and added to ``unknown``."""
    row_of = items.rows
    size = len(items)
    return np.asarray(
        [row_of[code] if code in row_of else size + unknown.setdefault(code, len(unknown)) for code in codes], np.int64
    )
