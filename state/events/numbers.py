"""Numbers of tables and events: the decimal that a float stands for."""

import math
from functools import lru_cache

import numpy as np

_DIGITS = 12
"""Significant digits up to which a float is taken as written."""
_WRITTEN = 5e-15
"""Relative rounding of a float that is written with 15 digits, as spreadsheets write it."""


@lru_cache(maxsize=16_384)
def to_decimal(value: float) -> float:
    """The float of the decimal number that a float stands for, where single precision or arithmetic left noise.

    ``0.30000000000000004`` gives 0.3, and 0.8500000238418579, which is 0.85 in single precision, gives 0.85. A number
    of up to 12 significant digits is what it is.
    """
    if not math.isfinite(value) or value.is_integer() or value == float(f"{value:.{_DIGITS}g}"):
        return value
    if not math.isclose(float(single := np.float32(value)), value, rel_tol=_WRITTEN):
        return float(f"{value:.{_DIGITS + 1}g}")
    thousandths = round(value, 3)
    near = abs(thousandths - value) <= abs(value) * 2.0**-22
    return thousandths if near else float(str(single))
