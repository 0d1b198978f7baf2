"""The histories of a batch of customers as flat columns, the first step of every view."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from state.domain.history import CustomerHistory, HeldInvoice, baskets
from state.events.invoice import THOUSAND
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
    n_baskets: list[int] = []
    dates: list[int] = []
    sizes: list[int] = []
    codes: list[str] = []
    quantities: list[int] = []
    prices: list[float] = []
    returned: list[tuple[int, str]] = []
    for customer, history in enumerate(histories):
        returned_codes = history.returned_codes
        returned.extend((customer, code) for code in sorted(returned_codes))
        net = _net_baskets(history, returned_codes)
        n_baskets.append(len(net))
        for date, bought, paid in net:
            dates.append(date)
            sizes.append(len(bought))
            codes.extend(bought)
            quantities.extend(bought.values())
            prices.extend(map(paid.__getitem__, bought))

    unknown: dict[str, int] = {}
    rows = _rows(codes, items, unknown)
    counts = np.asarray(n_baskets, np.int64)
    ends = np.cumsum(counts)
    basket_customer = np.repeat(np.arange(len(counts)), counts)
    return FlatHistories(
        n_baskets=counts,
        basket_customer=basket_customer,
        basket_date=np.asarray(dates, np.int64),
        basket_ago=ends[basket_customer] - 1 - np.arange(len(dates)),
        entry_basket=np.repeat(np.arange(len(sizes)), np.asarray(sizes, np.int64)),
        entry_row=rows,
        quantity=(np.asarray(quantities, np.float64) / THOUSAND).astype(np.float32),
        price=np.asarray(prices, np.float32),
        returned_customer=np.asarray([customer for customer, _ in returned], np.int64),
        returned_row=_rows([code for _, code in returned], items, unknown),
        unknown=list(unknown),
    )


def _net_baskets(
    history: CustomerHistory, returned: frozenset[str]
) -> list[tuple[int, dict[str, int], dict[str, float]]]:
    """Date, net quantities and prices by stock code of each basket.

    Returns are netted item by item, so ``baskets`` is called with the returned items only: that saves most of the time.
    A test compares the outcome with that of the whole history.
    """
    netted: dict[str, dict[str, int]] = {}
    if returned:
        concerned = tuple(
            HeldInvoice(
                invoice.invoice_no, invoice.date, tuple(line for line in invoice.lines if line.stock_code in returned)
            )
            for invoice in history.invoices
        )
        netted = {
            basket.invoice_no: basket.items for basket in baskets(CustomerHistory(history.customer_id, concerned))
        }
    net = []
    for invoice in history.invoices:
        bought = {line.stock_code: line.quantity for line in invoice.lines}
        prices = {line.stock_code: line.unit_price for line in invoice.lines}
        if len(bought) < len(invoice.lines) or not returned.isdisjoint(bought):
            bought = {}
            for line in invoice.lines:
                code = line.stock_code
                if code not in returned:
                    bought[code] = bought.get(code, 0) + line.quantity
                elif line.quantity < 0:
                    continue
                prices[code] = line.unit_price
            bought |= netted.get(invoice.invoice_no, {})
        if bought:
            net.append((invoice.date, bought, prices))
    return net


def _rows(codes: list[str], items: ItemTable, unknown: dict[str, int]) -> Ints:
    """Row of each code; codes the table does not know are numbered behind its end, and added to ``unknown``."""
    row_of = items.rows
    size = len(items)
    return np.asarray(
        [row_of[code] if code in row_of else size + unknown.setdefault(code, len(unknown)) for code in codes], np.int64
    )
