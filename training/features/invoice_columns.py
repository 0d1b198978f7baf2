"""The lines of an invoice as columns, which are computed once and stay with the invoice.

An invoice of a history never changes, and all but the newest are in the customer's history at the next event too.
"""

import numpy as np
from numpy.typing import NDArray

from state.domain.history import HeldInvoice
from training.features.item_table import ItemTable

_ATTRIBUTE = "columns"


class InvoiceColumns:
    """The purchases of an invoice by stock code, before any returns.

    Attributes:
        codes: The distinct stock codes of the purchase lines, in order of their first lines.
        quantity: Quantity of each over all its purchase lines, in thousandths, int64.
        price: Unit price of each, that of its last purchase line, float32.
        value: Sum of quantity times price of the purchase lines, in thousandths.
        returns: Stock code and quantity, in thousandths and above 0, of each item of the return lines.
    """

    def __init__(self, invoice: HeldInvoice) -> None:
        quantities: dict[str, int] = {}
        prices: dict[str, float] = {}
        returned: dict[str, int] = {}
        self.value = 0.0
        for line in invoice.lines:
            code, quantity = line.stock_code, line.quantity
            if quantity > 0:
                quantities[code] = quantities.get(code, 0) + quantity
                prices[code] = line.unit_price
                self.value += quantity * line.unit_price
            else:
                returned[code] = returned.get(code, 0) - quantity
        self.codes = tuple(quantities)
        self._positions: dict[str, int] | None = None
        self.quantity = np.fromiter(quantities.values(), np.int64, len(quantities))
        self.price = np.fromiter(prices.values(), np.float32, len(prices))
        self.returns = tuple(returned.items())
        self._table: object = None
        self._rows = _NO_ROWS

    @property
    def positions(self) -> dict[str, int]:
        """Position of each of ``codes``: computed where the customer returned something."""
        if self._positions is None:
            self._positions = {code: position for position, code in enumerate(self.codes)}
        return self._positions

    def rows(self, items: ItemTable) -> NDArray[np.int64]:
        """Row of each code in an item table, −1 where it has none, int64."""
        if self._table is items.identity:
            return self._rows
        row_of = items.rows
        rows = np.fromiter((row_of.get(code, -1) for code in self.codes), np.int64, len(self.codes))
        if rows.min(initial=0) >= 0:
            self._rows, self._table = rows, items.identity  # in this order: another thread may read them
        return rows


_NO_ROWS = np.zeros(0, np.int64)


def invoice_columns(invoice: HeldInvoice) -> InvoiceColumns:
    """The columns of an invoice, computed at the first call."""
    columns: InvoiceColumns | None = invoice.__dict__.get(_ATTRIBUTE)
    if columns is None:
        columns = invoice.__dict__[_ATTRIBUTE] = InvoiceColumns(invoice)
    return columns
