"""What the two towers read of a customer and of the items at one moment, for training and service alike. Numpy only.

Nothing here depends on a customer or an item having been seen in training: what is unknown has a documented default.
A *tag* is a value of an attribute as a number from 1, 0 for one that was not seen often enough in training, is missing
or is no text; a tag of 0 says nothing, its weights are zeros.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from state.attributes import NONE, Attributes
from state.dates import DAY
from state.history import CustomerHistory
from state.invoice import THOUSAND
from training.features.item_table import ItemTable
from training.features.knowledge import Binding
from training.features.shop import DEMAND_INPUTS, Shop
from training.features.text import TextEncoder

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

BIRTH_DATE = "birth_date"
"""Attribute of a customer that is read as an age: ``1980-05-17``."""
YEAR = 365.25 * DAY

FADE = 0.95
"""What a basket counts in the bag against the one after it."""
MOST_IN_BAG = 256
"""Items of a bag; of more, those that count most."""

RFMV = ("recency", "frequency", "monetary", "variety")
"""log(1 + days since the last purchase), (1 + purchases), (1 + money spent), (1 + distinct items)."""
CHANGING = (*DEMAND_INPUTS, "log_price")
"""Inputs of an item that change with time (``training.features.shop``)."""


class Vocabulary(msgspec.Struct, frozen=True):
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

    ``rfmv`` float32 ``[2, 4]`` and ``changing`` float32 ``[2, CHANGING]``: mean and deviation · ``scores`` float32
    ``[4, 4]``: of each of RFMV the limits between its five scores · ``clusters`` float32 ``[clusters, 4]``: centres of
    K-means over standardised RFMV · ``bands`` float32 ``[limits]``: limits between price bands, log of the price ·
    ``age`` float32 ``[2]``: mean and deviation in years.
    """

    rfmv: Floats
    changing: Floats
    scores: Floats
    clusters: Floats
    bands: Floats
    age: Floats


KNOWN = ("bought_before", "log_times", "log_days_since")
"""Numbers of an item that the customer has: 1, log of the faded number of purchases, log(1 + days since the last)."""


class Customer(NamedTuple):
    """One customer: the bag of the history, numbers and attributes.

    ``rows`` int64 ``[entries]`` of the item table · ``weights`` float32 ``[entries]``, together of length 1 ·
    ``known`` float32 ``[entries, KNOWN]`` · ``rfmv`` float32 ``[4]`` · ``age`` in years, NaN where it is not known.
    """

    rows: Ints
    weights: Floats
    known: Floats
    rfmv: Floats
    age: float
    attributes: Attributes


def customer(history: CustomerHistory, items: ItemTable, now: int) -> Customer:
    """What is read of one customer as of ``now``: of the invoices of the window, gross of returns.

    A customer without purchases has an empty bag and zeros; items that the table does not know are passed over.
    """
    weight: dict[int, float] = {}
    newest: dict[int, int] = {}
    spent, purchases, last = 0.0, 0, None
    fade = 1.0
    distinct: set[str] = set()
    for invoice in reversed(history.invoices):
        if invoice.date > now:
            continue
        bought = {line.stock_code for line in invoice.lines if line.quantity > 0}
        if not bought:
            continue
        last = invoice.date if last is None else last
        spent += sum(line.quantity * line.unit_price for line in invoice.lines if line.quantity > 0) / THOUSAND
        purchases += 1
        distinct |= bought
        for code in bought:
            row = items.rows.get(code)
            if row is not None:
                weight[row] = weight.get(row, 0.0) + fade
                newest.setdefault(row, invoice.date)
        fade *= FADE
    kept = sorted(weight, key=lambda row: (-weight[row], row))[:MOST_IN_BAG]
    weights = np.asarray([weight[row] for row in kept], np.float32)
    idle = np.asarray([(now - newest[row]) / DAY for row in kept], np.float32)
    known = np.stack([np.ones_like(weights), np.log(weights), np.log1p(idle)], axis=1)
    if len(kept):
        weights /= np.float32(np.linalg.norm(weights))
    days = 0.0 if last is None else (now - last) / DAY
    rfmv = np.log1p(np.asarray([days, purchases, spent, len(distinct)])).astype(np.float32)
    attributes = history.attributes
    return Customer(np.asarray(kept, np.int64), weights, known, rfmv, age(attributes.get(BIRTH_DATE), now), attributes)


def age(birth_date: str | None, now: int) -> float:
    """Years since a birth date (``YYYY-MM-DD``, the rest is not read); NaN for none, no date, or 0 to 120 exceeded."""
    try:
        born = int(np.datetime64((birth_date or "")[:10], "D").astype(np.int64)) * DAY
    except ValueError:
        return math.nan
    years = (now - born) / YEAR
    return years if 0.0 <= years <= 120.0 else math.nan


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
    ``[rows, CHANGING]``.
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
        customer_tags: Vocabulary,
        item_tags: Vocabulary,
        scales: Scales,
        text: TextEncoder,
    ) -> None:
        """Put an encoding together.

        Raises:
            ValueError: A stock code is there twice, or the scales are of another shape or not finite.
        """
        if len(set(codes)) != len(codes):
            raise ValueError("a stock code is there twice")
        wide = {"rfmv": (2, 4), "changing": (2, len(CHANGING)), "scores": (4, 4), "age": (2,)}
        for name, shape in wide.items():
            if getattr(scales, name).shape != shape:
                raise ValueError(f"the scale {name} has the shape {getattr(scales, name).shape}, not {shape}")
        if scales.clusters.shape[1:] != (4,) or scales.bands.ndim != 1:
            raise ValueError("clusters or price bands are of another shape")
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
        shop = Shop.at(items, now, 0)
        return ItemInputs(
            place=self._binding.place_of_row,
            text=self._binding.vectors,
            tags=np.concatenate([self._tags, self.band(shop.log_price)[:, None]], axis=1),
            changing=self.changing(shop.fixed),
        )

    def changing(self, fixed: Floats) -> Floats:
        """The inputs that change with time, standardised, within ±6 deviations."""
        mean, deviation = self.scales.changing
        return np.clip((fixed - mean) / deviation, -6.0, 6.0)

    def band(self, log_price: Floats) -> Ints:
        """Tag of the price band, int64 ``[rows]``."""
        return np.searchsorted(self.scales.bands, log_price).astype(np.int64) + self.item_tags.size

    def _follow_attributes(self, items: ItemTable) -> None:
        """Tag the rows that are new, and those whose attributes have changed: they are another object then."""
        keys = self.item_tags.keys
        behind = len(items) - len(self._tags)
        self._tags = np.concatenate([self._tags, np.zeros((behind, len(keys)), np.int64)])
        if not keys:
            return
        self._tagged.extend([NONE] * behind)
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
        """RFMV scores from 0 to 4, int64 ``[n, 4]``: in which fifth of the training's customers each number lies."""
        found = [np.searchsorted(limits, column) for limits, column in zip(self.scales.scores, rfmv.T, strict=True)]
        return np.stack(found, axis=1).astype(np.int64)

    def cluster(self, rfmv: Floats) -> Ints:
        """The nearest cluster of each customer, int64 ``[n]``."""
        mean, deviation = self.scales.rfmv
        standard = (rfmv - mean) / deviation
        apart = ((standard[:, None, :] - self.scales.clusters[None]) ** 2).sum(axis=2)
        return np.argmin(apart, axis=1).astype(np.int64)

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
