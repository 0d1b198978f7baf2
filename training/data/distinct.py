"""Functions of a column's values that are computed once for each distinct value, since tables repeat theirs."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def map_distinct(column: pd.Series, function: Callable[[Any], Any]) -> pd.Series:
    """Apply a function to each distinct value once; a missing value stays missing.

    Args:
        column: Any values.
        function: Returns the new value, None for a missing one.

    Returns:
        The new values, dtype object, with the index of the column.
    """
    codes, distinct = _factorized(column)
    results: list[Any] = [*map(function, distinct), None]  # a missing value has the code -1
    return pd.Series(pd.array(results, dtype=object).take(codes), index=column.index, dtype=object)


def map_distinct_texts(column: pd.Series, function: Callable[[Any], str | None]) -> pd.Series:
    """``map_distinct`` to text, dtype str."""
    codes, distinct = _factorized(column)
    results = pd.array([*map(function, distinct), None], dtype="str")
    return pd.Series(results.take(codes), index=column.index)


def where_distinct(column: pd.Series, condition: Callable[[Any], bool]) -> pd.Series:
    """Whether a condition holds of each value; of a missing value it does not."""
    codes, distinct = _factorized(column)
    holds = np.array([*(bool(condition(value)) for value in distinct), False])
    return pd.Series(holds[codes], index=column.index)


def distinct_values(column: pd.Series) -> list[Any]:
    """The distinct values of a column but missing ones, in the order of their first rows."""
    return _factorized(column)[1]


def _factorized(column: pd.Series) -> tuple[NDArray[np.intp], list[Any]]:
    """The index of each value among the distinct ones, -1 for a missing one, and the distinct values."""
    codes, distinct = pd.factorize(column, use_na_sentinel=True)
    # A list, because the texts of pandas are made one by one whenever they are walked.
    return codes, pd.Series(distinct).to_numpy(dtype=object).tolist()
