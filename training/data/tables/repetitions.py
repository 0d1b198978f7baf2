"""Rows of an invoice with the same item, quantity and price that are not alike in every column: each is a line."""

import pandas as pd

from training.data import columns
from training.data.assumption import Assumption

_INVOICE = [columns.CUSTOMER_ID, columns.INVOICE_NO]
_LINE = [*_INVOICE, columns.STOCK_CODE, columns.QUANTITY, columns.UNIT_PRICE]


def separate_lines(frame: pd.DataFrame) -> tuple[pd.DataFrame, Assumption | None]:
    """Give rows without a line id that differ in another column than those of a line an id each.

    On the wire such lines are one, as the same line may come twice. In a table they are units that were scanned one by
    one, or lines for which the shop has a column that is not read. Rows that are alike in every column are one. So are
    rows with gaps in other columns: of two files that overlap, one may lack a column.

    Args:
        frame: Typed rows, all of their customers.
    """
    several = frame.duplicated(_LINE, keep=False) & frame[columns.LINE_ID].isna() & frame[_LINE].notna().all(axis=1)
    rows = frame[several].drop(columns=columns.LINE_ID)
    if rows.empty:
        return frame, None
    gaps = [name for name in (columns.DESCRIPTION, columns.COUNTRY, columns.INVOICE_DATE) if name in rows]
    pattern = rows[gaps].isna().assign(**{columns.GAPS: rows.get(columns.GAPS, 0)})
    line = rows.groupby(_LINE, sort=False).ngroup()
    as_first = (pattern == pattern.groupby(line).transform("first")).all(axis=1)
    kinds = rows[as_first].groupby([*rows.columns], sort=False, dropna=False).ngroup()
    first = kinds.groupby(line[as_first]).transform("first")
    further = kinds[kinds != first]
    if further.empty:
        return frame, None
    number = further.groupby([frame.loc[further.index, name] for name in _INVOICE]).rank(method="dense")
    frame = frame.copy(deep=False)
    ids = frame[columns.LINE_ID].astype(object)
    ids.loc[number.index] = "row " + number.astype("int64").astype("str")
    frame[columns.LINE_ID] = ids.astype("str")
    what = (
        "rows of an invoice with the same item, quantity and price differ in another column, so each is a line that "
        "counts"
    )
    cure = "take out the columns in which they differ"
    example = str(rows.loc[number.index[0], columns.INVOICE_NO])
    return frame, Assumption("rows", what, cure, example, len(number))
