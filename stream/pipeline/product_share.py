"""Product share: a warning where most lines of the first events have stock codes that are no products."""

import logging

from state.events.dialect import NOT_A_PRODUCT
from state.events.invoice import Invoice
from state.events.shop_dialect import ShopDialect, in_words

logger = logging.getLogger(__name__)

MIN_LINES = 200
"""Number of lines that the share is computed from."""
MAX_SHARE = 0.5
"""A shop sells more products than postage and fees."""


class ProductShare:
    """Counts the lines of the first events, and warns once where most are no products in the dialect."""

    def __init__(self, dialect: ShopDialect) -> None:
        self._dialect = dialect
        self._lines = 0
        self._excluded = 0

    def count(self, invoice: Invoice) -> None:
        """Count the lines of an invoice; the last of the first ``MIN_LINES`` lines decides about the warning."""
        if self._lines >= MIN_LINES:
            return
        self._lines += len(invoice.lines) + sum(invoice.excluded_lines.values())
        self._excluded += invoice.excluded_lines.get(NOT_A_PRODUCT, 0)
        if self._lines >= MIN_LINES and self._excluded > MAX_SHARE * self._lines:
            logger.warning(
                "%d of the first %d lines have stock codes that are no products %s, and are left out. Are "
                "NEXTBASKET_DIALECT and NEXTBASKET_UNSELLABLE_CODES those of this shop?",
                self._excluded,
                self._lines,
                in_words(self._dialect),
            )
