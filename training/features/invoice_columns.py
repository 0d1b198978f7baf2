"""The lines of an invoice as columns, which are computed once and stay with the invoice.

An invoice of a history never changes, and all but the newest are in the customer's history at the next event too.
"""

from typing import Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from state.domain.history import HeldInvoice
from training.features.item_table import ItemTable

_ATTRIBUTE = "columns"
_NO_ROWS = np.zeros(0, np.int64)


class InvoiceColumns(msgspec.Struct, eq=False, gc=False):
    """The purchases of an invoice by stock code, before any returns.

    It has no reference that could lead back to it, so the garbage collector need not know it.

    Attributes:
        codes: The distinct stock codes of the purchase lines, in order of their first lines.
        quantity: Quantity of each over all its purchase lines, in thousandths, int64.
        price: Unit price of each, that of its last purchase line, float32.
        value: Sum of quantity times price of the purchase lines, in thousandths.
        returns: Stock code and quantity, in thousandths and above 0, of each item of the return lines.
    """

    codes: tuple[str, ...]
    quantity: NDArray[np.int64]
    price: NDArray[np.float32]
    value: float
    returns: tuple[tuple[str, int], ...]
    _positions: dict[str, int] | None = None
    _table: object = None
    _rows: NDArray[np.int64] = msgspec.field(default_factory=lambda: _NO_ROWS)

    @classmethod
    def of(cls, invoice: HeldInvoice) -> Self:
        """The columns of an invoice."""
        quantities: dict[str, int] = {}
        prices: dict[str, float] = {}
        returned: dict[str, int] = {}
        value = 0.0
        for line in invoice.lines:
            code, quantity = line.stock_code, line.quantity
            if quantity > 0:
                quantities[code] = quantities.get(code, 0) + quantity
                prices[code] = line.unit_price
                value += quantity * line.unit_price
            else:
                returned[code] = returned.get(code, 0) - quantity
        return cls(
            tuple(quantities),
            np.fromiter(quantities.values(), np.int64, len(quantities)),
            np.fromiter(prices.values(), np.float32, len(prices)),
            value,
            tuple(returned.items()),
        )

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
        rows = np.array([row_of.get(code, -1) for code in self.codes], np.int64)
        if rows.min(initial=0) >= 0:
            self._rows, self._table = rows, items.identity  # in this order: another thread may read them
        return rows


def invoice_columns(invoice: HeldInvoice) -> InvoiceColumns:
    """The columns of an invoice, computed at the first call."""
    columns: InvoiceColumns | None = invoice.__dict__.get(_ATTRIBUTE)
    if columns is None:
        columns = invoice.__dict__[_ATTRIBUTE] = InvoiceColumns.of(invoice)
    return columns
