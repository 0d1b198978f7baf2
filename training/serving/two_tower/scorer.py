"""The two-tower models as scorers: towers, a calibration, a return-time model; and their bundles. NumPy only."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from state.domain.history import CustomerHistory
from training.features.item_table import ItemTable
from training.features.largest_first import largest_first
from training.features.text import TextEncoder, load_text
from training.features.two_tower.customer import CustomerFeatures, Floats, Ints, customer_features
from training.features.two_tower.inputs import (
    NUMBERS,
    TIME_VARYING_INPUTS,
    AttributeVocabulary,
    Encoding,
    ItemInputs,
    Scales,
)
from training.registry import read_vocabulary, write_vocabulary
from training.serving.baselines.scorer import BaselineScorer, PlattCalibration
from training.serving.bundle_files import read_arrays, refusing
from training.serving.return_time.gap_shares import GapShareCurves
from training.serving.scorer import Candidate, Prediction
from training.serving.two_tower.network import NumpyTowers

SETTINGS = "hybrid.json"
NETWORK = "network.npz"
SCALES = "scales.npz"
CURVES = "returns.npz"

STORED_SCALES = {"time_varying": "changing"}
"""Names of the scales in a bundle, where they are not those of ``Scales``."""

CUSTOMERS_PER_BATCH = 64
"""Customers scored in one batch: bounds the memory."""

UNKNOWN_SHOP = PlattCalibration(bias=2.5, slope=1.0, per_basket=0.0)
"""Used where none can be fitted: a softmax over all items sums to 1, a basket holds about a dozen items."""


class TwoTowerScorer:
    """Two towers as a ``Scorer``.

    A customer without purchases and without known attributes gets the ranking of ``count_demand``.
    """

    def __init__(
        self,
        name: str,
        version: str,
        *,
        encoding: Encoding,
        towers: NumpyTowers,
        calibration: PlattCalibration | None,
        return_time: GapShareCurves,
    ) -> None:
        """Combines the fitted parts.

        Args:
            name: ``hybrid``, ``content`` or ``collaborative``.
            version: Of the bundle; ``unpublished`` before there is one.
            encoding: From customers and items to inputs.
            towers: From inputs to scores.
            calibration: From a softmax over all items to probabilities; ``DEFAULT_CALIBRATION`` if None.
            return_time: Probabilities of a return.

        Raises:
            ValueError: The towers were trained on other inputs than the encoding computes.
        """
        towers.check(
            codes=len(encoding.codes),
            text=encoding.text.width,
            numbers=len(NUMBERS),
            time_varying=len(TIME_VARYING_INPUTS),
            customer_tags=encoding.customer_tag_count,
            item_tags=encoding.item_tag_count,
        )
        self.name = name
        self.version = version
        self.encoding = encoding
        self.towers = towers
        self.calibration = calibration or UNKNOWN_SHOP
        self.return_time = return_time
        self._fallback = BaselineScorer("count_demand", version, return_time=return_time)

    def predict(self, histories: Sequence[CustomerHistory], items: ItemTable, now: int, k: int) -> list[Prediction]:
        """Rank up to ``k`` items for each customer; see ``Scorer``."""
        if not len(items):
            return self._fallback.predict(histories, items, now, k)
        inputs = self.encoding.items(items, now)
        vectors, biases = self.towers.items(inputs)
        predictions: list[Prediction] = []
        for start in range(0, len(histories), CUSTOMERS_PER_BATCH):
            batch = histories[start : start + CUSTOMERS_PER_BATCH]
            customers = [customer_features(history, items, now) for history in batch]
            encoded = self.encoding.customers(customers)
            scores = self.towers.scores(encoded, inputs, items=(vectors, biases))
            tagged = encoded.tags[:, :-1].max(axis=1, initial=0)
            for number, customer in enumerate(customers):
                has_attributes = tagged[number] or np.isfinite(customer.age)
                if len(customer.rows) or (self.towers.features and has_attributes):
                    predictions.append(
                        self._prediction(batch[number], customer, scores[number], inputs, vectors, items, now, k)
                    )
                else:
                    predictions.extend(self._fallback.predict([batch[number]], items, now, k))
        return predictions

    def rank(
        self, history: CustomerHistory, items: ItemTable, now: int, k: int
    ) -> tuple[list[str], NDArray[np.float64], int]:
        """Stock codes, best first, their shares of the softmax, and the number of baskets: for a calibration."""
        inputs = self.encoding.items(items, now)
        customer = customer_features(history, items, now)
        scores = self.towers.scores(self.encoding.customers([customer]), inputs)[0]
        order, shares = _best(scores, k, items)
        return [items.codes[row] for row in order], shares, _n_purchases(customer)

    def item_vectors(self, items: ItemTable, now: int) -> Floats:
        """Vectors of items, float32 ``[rows, width]``, with the time-varying inputs at their mean."""
        inputs = self.encoding.items(items, now)
        return self.towers.items(inputs._replace(time_varying=np.zeros_like(inputs.time_varying)))[0]

    def customer_vectors(self, histories: Sequence[CustomerHistory], items: ItemTable, now: int) -> Floats:
        """Vectors of customers, float32 ``[customers, width]``."""
        inputs = self.encoding.items(items, now)
        customers = [customer_features(history, items, now) for history in histories]
        return self.towers.customers(self.encoding.customers(customers), inputs)

    def return_curves(self, histories: Sequence[CustomerHistory], now: int) -> NDArray[np.float64]:
        """When customers return; see ``ReturnCurves``."""
        return self.return_time.curves_of([history.purchase_dates for history in histories], now)

    def _prediction(
        self,
        history: CustomerHistory,
        customer: CustomerFeatures,
        scores: Floats,
        inputs: ItemInputs,
        vectors: Floats,
        items: ItemTable,
        now: int,
        k: int,
    ) -> Prediction:
        order, shares = _best(scores, k, items)
        probabilities = self.calibration.probabilities(shares, _n_purchases(customer))
        sources = self._source_rows(customer, inputs, vectors[order])
        candidates = [
            Candidate(items.codes[row], p, None if source < 0 else items.codes[source])
            for row, p, source in zip(order.tolist(), probabilities.tolist(), sources.tolist(), strict=True)
        ]
        return Prediction(candidates, self.return_time.curve(history.purchase_dates, now))

    def _source_rows(self, customer: CustomerFeatures, inputs: ItemInputs, output_vectors: Floats) -> Ints:
        """Row of the item of the history whose embedding contributes most to each score; −1 where none does."""
        if not self.towers.identities or not len(customer.rows):
            return np.full(len(output_vectors), -1, np.int64)
        input_vectors = self.towers.arrays["read"][inputs.item_index[customer.rows]] * customer.weights[:, None]
        contributions = output_vectors @ input_vectors.T
        best = contributions.argmax(axis=1)
        return np.where(contributions[np.arange(len(best)), best] > 0.0, customer.rows[best], -1)

    def save(self, folder: Path) -> None:
        """Write the files that ``load`` reads into an empty folder."""
        write_vocabulary(folder, self.encoding.codes)
        saved = _Saved(self.name, self.calibration, self.encoding.customer_tags, self.encoding.item_tags)
        (folder / SETTINGS).write_bytes(msgspec.json.encode(saved))
        np.savez(folder / NETWORK, **self.towers.arrays)  # type: ignore[arg-type]  # numpy's stub takes allow_pickle for an array
        scales = {STORED_SCALES.get(name, name): array for name, array in self.encoding.scales._asdict().items()}
        np.savez(folder / SCALES, **scales)
        np.savez_compressed(folder / CURVES, curves=self.return_time.curves)
        self.encoding.text.save(folder)


class _Saved(msgspec.Struct, frozen=True):
    """Contents of ``hybrid.json``."""

    name: str
    calibration: PlattCalibration
    customer_tags: AttributeVocabulary
    item_tags: AttributeVocabulary


def load(folder: Path, version: str) -> TwoTowerScorer:
    """Read the files that ``TwoTowerScorer.save`` wrote; the manifest of a published bundle is not read.

    Raises:
        BundleRefused: A file is missing, damaged, or of another kind.
    """
    with refusing(folder):
        saved = msgspec.json.decode((folder / SETTINGS).read_bytes(), type=_Saved)
        text: TextEncoder = load_text(folder)
        names = {stored: name for name, stored in STORED_SCALES.items()}
        encoding = Encoding(
            read_vocabulary(folder),
            saved.customer_tags,
            saved.item_tags,
            Scales(**{names.get(name, name): array for name, array in read_arrays(folder / SCALES).items()}),
            text,
        )
        return TwoTowerScorer(
            saved.name,
            version,
            encoding=encoding,
            towers=NumpyTowers(read_arrays(folder / NETWORK)),
            calibration=saved.calibration,
            return_time=GapShareCurves(read_arrays(folder / CURVES)["curves"].astype(np.float64)),
        )


def _best(scores: Floats, k: int, items: ItemTable) -> tuple[Ints, NDArray[np.float64]]:
    """The ``k`` best rows, best first (ties by stock code), and their shares of the softmax over all."""
    softmax = np.exp((scores - scores.max()).astype(np.float64))
    softmax /= softmax.sum()
    best = largest_first(scores, k, items.codes.__getitem__)
    return best, softmax[best]


def _n_purchases(customer: CustomerFeatures) -> int:
    return round(float(np.expm1(customer.rfmv[1])))
