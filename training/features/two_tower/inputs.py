"""Inputs of the two towers, from customers and items at one date, in training and service alike. NumPy only.

A customer or an item need not occur in the training set: what is unknown has a documented default. A *tag* is a value
of an attribute as a number from 1; 0 stands for a value that is missing, no text, or too rare in training, and its
embedding is 0.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from weakref import WeakKeyDictionary

import msgspec
import numpy as np

from state.events.attributes import NO_ATTRIBUTES, Attributes
from training.features.item_inputs import DEMAND_INPUTS, ItemSnapshot
from training.features.item_table import ItemTable
from training.features.text import TextEncoder
from training.features.two_tower.customer import KNOWN, RFMV, CustomerFeatures, Floats, Ints
from training.features.vocabulary_binding import VocabularyBinding

TIME_VARYING_INPUTS = (*DEMAND_INPUTS, "log_price")
"""Inputs of an item that change with time; see ``training.features.item_inputs``."""


class AttributeVocabulary(msgspec.Struct, frozen=True):
    """Values of attributes that have a tag: ``values[n]`` are those of the attribute ``keys[n]``."""

    keys: list[str]
    values: list[list[str]]

    @property
    def size(self) -> int:
        """Number of tags, the unknown one included."""
        return 1 + sum(len(values) for values in self.values)

    def tags(self) -> list[dict[str, int]]:
        """For each key the tag of each value."""
        found, first = [], 1
        for values in self.values:
            found.append({value: first + number for number, value in enumerate(values)})
            first += len(values)
        return found


class Scales(NamedTuple):
    """Scales of the numbers, fitted on the training set.

    ``rfmv`` float32 ``[2, 4]`` and ``time_varying`` float32 ``[2, TIME_VARYING_INPUTS]``: mean and deviation ·
    ``scores`` float32 ``[4, 4]``: of each of RFMV the limits between its five scores · ``clusters`` float32
    ``[clusters, 4]``: centres of K-means over standardised RFMV · ``bands`` float32 ``[limits]``: limits between
    price bands, log of the price · ``age`` float32 ``[2]``: mean and deviation in years.
    """

    rfmv: Floats
    time_varying: Floats
    scores: Floats
    clusters: Floats
    bands: Floats
    age: Floats


class CustomerInputs(NamedTuple):
    """Inputs of several customers.

    ``row`` int64, ``weight`` float32 ``[entries]`` and ``known`` float32 ``[entries, KNOWN]``: all bags, one after the
    other; ``customer_index`` int64 ``[entries]``: index of the entry's customer · ``numbers`` float32 ``[customers,
    NUMBERS]`` · ``tags`` int64 ``[customers, keys + 1]``, the last one the cluster.
    """

    row: Ints
    weight: Floats
    known: Floats
    customer_index: Ints
    numbers: Floats
    tags: Ints


NUMBERS = (*RFMV, *(f"{name}_score" for name in RFMV), "age", "age_known", "has_bought")
"""Numbers of a customer, in order; scores from 0 (first fifth) to 1 (last fifth), 0 for an unknown age."""


class ItemInputs(NamedTuple):
    """Inputs of all items of a table.

    ``item_index`` int64 ``[rows]``: in the vocabulary of stock codes, its length for an unknown one · ``text`` float32
    ``[rows, width]`` · ``tags`` int64 ``[rows, keys + 1]``, the last one the price band · ``time_varying`` float32
    ``[rows, TIME_VARYING_INPUTS]``.
    """

    item_index: Ints
    text: Floats
    tags: Ints
    time_varying: Floats


class Encoding:
    """From customers and items to inputs: vocabularies, scales and a text encoder, all fitted on the training set."""

    def __init__(
        self,
        codes: Sequence[str],
        customer_tags: AttributeVocabulary,
        item_tags: AttributeVocabulary,
        scales: Scales,
        text: TextEncoder,
    ) -> None:
        """Checks that the parts fit together.

        Raises:
            ValueError: A stock code occurs twice, an attribute has no list of values, or the scales are of another
                shape or not finite.
        """
        if len(set(codes)) != len(codes):
            raise ValueError("a stock code is there twice")
        shapes = {"rfmv": (2, 4), "time_varying": (2, len(TIME_VARYING_INPUTS)), "scores": (4, 4), "age": (2,)}
        for name, shape in shapes.items():
            if getattr(scales, name).shape != shape:
                raise ValueError(f"the scale {name} has the shape {getattr(scales, name).shape}, not {shape}")
        if scales.clusters.shape[1:] != (4,) or scales.bands.ndim != 1:
            raise ValueError("the clusters or the price bands have another shape")
        for tags in (customer_tags, item_tags):
            if len(tags.keys) != len(tags.values):
                raise ValueError(f"{len(tags.keys)} attributes do not go with {len(tags.values)} lists of values")
        for name, array in scales._asdict().items():
            if array.dtype != np.float32 or not np.isfinite(array).all():
                raise ValueError(f"the scale {name} is no finite float32")
        self.codes = list(codes)
        self.customer_tags = customer_tags
        self.item_tags = item_tags
        self.scales = scales
        self.text = text
        self._index = {code: index for index, code in enumerate(self.codes)}
        self._customer_tag_of = customer_tags.tags()
        self._item_tag_of = item_tags.tags()
        self._tables: WeakKeyDictionary[ItemTable, _TableEncoding] = WeakKeyDictionary()

    @property
    def customer_tag_count(self) -> int:
        """Number of tags of customers: those of the attributes, then one a cluster."""
        return self.customer_tags.size + len(self.scales.clusters)

    @property
    def item_tag_count(self) -> int:
        """Number of tags of items: those of the attributes, then one a price band."""
        return self.item_tags.size + len(self.scales.bands) + 1

    def customers(self, customers: Sequence[CustomerFeatures]) -> CustomerInputs:
        """Inputs of several customers."""
        return CustomerInputs(
            row=np.concatenate([each.rows for each in customers]) if customers else np.zeros(0, np.int64),
            weight=np.concatenate([each.weights for each in customers]) if customers else np.zeros(0, np.float32),
            known=np.concatenate([each.known for each in customers])
            if customers
            else np.zeros((0, len(KNOWN)), np.float32),
            customer_index=np.repeat(np.arange(len(customers)), [len(each.rows) for each in customers]),
            numbers=self._numbers(customers),
            tags=self._customer_tags(customers),
        )

    def items(self, items: ItemTable, now: int) -> ItemInputs:
        """Inputs of all rows of a table as of ``now``."""
        encoded = self._tables.get(items)
        if encoded is None:
            binding = VocabularyBinding(len(self.codes), self.text)
            encoded = self._tables[items] = _TableEncoding(binding, self.item_tags.keys, self._item_tag_of)
        encoded.binding.extend(items, self._index)
        encoded.update_tags(items)
        snapshot = ItemSnapshot.at(items, now, 0)
        return ItemInputs(
            item_index=encoded.binding.index_of_row,
            text=encoded.binding.vectors,
            tags=np.concatenate([encoded.tags, self.band(snapshot.log_price)[:, None]], axis=1),
            time_varying=self.time_varying(snapshot.inputs),
        )

    def time_varying(self, inputs: Floats) -> Floats:
        """The time-varying inputs, standardised, within ±6 deviations."""
        mean, deviation = self.scales.time_varying
        standard: Floats = np.clip((inputs - mean) / deviation, -6.0, 6.0)
        return standard

    def band(self, log_price: Floats) -> Ints:
        """Tag of the price band, int64 ``[rows]``."""
        bands: Ints = np.searchsorted(self.scales.bands, log_price).astype(np.int64) + self.item_tags.size
        return bands

    def _numbers(self, customers: Sequence[CustomerFeatures]) -> Floats:
        numbers = np.zeros((len(customers), len(NUMBERS)), np.float32)
        if not customers:
            return numbers
        rfmv = np.stack([each.rfmv for each in customers])
        mean, deviation = self.scales.rfmv
        numbers[:, :4] = np.clip((rfmv - mean) / deviation, -6.0, 6.0)
        numbers[:, 4:8] = self.scores(rfmv) / 4.0
        years = np.asarray([each.age for each in customers], np.float32)
        known = np.isfinite(years)
        numbers[known, 8] = (years[known] - self.scales.age[0]) / self.scales.age[1]
        numbers[:, 9] = known
        numbers[:, 10] = rfmv[:, 1] > 0.0
        return numbers

    def scores(self, rfmv: Floats) -> Ints:
        """RFMV scores from 0 to 4, int64 ``[n, 4]``: the fifth of the training examples in which each number lies."""
        found = [np.searchsorted(limits, column) for limits, column in zip(self.scales.scores, rfmv.T, strict=True)]
        scores: Ints = np.stack(found, axis=1).astype(np.int64)
        return scores

    def cluster(self, rfmv: Floats) -> Ints:
        """The nearest cluster of each customer, int64 ``[n]``."""
        mean, deviation = self.scales.rfmv
        standard = (rfmv - mean) / deviation
        distance = ((standard[:, None, :] - self.scales.clusters[None]) ** 2).sum(axis=2)
        nearest: Ints = np.argmin(distance, axis=1).astype(np.int64)
        return nearest

    def _customer_tags(self, customers: Sequence[CustomerFeatures]) -> Ints:
        keys = self.customer_tags.keys
        tags = np.zeros((len(customers), len(keys) + 1), np.int64)
        for number, each in enumerate(customers):
            tags[number, :-1] = _tags(each.attributes, keys, self._customer_tag_of)
        if customers and len(self.scales.clusters):
            tags[:, -1] = self.cluster(np.stack([each.rfmv for each in customers])) + self.customer_tags.size
        return tags


class _TableEncoding:
    """What the inputs of one item table have in common, whatever the time: binding and tags of its rows."""

    def __init__(self, binding: VocabularyBinding, keys: Sequence[str], tag_of: Sequence[Mapping[str, int]]) -> None:
        self.binding = binding
        self.tags = np.zeros((0, len(keys)), np.int64)
        self._keys = keys
        self._tag_of = tag_of
        self._tagged: list[Attributes] = []

    def update_tags(self, items: ItemTable) -> None:
        """Tags rows that are new or whose attributes have changed: the table returns another object then."""
        n_new = len(items) - len(self.tags)
        self.tags = np.concatenate([self.tags, np.zeros((n_new, len(self._keys)), np.int64)])
        if not self._keys:
            return
        self._tagged.extend([NO_ATTRIBUTES] * n_new)
        for row, code in enumerate(items.codes):
            attributes = items.attributes(code)
            if attributes is not self._tagged[row]:
                self._tagged[row] = attributes
                self.tags[row] = _tags(attributes, self._keys, self._tag_of)


def _tags(attributes: Attributes, keys: Sequence[str], tag_of: Sequence[Mapping[str, int]]) -> list[int]:
    """The tag of the value of each key, 0 without one."""
    return [tags.get(attributes.get(key, ""), 0) for key, tags in zip(keys, tag_of, strict=True)]
