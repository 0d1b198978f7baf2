"""Clusters of customers by RFMV (recency, frequency, monetary, variety): K-means, and the elbow that tells how many.

Here and not beside the model that reads them, so that a report can draw what the model uses.
"""

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

Floats = NDArray[np.float32]

CLUSTERS = 6
"""Clusters of customers by RFMV: where the elbow of Online Retail lies (``elbow_curve``)."""
_CLUSTERED_ON = 20_000
_SEED = 0
"""Of K-means: the same customers give the same clusters, whatever the seed of a training."""


def fit_kmeans(standard: Floats, clusters: int) -> KMeans:
    """K-means over standardised RFMV ``[customers, 4]``; no more clusters than distinct customers."""
    clusters = min(clusters, len(np.unique(standard, axis=0)))
    with threadpool_limits(1):
        return KMeans(clusters, n_init=4, random_state=_SEED).fit(standard)


def elbow_curve(rfmv: Floats, most: int = 12) -> list[float]:
    """The share of the variance of standardised RFMV that is left within 1, 2, … ``most`` clusters: stop at the bend.

    There are no more than distinct customers (of whom at most 20,000, evenly spaced, are looked at); of customers who
    are all alike there is one share, 0.
    """
    rfmv = evenly_spaced(rfmv)
    mean, deviation = mean_and_deviation(rfmv)
    standard = (rfmv - mean) / deviation
    most = min(most, len(np.unique(standard, axis=0)))
    left = [float(fit_kmeans(standard, count).inertia_) for count in range(1, most + 1)]
    return [each / left[0] if left[0] else 0.0 for each in left]


def evenly_spaced(rfmv: Floats) -> Floats:
    """At most 20,000 rows, evenly spaced."""
    return rfmv[:: -(-len(rfmv) // _CLUSTERED_ON)]


def mean_and_deviation(numbers: Floats) -> tuple[Floats, Floats]:
    """Mean and deviation of each column; 1 for one that does not vary."""
    deviation = numbers.std(axis=0, dtype=np.float64)
    return numbers.mean(axis=0, dtype=np.float64).astype(np.float32), np.where(deviation > 1e-6, deviation, 1.0).astype(
        np.float32
    )
