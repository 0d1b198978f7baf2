"""Sales: the cleaned lines in units, local time and currency, and the baskets they form."""

from dataclasses import dataclass

import pandas as pd

from state.events.invoice import THOUSAND
from training.data import columns
from training.data.cleaning.clean import ITEM, CleanedLines

__all__ = ["BASKET", "ITEM", "ORDER", "REVENUE", "TIME", "UNITS", "Sales", "sales"]

BASKET = "basket"
TIME = "time"
ORDER = "order"
REVENUE = "revenue"
UNITS = "units"


@dataclass(frozen=True)
class Sales:
    """Sold and returned lines, and baskets.

    Attributes:
        lines: One row a purchased line: ``customer_id``, ``stock_code``, ``item`` (a category: the code's description,
            or the code where it has none), ``country`` (may be missing), ``units``, ``revenue`` (units × price, in the
            currency of the table), ``time`` (local time without a zone) and ``basket`` (its row in ``baskets``).
        returns: The same of returned lines, with ``units`` and ``revenue`` above 0 and no ``basket``.
        baskets: One row a basket, which is an invoice of a customer with a purchase, sorted by customer, time and
            invoice number: ``customer_id``, ``invoice_no``, ``time`` (its earliest), ``items`` (distinct), ``units``,
            ``revenue`` and ``order`` (1 for the customer's first).
    """

    lines: pd.DataFrame
    returns: pd.DataFrame
    baskets: pd.DataFrame


def sales(cleaned: CleanedLines, timezone: str) -> Sales:
    """The sales of a cleaned table, with its dates in a time zone."""
    frame = cleaned.frame
    rows = frame[[columns.CUSTOMER_ID, columns.INVOICE_NO, columns.STOCK_CODE, columns.COUNTRY]].copy()
    rows[ITEM] = pd.Categorical(frame[ITEM].fillna(frame[columns.STOCK_CODE]))
    rows[UNITS] = frame[columns.QUANTITY] / THOUSAND
    rows[REVENUE] = rows[UNITS] * frame[columns.UNIT_PRICE]
    rows[TIME] = pd.to_datetime(frame[columns.DATE], unit="s", utc=True).dt.tz_convert(timezone).dt.tz_localize(None)
    lines = rows[rows[UNITS] > 0].reset_index(drop=True)
    returns = rows[rows[UNITS] < 0].reset_index(drop=True)
    returns[[UNITS, REVENUE]] = -returns[[UNITS, REVENUE]]
    invoice = [columns.CUSTOMER_ID, columns.INVOICE_NO]
    groups = lines.groupby(invoice, sort=False)
    baskets = groups.agg(time=(TIME, "min"), units=(UNITS, "sum"), revenue=(REVENUE, "sum"))
    distinct = lines.drop_duplicates([*invoice, columns.STOCK_CODE])
    baskets["items"] = distinct.groupby(invoice, sort=False).size()
    baskets = baskets.reset_index().sort_values([columns.CUSTOMER_ID, TIME, columns.INVOICE_NO], ignore_index=True)
    baskets[ORDER] = baskets.groupby(columns.CUSTOMER_ID, sort=False).cumcount() + 1
    indices = pd.Series(baskets.index, index=pd.MultiIndex.from_frame(baskets[invoice]))
    lines[BASKET] = indices.reindex(pd.MultiIndex.from_frame(lines[invoice])).to_numpy()
    return Sales(lines.drop(columns=columns.INVOICE_NO), returns.drop(columns=columns.INVOICE_NO), baskets)
