"""Sales: the cleaned lines in units, local time and currency, after returns, and the baskets they form."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from state.events.invoice import THOUSAND
from training.data import columns
from training.data.cleaning.clean import ITEM, CleanedLines

__all__ = ["BASKET", "ITEM", "ORDER", "REVENUE", "SOLD_REVENUE", "SOLD_UNITS", "TIME", "UNITS", "Sales", "sales"]

BASKET = "basket"
TIME = "time"
ORDER = "order"
REVENUE = "revenue"
UNITS = "units"
SOLD_REVENUE = "sold_revenue"
SOLD_UNITS = "sold_units"


@dataclass(frozen=True)
class Sales:
    """Sold and returned lines, and baskets.

    Attributes:
        lines: One row a purchased line: ``customer_id``, ``stock_code``, ``item`` (a category: the code's description,
            or the code where it has none), ``country`` (may be missing), ``units`` and ``revenue`` after returns (units
            × price, in the currency of the table; 0 for a line that came back whole), ``sold_units`` and
            ``sold_revenue`` before returns, ``time`` (local time without a zone) and ``basket`` (its row in
            ``baskets``).
        returns: The same of returned lines, with ``units`` and ``revenue`` above 0 and no ``basket``. Returns of what
            the table does not sell before are among them, and reduce no line.
        baskets: One row a basket, which is an invoice of a customer with a purchase, sorted by customer, time and
            invoice number, before returns: ``customer_id``, ``invoice_no``, ``time`` (its earliest), ``items``
            (distinct), ``units``, ``revenue`` and ``order`` (1 for the customer's first).
    """

    lines: pd.DataFrame
    returns: pd.DataFrame
    baskets: pd.DataFrame


def sales(cleaned: CleanedLines, timezone: str) -> Sales:
    """The sales of a cleaned table, with its dates in a time zone."""
    frame = cleaned.frame
    rows = frame[[columns.CUSTOMER_ID, columns.INVOICE_NO, columns.STOCK_CODE, columns.COUNTRY]].copy()
    rows[ITEM] = pd.Categorical(frame[ITEM].fillna(frame[columns.STOCK_CODE]))
    rows[SOLD_UNITS] = frame[columns.QUANTITY] / THOUSAND
    rows[SOLD_REVENUE] = rows[SOLD_UNITS] * frame[columns.UNIT_PRICE]
    rows[UNITS] = after_returns(frame) / THOUSAND
    rows[REVENUE] = rows[UNITS] * frame[columns.UNIT_PRICE]
    rows[TIME] = pd.to_datetime(frame[columns.DATE], unit="s", utc=True).dt.tz_convert(timezone).dt.tz_localize(None)
    lines = rows[rows[SOLD_UNITS] > 0].reset_index(drop=True)
    returns = rows[rows[SOLD_UNITS] < 0].reset_index(drop=True)
    returns[[UNITS, REVENUE]] = -returns[[SOLD_UNITS, SOLD_REVENUE]]
    invoice = [columns.CUSTOMER_ID, columns.INVOICE_NO]
    groups = lines.groupby(invoice, sort=False)
    baskets = groups.agg(time=(TIME, "min"), units=(SOLD_UNITS, "sum"), revenue=(SOLD_REVENUE, "sum"))
    distinct = lines.drop_duplicates([*invoice, columns.STOCK_CODE])
    baskets["items"] = distinct.groupby(invoice, sort=False).size()
    baskets = baskets.reset_index().sort_values([columns.CUSTOMER_ID, TIME, columns.INVOICE_NO], ignore_index=True)
    baskets[ORDER] = baskets.groupby(columns.CUSTOMER_ID, sort=False).cumcount() + 1
    indices = pd.Series(baskets.index, index=pd.MultiIndex.from_frame(baskets[invoice]))
    lines[BASKET] = indices.reindex(pd.MultiIndex.from_frame(lines[invoice])).to_numpy()
    no_invoice = returns.drop(columns=[columns.INVOICE_NO, SOLD_UNITS, SOLD_REVENUE])
    return Sales(lines.drop(columns=columns.INVOICE_NO), no_invoice, baskets)


def after_returns(frame: pd.DataFrame) -> npt.NDArray[np.int64]:
    """The quantity of each line less what came back of it, in thousandths; 0 for a return.

    By the rule of histories (``state.domain.history.baskets``): a return reduces the customer's purchases of the item
    dated at or before it, the latest first.
    """
    quantity = frame[columns.QUANTITY].to_numpy(dtype="int64")
    left: npt.NDArray[np.int64] = np.maximum(quantity, 0)
    pair = pd.MultiIndex.from_frame(frame[[columns.CUSTOMER_ID, columns.STOCK_CODE]].astype("object"))
    involved = np.flatnonzero(pair.isin(pair[quantity < 0]))
    rows = frame.iloc[involved][[columns.CUSTOMER_ID, columns.STOCK_CODE, columns.DATE, columns.INVOICE_NO]]
    rows = rows.astype({columns.CUSTOMER_ID: "object", columns.STOCK_CODE: "object"})
    rows = rows.assign(position=involved, is_return=quantity[involved] < 0)
    rows = rows.sort_values([columns.DATE, "is_return", columns.INVOICE_NO], kind="stable")
    open_purchases: dict[tuple[str, str], list[int]] = {}
    for customer, code, _, _, position, is_return in rows.itertuples(index=False):
        purchases = open_purchases.setdefault((customer, code), [])
        if not is_return:
            purchases.append(position)
            continue
        open_quantity = -quantity[position]
        while purchases and open_quantity:
            taken = min(open_quantity, left[purchases[-1]])
            left[purchases[-1]] -= taken
            open_quantity -= taken
            if not left[purchases[-1]]:
                purchases.pop()
    return left
