"""Customer clusters: K-means by RFMV (recency, frequency, monetary, variety), and the curve that shows how many.

The two-tower model reads the clusters, and ``training.eda`` draws the curve of the same ones.
"""

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

Floats = NDArray[np.float32]

CLUSTERS = 6
"""Number of clusters: the elbow of Online Retail (``elbow_curve``)."""
_MAX_ROWS = 20_000
_SEED = 0
"""Of K-means: the same customers give the same clusters, whatever the seed of a training."""
_MIN_DEVIATION = 1e-6


def fit_kmeans(standardised: Floats, clusters: int) -> KMeans:
    """K-means over standardised RFMV ``[customers, 4]``, with at most as many clusters as distinct customers."""
    clusters = min(clusters, len(np.unique(standardised, axis=0)))
    with threadpool_limits(1):
        return KMeans(clusters, n_init=4, random_state=_SEED).fit(standardised)


def elbow_curve(rfmv: Floats, max_clusters: int = 12) -> list[float]:
    """Share of the variance of standardised RFMV within 1, 2, … ``max_clusters`` clusters; it bends at a good number.

    The curve ends at the number of distinct customers, of at most 20,000 evenly spaced ones. For customers who are all
    equal it is one share, 0.
    """
    rfmv = evenly_spaced(rfmv)
    mean, deviation = mean_and_deviation(rfmv)
    standardised = (rfmv - mean) / deviation
    max_clusters = min(max_clusters, len(np.unique(standardised, axis=0)))
    within = [float(fit_kmeans(standardised, clusters).inertia_) for clusters in range(1, max_clusters + 1)]
    return [each / within[0] if within[0] else 0.0 for each in within]


def evenly_spaced(rfmv: Floats) -> Floats:
    """At most 20,000 rows, evenly spaced."""
    return rfmv[:: -(-len(rfmv) // _MAX_ROWS)]


def mean_and_deviation(numbers: Floats) -> tuple[Floats, Floats]:
    """Mean and standard deviation of each column; the deviation of a constant column is 1."""
    deviation = numbers.std(axis=0, dtype=np.float64)
    deviation = np.where(deviation > _MIN_DEVIATION, deviation, 1.0)
    return numbers.mean(axis=0, dtype=np.float64).astype(np.float32), deviation.astype(np.float32)
