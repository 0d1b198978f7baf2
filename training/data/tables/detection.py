"""Detection of a known shop's table, whose dialect then applies."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from state.events.dialect import dialect_named
from state.events.invoice import Invoice
from training.data import columns
from training.data.assumption import Assumption
from training.data.distinct import where_distinct

_PRODUCT_SHARE = 0.9
"""A table in UCI's columns with fewer rows of product codes is another shop's; in UCI's own nearly all rows are."""
_MIN_CODES = 100
"""Rows with a stock code below which that share means nothing."""
_OTHER_CODES = frozenset({"POST", "D", "M", "C2", "DOT", "BANK CHARGES", "CRUK", "PADS", "AMAZONFEE"})
"""Stock codes of UCI's that are no products."""

_CANCELLATION = "C[0-9]{6}"
"""Pattern of the invoice number of a cancellation of UCI's."""

_CURE = "set NEXTBASKET_DIALECT={}"


@dataclass(frozen=True)
class DialectEvidence:
    """What the rows of a table, or of batches of it, show of its dialect.

    Attributes:
        named_as_uci: Whether the columns are named as UCI's.
        codes: Rows with a stock code.
        products: Those with a code of a product of UCI's.
        other_codes: Those with another code of UCI's, such as POST.
        cancelled: Whether there is a cancellation ``C123456``.
    """

    named_as_uci: bool
    codes: int
    products: int
    other_codes: int
    cancelled: bool

    @classmethod
    def of(cls, header: Iterable[str], frame: pd.DataFrame) -> "DialectEvidence":
        """Of typed rows, and the names of the columns in the file."""
        names = {*header}
        is_product = dialect_named("uci").is_product
        codes = frame[columns.STOCK_CODE].dropna()
        cancelled = where_distinct(
            frame[columns.INVOICE_NO], lambda text: re.fullmatch(_CANCELLATION, text) is not None
        ) & (frame[columns.QUANTITY] < 0)
        return cls(
            set(columns.UCI) <= names or set(columns.UCI_II) <= names,
            len(codes),
            int(where_distinct(codes, lambda text: is_product(text.strip())).sum()),
            int(where_distinct(codes, lambda text: text.strip().upper() in _OTHER_CODES).sum()),
            bool(cancelled.any()),
        )

    def __add__(self, other: "DialectEvidence") -> "DialectEvidence":
        """Of the rows of both."""
        return DialectEvidence(
            self.named_as_uci and other.named_as_uci,
            self.codes + other.codes,
            self.products + other.products,
            self.other_codes + other.other_codes,
            self.cancelled or other.cancelled,
        )

    def decide(self) -> tuple[bool, Assumption | None]:
        """Whether the table is UCI Online Retail's or II's, and the assumption where columns and rows do not agree.

        A table with the published names of columns is, unless its codes are another shop's. One with other names is
        where its rows show it: cancellations ``C123456`` or codes of UCI's such as POST, among products of five digits.
        """
        share = self.products / self.codes if self.codes else 0.0
        if self.named_as_uci:
            if self.codes < _MIN_CODES or share >= _PRODUCT_SHARE:
                return True, None
            what = (
                f"the columns are named as UCI's, but {share:.0%} of the stock codes begin with five digits as those "
                "of products do there, so the UCI dialect is not used"
            )
            return False, Assumption("dialect", what, _CURE.format("uci"))
        if not self.cancelled and not self.other_codes:
            return False, None
        if self.codes and (self.products + self.other_codes) / self.codes >= _PRODUCT_SHARE:
            what = (
                "the rows are UCI's, by their stock codes and cancellations, though the columns are named otherwise, "
                "so the UCI dialect is used unless another is set"
            )
            return True, Assumption("dialect", what, _CURE.format("plain"))
        what = (
            "some invoice numbers or stock codes are as UCI's, but most are not, so the dialect is not UCI's and stays "
            "as it is set (plain unless set)"
        )
        return False, Assumption("dialect", what, _CURE.format("uci"))


def are_uci(invoices: Iterable[Invoice]) -> bool:
    """Whether invoices that were read in the dialect plain are UCI Online Retail's, as their rows in a table would be.

    Args:
        invoices: With the lines that are no products in UCI's dialect.
    """
    codes: Counter[str] = Counter()
    cancelled = False
    for invoice in invoices:
        codes.update(line.stock_code.upper() for line in invoice.lines)
        returned = any(line.quantity < 0 for line in invoice.lines)
        cancelled |= returned and re.fullmatch(_CANCELLATION, invoice.invoice_no) is not None
    dialect = dialect_named("uci")
    other_codes = sum(codes[code] for code in _OTHER_CODES)
    products = sum(count for code, count in codes.items() if dialect.is_product(code))
    return (cancelled or other_codes > 0) and products + other_codes >= _PRODUCT_SHARE * codes.total()
