"""Work on a column value by distinct value: tables repeat themselves, so each is looked at once."""

from collections.abc import Callable
from typing import Any

import pandas as pd


def map_distinct(column: pd.Series, function: Callable[[Any], Any]) -> pd.Series:
    """Apply a function to each distinct value once; missing stays missing.

    Args:
        column: Any values.
        function: Gives the new value, None for a missing one.
    """
    codes, distinct = pd.factorize(column, use_na_sentinel=True)
    results: list[Any] = [*(function(value) for value in distinct), None]  # a missing value has the code -1
    return pd.Series(pd.array(results, dtype=object).take(codes), index=column.index, dtype=object)
