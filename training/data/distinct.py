"""Functions of a column's values that are computed once for each distinct value, since tables repeat theirs."""

from collections.abc import Callable
from typing import Any

import pandas as pd


def map_distinct(column: pd.Series, function: Callable[[Any], Any]) -> pd.Series:
    """Apply a function to each distinct value once; a missing value stays missing.

    Args:
        column: Any values.
        function: Returns the new value, None for a missing one.

    Returns:
        The new values, dtype object, with the index of the column.
    """
    codes, distinct = pd.factorize(column, use_na_sentinel=True)
    results: list[Any] = [*(function(value) for value in distinct), None]  # a missing value has the code -1
    return pd.Series(pd.array(results, dtype=object).take(codes), index=column.index, dtype=object)


def map_distinct_texts(column: pd.Series, function: Callable[[str], str | None]) -> pd.Series:
    """``map_distinct`` of a column of text, dtype str."""
    return map_distinct(column, function).astype("str")


def where_distinct(column: pd.Series, condition: Callable[[Any], bool]) -> pd.Series:
    """Whether a condition holds of each value; of a missing value it does not."""
    return map_distinct(column, lambda value: condition(value) or None).notna()
