"""Types of rows: which are sales, which take sales back, and which are neither, where a column shows it.

A column such as ``event_type`` or ``type`` holds the type of a row. One such as ``status`` or ``Cancelled at`` holds
what became of the order of a row: of one that was cancelled or refunded nothing is left, so its rows are no sales.
"""

import re
from collections.abc import Iterable
from itertools import islice
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from state.events.missing import is_missing
from training.data import columns
from training.data.assumption import Assumption, of_column
from training.data.distinct import map_distinct, where_distinct
from training.data.errors import NothingLeft


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SALES = _words(
    "purchase purchased purchases transaction transactions order orders ordered orderplaced placedorder "
    "ordercompleted purchasecompleted buy bought sale sales sell sold checkoutcompleted checkoutcomplete "
    "completepurchase confirmorder invoice invoiced receipt payment paid complete completed closed shipped "
    "delivered fulfilled processing approved settled captured success successful succeeded done finished "
    "partiallyrefunded partiallypaid partiallyfulfilled wccompleted wcprocessing"
)
_RETURNS = _words(
    "return returned returns refund refunded refunds creditnote creditmemo salesreturn customerreturn chargeback "
    "wcrefunded retour gutschrift"
)
_CANCELLED = _words(
    "cancelled canceled cancel cancellation cancelation void voided failed failure declined rejected expired "
    "deleted unavailable draft quote quotation wccancelled wcfailed storno storniert"
)
_OTHER_EVENTS = _words(
    "view viewed views carts viewproduct viewedproduct cartadd pageview productview viewitem detail click clicked "
    "clicks cart carted addtocart addcart addedtocart removefromcart removecart remove wishlist addtowishlist fav "
    "favorite favourite like liked search impression impressions checkout begincheckout abandon abandoned pv visit "
    "browse rate rating share viewcart sessionstart login scroll"
)
_BROWSING = _words(
    "view viewed views pageview productview viewproduct viewedproduct viewitem click clicks clicked addtocart addcart "
    "addedtocart cartadd cart carts viewcart removefromcart pv"
)
_PURCHASES = _words(
    "purchase purchased purchases transaction transactions order orders ordered orderplaced placedorder "
    "ordercompleted purchasecompleted buy bought sale sales checkoutcompleted checkoutcomplete completepurchase "
    "confirmorder payment"
)
"""Words that show together that a column holds events, whatever its name."""
_NOT_MARKED = _words("0 0.0 false no n f")
_MARKED = _words("1 1.0 true yes y x t")
MAX_TYPES = 20
"""Different values above which a column holds no types of rows."""
_CURE = "take out the column"


class RowTypes(NamedTuple):
    """The types of the rows of a file.

    Attributes:
        sales: Rows that are sales, returns or cancellations.
        returned: Rows whose quantity is to be negative.
        cancelled: Rows that count only where their quantity is negative.
        read: Names of the columns that were read.
        assumptions: What was assumed; those on ``returned`` and ``cancelled`` follow with ``settle``.
    """

    sales: NDArray[np.bool_]
    returned: dict[str, NDArray[np.bool_]]
    cancelled: dict[str, NDArray[np.bool_]]
    read: tuple[str, ...]
    assumptions: tuple[Assumption, ...]

    def settle(self, quantity: pd.Series) -> tuple[pd.Series, NDArray[np.bool_], list[Assumption]]:
        """Quantities with the signs of returns, the rows that count, and what was assumed.

        Args:
            quantity: Of the rows that are in ``sales``.
        """
        assumptions = []
        count = np.ones(len(quantity), dtype=bool)
        for name, rows in self.returned.items():
            positive = rows[self.sales] & (quantity > 0).to_numpy()
            if positive.any():
                quantity = quantity.mask(positive, -quantity)
                what = "rows of a return are taken as negative quantities"
                assumptions.append(Assumption(of_column(name), what, _CURE, rows=int(positive.sum())))
        for name, rows in self.cancelled.items():
            positive = rows[self.sales] & ~(quantity < 0).to_numpy()
            if positive.any():
                count &= ~positive
                what = "rows of what was cancelled or taken back are left out"
                assumptions.append(Assumption(of_column(name), what, _CURE, rows=int(positive.sum())))
        return quantity, count, assumptions


def find_row_types(frame: pd.DataFrame, unread: Iterable[str], number: str | None, *, unnamed: bool = True) -> RowTypes:
    """The types of rows by the columns that are not read otherwise.

    Args:
        frame: Rows in the order of the file.
        unread: Names of the columns.
        number: Name of the column of invoice numbers. A type that only the first row of an order has is that of all.
        unnamed: Whether columns of any name may hold events; False for a batch of a table without such columns.

    Raises:
        NothingLeft: All events are views, carts and the like.
    """
    sales = np.ones(len(frame), dtype=bool)
    returned: dict[str, NDArray[np.bool_]] = {}
    cancelled: dict[str, NDArray[np.bool_]] = {}
    read: list[str] = []
    assumptions: list[Assumption] = []
    names = [*unread]
    first_rows_only = False
    named = columns.find_event_columns(names)
    for name in [*named, *(_unnamed_event_columns(frame, names, named) if unnamed else ())]:
        cells, filled = _fill_order(frame, name, number)
        first_rows_only |= filled
        words = {value: _word(value) for value in pd.unique(cells.dropna())}
        if not 0 < len(words) <= MAX_TYPES:
            continue
        known = {
            kind: [value for value, word in words.items() if word in of_kind]
            for kind, of_kind in (("sale", _SALES), ("return", _RETURNS), ("cancelled", _CANCELLED))
        }
        unknown = [value for value in words if not any(value in values for values in known.values())]
        if any(word in _OTHER_EVENTS for word in words.values()):
            read.append(name)
            assumptions.append(_only_sales(name, cells, known, unknown, sales))
        elif unknown and not known["return"] and not known["cancelled"]:
            listed = ", ".join(repr(str(value)) for value in words)
            what = f"it is not read, whatever it holds ({listed}): every row counts as a sale or return"
            read.append(name)
            assumptions.append(Assumption(of_column(name), what, "take out the rows that are no sales"))
            continue
        elif unknown:
            what = f"rows with {', '.join(repr(str(value)) for value in unknown)} count as sales, as it is not known"
            rows = int(cells.isin(unknown).sum())
            assumptions.append(Assumption(of_column(name), what, "take out the rows that are no sales", rows=rows))
        if known["return"] or known["cancelled"]:
            read.append(name)
            is_return, is_cancelled = (cells.isin(known[kind]).to_numpy() for kind in ("return", "cancelled"))
            if columns.is_status(name):
                cancelled[name] = is_return | is_cancelled
            else:
                returned[name], cancelled[name] = is_return, is_cancelled
    for name in columns.find_mark_columns(names):
        if not columns.is_date_of_mark(name) and not frame[name].dropna().map(_is_flag).all():
            continue
        marked = where_distinct(frame[name], _is_mark)
        if marked.any() and not marked.all():
            if first_rows_only and number is not None:
                marked = marked.groupby(frame[number]).transform("any")
            cancelled[name] = marked.to_numpy()
            read.append(name)
    return RowTypes(sales, returned, cancelled, tuple(dict.fromkeys(read)), tuple(assumptions))


def are_events(values: Iterable[object]) -> bool:
    """Whether the values of a column show by their words that it holds purchases among views, carts and the like."""
    words = {_word(value) for value in values}
    return 1 < len(words) <= MAX_TYPES and not _BROWSING.isdisjoint(words) and not _PURCHASES.isdisjoint(words)


def _unnamed_event_columns(frame: pd.DataFrame, names: Iterable[str], named: Iterable[str]) -> list[str]:
    """Columns of events whose name is unknown."""
    others = [name for name in names if name not in {*named}]
    return [name for name in others if are_events(islice(pd.unique(_texts(frame[name])), MAX_TYPES + 1))]


def _texts(cells: pd.Series) -> pd.Series:
    if pd.api.types.is_numeric_dtype(cells.dtype):
        return cells[:0]
    if isinstance(cells.dtype, pd.StringDtype):
        return cells.dropna()
    return cells[cells.map(lambda cell: isinstance(cell, str)).astype(bool)]


def _word(value: object) -> str:
    return re.sub(r"[^a-z]", "", str(value).lower())


def _only_sales(
    name: str,
    cells: pd.Series,
    known: dict[str, list[object]],
    unknown: list[object],
    sales: NDArray[np.bool_],
) -> Assumption:
    """Take events that are no sales out of ``sales``, and return the assumption."""
    if not known["sale"]:
        listed = ", ".join(repr(str(value)) for value in unknown)
        raise NothingLeft(
            f"The column {name} holds {listed}, and none of them is known as a purchase. Leave only the rows of "
            "purchases, or name them purchase."
        )
    is_read = [value for values in known.values() for value in values]
    before = int(sales.sum())
    sales &= cells.isin(is_read).to_numpy()
    left_out = ", ".join(repr(str(value)) for value in unknown) + (
        ", and rows without a type" if cells.isna().any() else ""
    )
    what = f"only {', '.join(repr(str(value)) for value in is_read)} are read, and {left_out} are left out"
    return Assumption(of_column(name), what, _CURE, rows=before - int(sales.sum()))


def _fill_order(frame: pd.DataFrame, name: str, number: str | None) -> tuple[pd.Series, bool]:
    """The cells of a column, a missing one as the first of its order that is not; whether there are such."""
    cells = map_distinct(frame[name], lambda cell: None if isinstance(cell, str) and is_missing(cell) else cell)
    if number is None or not cells.isna().any():
        return cells, False
    first = cells.groupby(frame[number]).transform("first")
    filled = cells.where(cells.notna(), first)
    return filled, bool(filled.notna().sum() > cells.notna().sum())


def _is_flag(cell: object) -> bool:
    """Whether a cell is yes, no or missing."""
    return str(cell).strip().lower() in _MARKED | _NOT_MARKED or (isinstance(cell, str) and is_missing(cell))


def _is_mark(cell: object) -> bool:
    """Whether a cell of a column such as ``Cancelled at`` or ``is_returned`` marks its row."""
    if isinstance(cell, str):
        return not is_missing(cell) and cell.strip().lower() not in _NOT_MARKED
    return bool(cell)
