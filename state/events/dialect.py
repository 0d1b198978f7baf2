"""Dialects: the peculiarities of one retailer's data."""

import fnmatch
import re
from collections.abc import Sequence
from typing import Protocol

from state.errors import SettingsError

PRODUCT_CODE = re.compile(r"[0-9]{5}")
"""The beginning of a product's stock code in the UCI data; postage, manual and bank lines have others."""

NOT_A_PRODUCT = "not_a_product"
ZERO_QUANTITY = "zero_quantity"
ZERO_PRICE = "zero_price"
NEGATIVE_PRICE = "negative_price"


class Dialect(Protocol):
    """How a retailer writes invoices."""

    name: str

    def stock_code(self, written: str) -> str:
        """The canonical stock code of a trimmed one."""
        ...

    def is_product(self, stock_code: str) -> bool:
        """Whether a canonical stock code is a product, not postage or a correction."""
        ...

    def is_return(self, invoice_no: str) -> bool:
        """Whether every line of the invoice is a return, whatever its sign."""
        ...


class Plain:
    """No peculiarities."""

    name = "plain"

    def stock_code(self, written: str) -> str:
        """Returns it unchanged."""
        return written

    def is_product(self, stock_code: str) -> bool:
        """Every stock code is a product."""
        return True

    def is_return(self, invoice_no: str) -> bool:
        """False: only a negative quantity marks a return."""
        return False


class Uci:
    """UCI Online Retail."""

    name = "uci"

    def stock_code(self, written: str) -> str:
        """Upper-case: ``85123a`` and ``85123A`` are one product."""
        return written.upper()

    def is_product(self, stock_code: str) -> bool:
        """Products begin with five digits."""
        return PRODUCT_CODE.match(stock_code) is not None

    def is_return(self, invoice_no: str) -> bool:
        """An invoice ``C…`` is a cancellation."""
        return invoice_no.startswith("C")


class WithUnsellableCodes:
    """A dialect in which some more stock codes are no products."""

    def __init__(self, dialect: Dialect, patterns: Sequence[str]) -> None:
        """Take shell-style patterns (``POST*``) of canonical stock codes, in capitals or not."""
        self.name = dialect.name
        self._dialect = dialect
        self._unsellable = re.compile("|".join(map(fnmatch.translate, patterns)), re.IGNORECASE)

    def stock_code(self, written: str) -> str:
        """As in the dialect."""
        return self._dialect.stock_code(written)

    def is_product(self, stock_code: str) -> bool:
        """Whether it is a product of the dialect and matches none of the patterns."""
        return self._dialect.is_product(stock_code) and self._unsellable.match(stock_code) is None

    def is_return(self, invoice_no: str) -> bool:
        """As in the dialect."""
        return self._dialect.is_return(invoice_no)


def dialect_named(name: str, unsellable: Sequence[str] = ()) -> Dialect:
    """The dialect with a name, in which stock codes of the patterns ``unsellable`` are no products.

    Raises:
        SettingsError: There is no such dialect.
    """
    dialects: dict[str, Dialect] = {"plain": Plain(), "uci": Uci()}
    if name not in dialects:
        raise SettingsError(f"NEXTBASKET_DIALECT is {name!r}; it may be {' or '.join(dialects)}.")
    return WithUnsellableCodes(dialects[name], unsellable) if unsellable else dialects[name]


def exclusion_reason(is_product: bool, quantity: int, unit_price: float) -> str | None:
    """Why a line is excluded, as the label it is counted under; None for the sale or return of a product."""
    if not is_product:
        return NOT_A_PRODUCT
    if quantity == 0:
        return ZERO_QUANTITY
    if unit_price <= 0:
        return ZERO_PRICE if unit_price == 0 else NEGATIVE_PRICE
    return None
