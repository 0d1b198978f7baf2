"""Receipt numbers that start anew: purchases of one customer under one number may be several invoices."""

import numpy as np
import pandas as pd

from training.data import columns
from training.data.assumption import Assumption

_ANEW = pd.Timedelta(days=7)
"""Between two purchases under one invoice number of a customer, from which they are two invoices."""
_ANEW_SHARED = pd.Timedelta(hours=12)
"""The same where numbers start anew all the time, as those of a till that counts from 1 every day."""
_MAX_PAIRS = 200_000
_MIN_SHARED = 2
_SHARED_SHARE = 0.1
"""Of the numbers of a table, how many have several customers where they start anew."""
_CURE = "give each invoice a number of its own"


class NumberUse:
    """Whether the numbers of a table have several customers, from a sample of the numbers that does not grow.

    The sample is of the numbers with the smallest hashes, so it is the same however the table is split into batches.
    """

    def __init__(self, most: int = _MAX_PAIRS) -> None:
        """Start before the first batch; ``most`` pairs of number and customer are in memory."""
        self._most = most
        self._largest = np.iinfo(np.uint64).max
        self._pairs = pd.DataFrame({"number": [], "customer": []}, dtype=np.uint64)

    def __len__(self) -> int:
        """Number of pairs in memory."""
        return len(self._pairs)

    def add(self, numbers: pd.Series, customers: pd.Series) -> None:
        """Add the rows of a batch; those without number or customer do not count."""
        known = (numbers.notna() & customers.notna()).to_numpy()
        batch = pd.DataFrame(
            {
                "number": pd.util.hash_pandas_object(numbers[known], index=False).to_numpy(),
                "customer": pd.util.hash_pandas_object(customers[known], index=False).to_numpy(),
            }
        )
        batch = batch[batch["number"] <= self._largest]
        self._pairs = pd.concat([self._pairs, batch], ignore_index=True).drop_duplicates(ignore_index=True)
        while len(self._pairs) > self._most:
            self._largest //= 2
            self._pairs = self._pairs[self._pairs["number"] <= self._largest]

    @property
    def start_anew(self) -> bool:
        """Whether so many numbers have several customers that a number is no invoice of its own."""
        shared = self._pairs.groupby("number").size() > 1
        return int(shared.sum()) >= _MIN_SHARED and float(shared.mean()) >= _SHARED_SHARE


def separate_receipts(frame: pd.DataFrame, *, start_anew: bool) -> tuple[pd.DataFrame, list[Assumption]]:
    """Give purchases of a customer under one number that are separate receipts numbers of their own.

    Those of other tills have their till behind the number, later ones their day; a return keeps the number.

    Args:
        frame: Typed rows, all of their customers.
        start_anew: ``NumberUse.start_anew`` of the whole table.
    """
    frame, by_till = _separate_tills(frame, start_anew=start_anew)
    frame, by_date = _separate_dates(frame, start_anew=start_anew)
    return frame, [*by_till, *by_date]


def _separate_tills(frame: pd.DataFrame, *, start_anew: bool) -> tuple[pd.DataFrame, list[Assumption]]:
    """Receipts of several tills under one number; rows of one time are of one receipt unless numbers start anew."""
    if columns.TILL not in frame:
        return frame, []
    key = [columns.CUSTOMER_ID, columns.INVOICE_NO]
    rows = frame.loc[frame[columns.QUANTITY] > 0, [*key, columns.TILL, columns.INVOICE_DATE]].dropna()
    tills = rows.groupby(key)[columns.TILL].nunique()
    index = pd.MultiIndex.from_frame(rows[key])
    rows = rows[index.isin(tills.index[tills > 1])]
    if rows.empty:
        return frame, []
    if not start_anew:
        of_one_time = rows.groupby([*key, columns.INVOICE_DATE])[columns.TILL].transform("nunique") > 1
        mixed = of_one_time.groupby([rows[name] for name in key]).transform("any")
        rows = rows[~mixed]
    rows = rows.sort_values([*key, columns.INVOICE_DATE, columns.TILL], kind="stable")
    other = rows[rows[columns.TILL] != rows.groupby(key)[columns.TILL].transform("first")]
    if other.empty:
        return frame, []
    what = "purchases of one customer under one number at several tills are separate invoices, with the till behind it"
    return _renumber(frame, other, other[columns.TILL]), [_assumption(what, other)]


def _separate_dates(frame: pd.DataFrame, *, start_anew: bool) -> tuple[pd.DataFrame, list[Assumption]]:
    """Receipts of several dates under one number."""
    least = _ANEW_SHARED if start_anew else _ANEW
    key = [columns.CUSTOMER_ID, columns.INVOICE_NO]
    rows = frame.loc[frame[columns.QUANTITY] > 0, [*key, columns.INVOICE_DATE]].dropna()
    span = rows.groupby(key)[columns.INVOICE_DATE].agg(["min", "max"])
    reused = span.index[span["max"] - span["min"] >= least]
    if not len(reused):
        return frame, []
    index = pd.MultiIndex.from_frame(rows[key])
    rows = rows[index.isin(reused)].sort_values([*key, columns.INVOICE_DATE], kind="stable")
    gap = rows.groupby(key)[columns.INVOICE_DATE].diff()
    anew = (gap >= least).groupby([rows[name] for name in key]).cumsum()
    later = rows[anew > 0]
    if later.empty:
        return frame, []
    day = later.groupby([*key, anew[anew > 0]])[columns.INVOICE_DATE].transform("min").dt.strftime("%Y-%m-%d")
    apart = "on several days" if start_anew else "a week apart or more"
    what = (
        f"invoice numbers start anew: purchases of one customer under one number {apart} are separate invoices, the "
        "later ones with their day behind the number"
    )
    return _renumber(frame, later, day), [_assumption(what, later)]


def _renumber(frame: pd.DataFrame, rows: pd.DataFrame, behind: pd.Series) -> pd.DataFrame:
    """The frame with a text behind the invoice numbers of some rows."""
    frame = frame.copy(deep=False)
    numbers = frame[columns.INVOICE_NO].astype(object)
    numbers.loc[rows.index] = rows[columns.INVOICE_NO].astype(object) + " " + behind.astype(object)
    frame[columns.INVOICE_NO] = numbers.astype("str")
    return frame


def _assumption(what: str, rows: pd.DataFrame) -> Assumption:
    return Assumption("invoice numbers", what, _CURE, str(rows[columns.INVOICE_NO].iloc[0]), len(rows))
