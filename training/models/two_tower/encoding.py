"""Fits the encoding of the inputs on the training set only: RFMV scores, clusters, scales, tags."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from training.features.customer_clusters import CLUSTERS, evenly_spaced, fit_kmeans, mean_and_deviation
from training.features.item_table import ItemTable
from training.features.text import TextEncoder
from training.features.two_tower.customer import BIRTH_DATE
from training.features.two_tower.inputs import TIME_VARYING_INPUTS, AttributeVocabulary, Encoding, Scales
from training.models.two_tower.examples import Examples

BANDS = 8
"""Price bands, of equally many items."""
MIN_COUNT = 5
"""A value of an attribute has a tag if so many examples, or items, have it."""
MAX_VALUES = 500
"""Values of one attribute that have a tag; of more, the most frequent."""
MAX_KEYS = 16


def fit_encoding(codes: Sequence[str], examples: Examples, text: TextEncoder) -> Encoding:
    """The encoding of everything in some examples.

    Scales, scores and clusters of RFMV are fitted over moments, not over customers: a customer counts as often as there
    was a purchase, as in training, and recency is that of a visit or an emission.

    Args:
        codes: Stock codes that have an identity.
        examples: Moments before the end of the training part.
        text: Fitted on descriptions before that.
    """
    rfmv = evenly_spaced(examples.rfmv)
    mean, deviation = mean_and_deviation(rfmv)
    centres = fit_kmeans((rfmv - mean) / deviation, CLUSTERS).cluster_centers_.astype(np.float32)
    spacing = max(1, len(examples.snapshots) // 32)
    inputs = np.concatenate([each.inputs.astype(np.float32) for each in examples.snapshots[::spacing]])
    ages = examples.age[np.isfinite(examples.age)]
    table = examples.table
    scales = Scales(
        rfmv=np.stack([mean, deviation]),
        time_varying=np.stack(mean_and_deviation(inputs)),
        scores=np.quantile(rfmv, [0.2, 0.4, 0.6, 0.8], axis=0).T.astype(np.float32),
        clusters=centres,
        bands=np.unique(
            np.quantile(inputs[:, TIME_VARYING_INPUTS.index("log_price")], np.arange(1, BANDS) / BANDS)
        ).astype(np.float32),
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


def vocabulary(seen: Iterable[Mapping[str, str]]) -> AttributeVocabulary:
    """The values that have a tag, by key; a birth date has none, it is read as an age."""
    counts: dict[str, Counter[str]] = {}
    for attributes in seen:
        for key, value in attributes.items():
            if key != BIRTH_DATE:
                counts.setdefault(key, Counter())[value] += 1
    keys = sorted(counts, key=lambda key: (-counts[key].total(), key))[:MAX_KEYS]
    values = [
        [
            value
            for value, times in sorted(counts[key].items(), key=lambda each: (-each[1], each[0]))[:MAX_VALUES]
            if times >= MIN_COUNT
        ]
        for key in keys
    ]
    return AttributeVocabulary(
        [key for key, known in zip(keys, values, strict=True) if known], [known for known in values if known]
    )
