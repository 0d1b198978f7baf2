"""Numbers of tables and events: the decimal that a float stands for."""

import math
from functools import lru_cache

import numpy as np

_DIGITS = 12
"""Significant digits up to which a float is taken as written."""
_DIGITS_OF_SINGLE = (8, 9)
"""Significant digits with which databases write numbers in single precision: 0.1 as 0.100000001."""
_WRITTEN = 5e-15
"""Relative rounding of a float that is written with 15 digits, as spreadsheets write it."""


@lru_cache(maxsize=16_384)
def to_decimal(value: float) -> float:
    """The float of the decimal number that a float stands for, where single precision or arithmetic left noise.

    ``0.30000000000000004`` gives 0.3, and 0.8500000238418579, which is 0.85 in single precision, gives 0.85. A number
    of up to 4 decimals is what it is, and so is one of up to 12 significant digits that is not how single precision
    writes thousandths.
    """
    if not math.isfinite(value) or value == round(value, 4):
        return value
    single, thousandths = np.float32(value), round(value, 3)
    is_single = math.isclose(float(single), value, rel_tol=_WRITTEN)
    written = is_single or value in {float(f"{float(single):.{digits}g}") for digits in _DIGITS_OF_SINGLE}
    if written and single == np.float32(thousandths):
        return thousandths
    if value == float(f"{value:.{_DIGITS}g}"):
        return value
    if not is_single:
        return float(f"{value:.{_DIGITS + 1}g}")
    near = abs(thousandths - value) <= abs(value) * 2.0**-22
    return thousandths if near else float(str(single))
