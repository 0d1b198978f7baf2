"""What the two towers read of a customer and of the items at one moment, for training and service alike. Numpy only.

Nothing here depends on a customer or an item having been seen in training: what is unknown has a documented default.
A *tag* is a value of an attribute as a number from 1, 0 for one that was not seen often enough in training, is missing
or is no text; a tag of 0 says nothing, its weights are zeros.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from state.events.attributes import NO_ATTRIBUTES, Attributes
from training.features.basket_lstm.global_statistics import Binding
from training.features.item_inputs import DEMAND_INPUTS, ItemSnapshot
from training.features.item_table import ItemTable
from training.features.text import TextEncoder
from training.serving.two_tower.customer import KNOWN, RFMV, Customer, Floats, Ints

TIME_VARYING_INPUTS = (*DEMAND_INPUTS, "log_price")
"""Inputs of an item that change with time (``training.features.item_inputs``)."""


class AttributeVocabulary(msgspec.Struct, frozen=True):
    """Values of attributes that have a tag: those of ``keys[n]`` are ``values[n]``."""

    keys: list[str]
    values: list[list[str]]

    @property
    def size(self) -> int:
        """Tags in all, the unknown one included."""
        return 1 + sum(len(values) for values in self.values)

    def places(self) -> list[dict[str, int]]:
        """Of each key the tag of each value."""
        found, first = [], 1
        for values in self.values:
            found.append({value: first + number for number, value in enumerate(values)})
            first += len(values)
        return found


class Scales(NamedTuple):
    """What the numbers are measured against, fitted on the training part.

    ``rfmv`` float32 ``[2, 4]`` and ``changing`` float32 ``[2, TIME_VARYING_INPUTS]``: mean and deviation · ``scores``
    float32 ``[4, 4]``: of each of RFMV the limits between its five scores · ``clusters`` float32 ``[clusters, 4]``:
    centres of K-means over standardised RFMV · ``bands`` float32 ``[limits]``: limits between price bands, log of the
    price · ``age`` float32 ``[2]``: mean and deviation in years.
    """

    rfmv: Floats
    changing: Floats
    scores: Floats
    clusters: Floats
    bands: Floats
    age: Floats


class CustomerInputs(NamedTuple):
    """Several customers as the network reads them.

    ``row`` int64, ``weight`` float32 ``[entries]`` and ``known`` float32 ``[entries, KNOWN]``: all bags, one after the
    other; ``owner`` int64 ``[entries]``: whose · ``numbers`` float32 ``[customers, NUMBERS]`` · ``tags`` int64
    ``[customers, keys + 1]``, the last one the cluster.
    """

    row: Ints
    weight: Floats
    known: Floats
    owner: Ints
    numbers: Floats
    tags: Ints


NUMBERS = (*RFMV, *(f"{name}_score" for name in RFMV), "age", "age_known", "has_bought")
"""Numbers of a customer, in order; scores from 0 (first fifth) to 1 (last fifth), 0 for an age that is not known."""


class ItemInputs(NamedTuple):
    """All items of a table as the network reads them.

    ``place`` int64 ``[rows]``: in the vocabulary of stock codes, its length for an unknown one · ``text`` float32
    ``[rows, width]`` · ``tags`` int64 ``[rows, keys + 1]``, the last one the price band · ``changing`` float32
    ``[rows, TIME_VARYING_INPUTS]``.
    """

    place: Ints
    text: Floats
    tags: Ints
    changing: Floats


class Encoding:
    """From customers and items to inputs: vocabularies, scales and a text encoder, all fitted on the training part."""

    def __init__(
        self,
        codes: Sequence[str],
        customer_tags: AttributeVocabulary,
        item_tags: AttributeVocabulary,
        scales: Scales,
        text: TextEncoder,
    ) -> None:
        """Put an encoding together.

        Raises:
            ValueError: A stock code is there twice, an attribute has no list of values, or the scales are of another
                shape or not finite.
        """
        if len(set(codes)) != len(codes):
            raise ValueError("a stock code is there twice")
        wide = {"rfmv": (2, 4), "changing": (2, len(TIME_VARYING_INPUTS)), "scores": (4, 4), "age": (2,)}
        for name, shape in wide.items():
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
        self._place = {code: place for place, code in enumerate(self.codes)}
        self._customer_places = customer_tags.places()
        self._item_places = item_tags.places()
        self._table: ItemTable | None = None

    @property
    def customer_tag_count(self) -> int:
        """Tags of a customer: those of the attributes, then one a cluster."""
        return self.customer_tags.size + len(self.scales.clusters)

    @property
    def item_tag_count(self) -> int:
        """Tags of an item: those of the attributes, then one a price band."""
        return self.item_tags.size + len(self.scales.bands) + 1

    def customers(self, several: Sequence[Customer]) -> CustomerInputs:
        """Inputs of some customers."""
        return CustomerInputs(
            row=np.concatenate([each.rows for each in several]) if several else np.zeros(0, np.int64),
            weight=np.concatenate([each.weights for each in several]) if several else np.zeros(0, np.float32),
            known=np.concatenate([each.known for each in several])
            if several
            else np.zeros((0, len(KNOWN)), np.float32),
            owner=np.repeat(np.arange(len(several)), [len(each.rows) for each in several]),
            numbers=self._numbers(several),
            tags=self._customer_tags(several),
        )

    def items(self, items: ItemTable, now: int) -> ItemInputs:
        """Inputs of all rows of a table as of ``now``."""
        if self._table is not items:
            self._table, self._binding = items, Binding(len(self.codes), self.text)
            self._tags = np.zeros((0, len(self.item_tags.keys)), np.int64)
            self._tagged: list[Attributes] = []
        self._binding.extend(items, self._place)
        self._follow_attributes(items)
        shop = ItemSnapshot.at(items, now, 0)
        return ItemInputs(
            place=self._binding.index_of_row,
            text=self._binding.vectors,
            tags=np.concatenate([self._tags, self.band(shop.log_price)[:, None]], axis=1),
            changing=self.changing(shop.inputs),
        )

    def changing(self, fixed: Floats) -> Floats:
        """The inputs that change with time, standardised, within ±6 deviations."""
        mean, deviation = self.scales.changing
        standard: Floats = np.clip((fixed - mean) / deviation, -6.0, 6.0)
        return standard

    def band(self, log_price: Floats) -> Ints:
        """Tag of the price band, int64 ``[rows]``."""
        bands: Ints = np.searchsorted(self.scales.bands, log_price).astype(np.int64) + self.item_tags.size
        return bands

    def _follow_attributes(self, items: ItemTable) -> None:
        """Tag the rows that are new, and those whose attributes have changed: they are another object then."""
        keys = self.item_tags.keys
        behind = len(items) - len(self._tags)
        self._tags = np.concatenate([self._tags, np.zeros((behind, len(keys)), np.int64)])
        if not keys:
            return
        self._tagged.extend([NO_ATTRIBUTES] * behind)
        for row, code in enumerate(items.codes):
            attributes = items.attributes(code)
            if attributes is not self._tagged[row]:
                self._tagged[row] = attributes
                self._tags[row] = _tags(attributes, keys, self._item_places)

    def _numbers(self, several: Sequence[Customer]) -> Floats:
        numbers = np.zeros((len(several), len(NUMBERS)), np.float32)
        if not several:
            return numbers
        rfmv = np.stack([each.rfmv for each in several])
        mean, deviation = self.scales.rfmv
        numbers[:, :4] = np.clip((rfmv - mean) / deviation, -6.0, 6.0)
        numbers[:, 4:8] = self.scores(rfmv) / 4.0
        years = np.asarray([each.age for each in several], np.float32)
        known = np.isfinite(years)
        numbers[known, 8] = (years[known] - self.scales.age[0]) / self.scales.age[1]
        numbers[:, 9] = known
        numbers[:, 10] = rfmv[:, 1] > 0.0
        return numbers

    def scores(self, rfmv: Floats) -> Ints:
        """RFMV scores from 0 to 4, int64 ``[n, 4]``: in which fifth of the training's moments each number lies."""
        found = [np.searchsorted(limits, column) for limits, column in zip(self.scales.scores, rfmv.T, strict=True)]
        scores: Ints = np.stack(found, axis=1).astype(np.int64)
        return scores

    def cluster(self, rfmv: Floats) -> Ints:
        """The nearest cluster of each customer, int64 ``[n]``."""
        mean, deviation = self.scales.rfmv
        standard = (rfmv - mean) / deviation
        apart = ((standard[:, None, :] - self.scales.clusters[None]) ** 2).sum(axis=2)
        nearest: Ints = np.argmin(apart, axis=1).astype(np.int64)
        return nearest

    def _customer_tags(self, several: Sequence[Customer]) -> Ints:
        keys = self.customer_tags.keys
        tags = np.zeros((len(several), len(keys) + 1), np.int64)
        for number, each in enumerate(several):
            tags[number, :-1] = _tags(each.attributes, keys, self._customer_places)
        if several and len(self.scales.clusters):
            tags[:, -1] = self.cluster(np.stack([each.rfmv for each in several])) + self.customer_tags.size
        return tags


def _tags(attributes: Attributes, keys: Sequence[str], places: Sequence[Mapping[str, int]]) -> list[int]:
    """The tag of the value of each key, 0 for one that has none."""
    return [known.get(attributes.get(key, ""), 0) for key, known in zip(keys, places, strict=True)]
