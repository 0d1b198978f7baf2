"""Standardisation of network inputs."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

BOUND = 8.0
"""Standardised inputs are clipped to ±this, so that values far outside the training set stay bounded."""


def standardise(values: Floats, mean: Floats, deviation: Floats) -> Floats:
    """(values − mean) / deviation, clipped to ±``BOUND``."""
    scaled: Floats = values - mean
    scaled /= deviation
    return np.clip(scaled, -BOUND, BOUND, out=scaled)
