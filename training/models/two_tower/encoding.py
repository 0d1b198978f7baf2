"""Fitting what the inputs are measured against, on the training part only: RFMV scores, clusters, scales, tags."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from training.features.item_table import ItemTable
from training.features.text import TextEncoder
from training.models.two_tower.examples import Examples
from training.serving.hybrid_customer import BIRTH_DATE, Floats
from training.serving.hybrid_inputs import CHANGING, Encoding, Scales, Vocabulary

CLUSTERS = 6
"""Clusters of customers by RFMV: where the elbow of Online Retail lies (``elbow``)."""
BANDS = 8
"""Price bands, of equally many items."""
LEAST_SEEN = 5
"""A value of an attribute has a tag if so many moments, or items, have it."""
MOST_VALUES = 500
"""Values of one attribute that have a tag; of more, the most frequent."""
MOST_KEYS = 16
_CLUSTERED_ON = 20_000
_SEED = 0
"""Of K-means: the same customers give the same clusters, whatever the seed of a training."""


def fit_encoding(codes: Sequence[str], examples: Examples, text: TextEncoder) -> Encoding:
    """The encoding of everything in some examples.

    Args:
        codes: Stock codes that have an identity.
        examples: Moments before the end of the training part.
        text: Fitted on descriptions before that.
    """
    rfmv = spaced(examples.rfmv)
    mean, deviation = _scale(rfmv)
    centres = kmeans((rfmv - mean) / deviation, CLUSTERS).cluster_centers_.astype(np.float32)
    every = max(1, len(examples.snapshots) // 32)
    fixed = np.concatenate([each.fixed.astype(np.float32) for each in examples.snapshots[::every]])
    ages = examples.age[np.isfinite(examples.age)]
    table = examples.table
    scales = Scales(
        rfmv=np.stack([mean, deviation]),
        changing=np.stack(_scale(fixed)),
        scores=np.quantile(rfmv, [0.2, 0.4, 0.6, 0.8], axis=0).T.astype(np.float32),
        clusters=centres,
        bands=np.unique(np.quantile(fixed[:, CHANGING.index("log_price")], np.arange(1, BANDS) / BANDS)).astype(
            np.float32
        ),
        age=np.asarray([ages.mean(), max(float(ages.std()), 1.0)] if len(ages) else [0.0, 1.0], np.float32),
    )
    return Encoding(
        codes,
        vocabulary(examples.groups[group] for group in examples.attributes.tolist()),
        vocabulary(item_attributes(table)),
        scales,
        text,
    )


def item_attributes(table: ItemTable) -> list[Mapping[str, str]]:
    """The attributes of every item of a table."""
    return [table.attributes(code) for code in table.codes]


def vocabulary(seen: Iterable[Mapping[str, str]]) -> Vocabulary:
    """The values that have a tag, by key; a birth date has none, it is read as an age."""
    counts: dict[str, Counter[str]] = {}
    for attributes in seen:
        for key, value in attributes.items():
            if key != BIRTH_DATE:
                counts.setdefault(key, Counter())[value] += 1
    keys = sorted(counts, key=lambda key: (-counts[key].total(), key))[:MOST_KEYS]
    values = [
        [
            value
            for value, times in sorted(counts[key].items(), key=lambda each: (-each[1], each[0]))[:MOST_VALUES]
            if times >= LEAST_SEEN
        ]
        for key in keys
    ]
    return Vocabulary(
        [key for key, known in zip(keys, values, strict=True) if known], [known for known in values if known]
    )


def kmeans(standard: Floats, clusters: int) -> KMeans:
    """K-means over standardised RFMV ``[customers, 4]``; no more clusters than distinct customers."""
    clusters = min(clusters, len(np.unique(standard, axis=0)))
    with threadpool_limits(1):
        return KMeans(clusters, n_init=4, random_state=_SEED).fit(standard)


def elbow(rfmv: Floats, most: int = 12) -> list[float]:
    """Mean squared distance to the nearest of 1, 2, … ``most`` centres over standardised RFMV: stop where it bends."""
    mean, deviation = _scale(spaced(rfmv))
    standard = (spaced(rfmv) - mean) / deviation
    return [float(kmeans(standard, count).inertia_) / len(standard) for count in range(1, most + 1)]


def spaced(rfmv: Floats) -> Floats:
    """At most ``_CLUSTERED_ON`` rows, evenly spaced."""
    return rfmv[:: -(-len(rfmv) // _CLUSTERED_ON)]


def _scale(numbers: Floats) -> tuple[Floats, Floats]:
    """Mean and deviation of each column; 1 for one that does not vary."""
    deviation = numbers.std(axis=0, dtype=np.float64)
    return numbers.mean(axis=0, dtype=np.float64).astype(np.float32), np.where(deviation > 1e-6, deviation, 1.0).astype(
        np.float32
    )
