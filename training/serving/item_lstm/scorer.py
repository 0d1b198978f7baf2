"""The item LSTMs as scorers: the sequence of items bought predicts the next one. NumPy only.

``label_lstm``, ``frequent_lstm`` and ``text_lstm`` differ in their vocabulary and in the source of the embeddings; the
scorer is the same. A history does not store the order of the lines of an invoice (any order of arrival ends in the same
history), so in service the items of a basket are ordered by stock code.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from weakref import WeakKeyDictionary

import msgspec
import numpy as np
from numpy.typing import NDArray

from state.domain.history import CustomerHistory, baskets
from training.features.item_table import ItemTable
from training.features.largest_first import largest_first
from training.features.text import TEXTS, TextEncoder, load_text
from training.registry import read_vocabulary, write_vocabulary
from training.serving.baselines.scorer import BaselineScorer, PlattCalibration
from training.serving.bundle_files import read_arrays, refusing
from training.serving.item_lstm.network import Floats, Ints, NumpyItemNetwork
from training.serving.return_time.gap_shares import GapShareCurves
from training.serving.scorer import Candidate, Prediction

SETTINGS = "item_lstm.json"
NETWORK = "network.npz"
CURVES = "returns.npz"

SEQUENCE_LENGTH = 32
"""Number of the newest items that the LSTM reads; older ones are cut off."""
CUSTOMERS_PER_BATCH = 64
"""Customers scored in one batch: bounds the memory."""

UNKNOWN_SHOP = PlattCalibration(bias=2.5, slope=1.0, per_basket=0.0)
"""Used where none can be fitted: a softmax over all items sums to 1, a basket holds about a dozen items."""


class _Sequence(NamedTuple):
    """One customer: rows of the items in the vocabulary, oldest first, and the dates of the baskets."""

    rows: Ints
    dates: list[int]


class ItemLstmScorer:
    """An item LSTM as a ``Scorer``. A customer without a known item gets the ranking of ``count_demand``."""

    def __init__(
        self,
        name: str,
        version: str,
        *,
        codes: Sequence[str],
        network: NumpyItemNetwork,
        calibration: PlattCalibration | None,
        return_time: GapShareCurves,
        text: TextEncoder | None = None,
    ) -> None:
        """Combines the fitted parts.

        Args:
            name: Of the model.
            version: Of the bundle; ``unpublished`` before there is one.
            codes: Stock codes of the vocabulary, in the order of the network's items.
            network: The LSTM.
            calibration: From softmax to probabilities; ``DEFAULT_CALIBRATION`` if None.
            return_time: Probabilities of a return.
            text: Encodes the descriptions of items outside the vocabulary; without it they are skipped.

        Raises:
            ValueError: The stock codes or the text vectors do not go with the network.
        """
        items, width = network.arrays["read"].shape
        if len(codes) != items or items == 0 or (text is not None and text.width != width):
            raise ValueError(f"{len(codes)} stock codes do not go with {items} items of {width} numbers")
        self.name = name
        self.version = version
        self.codes = list(codes)
        self.network = network
        self.calibration = calibration or UNKNOWN_SHOP
        self.return_time = return_time
        self.text = text
        self._index = {code: index for index, code in enumerate(self.codes)}
        self._catalogues: WeakKeyDictionary[ItemTable, _Catalogue] = WeakKeyDictionary()
        self._fallback = BaselineScorer("count_demand", version, return_time=return_time)

    def predict(self, histories: Sequence[CustomerHistory], items: ItemTable, now: int, k: int) -> list[Prediction]:
        """Rank up to ``k`` items for each customer; see ``Scorer``."""
        predictions: list[Prediction] = []
        for start in range(0, len(histories), CUSTOMERS_PER_BATCH):
            predictions.extend(self._predict(histories[start : start + CUSTOMERS_PER_BATCH], items, now, k))
        return predictions

    def rank(
        self, history: CustomerHistory, items: ItemTable, now: int, k: int
    ) -> tuple[list[str], NDArray[np.float64], int]:
        """Stock codes, best first, their shares of the softmax, and the number of baskets: for a calibration.

        Empty for a customer without an item of the vocabulary.
        """
        catalogue = self._catalogue(items)
        sequence = _sequence(history, items, catalogue)
        if len(sequence.rows) == 0:
            return [], np.zeros(0), len(sequence.dates)
        order, shares = self._rank([sequence.rows], catalogue, items.codes, k)
        return [items.codes[row] for row in order[0]], shares[0], len(sequence.dates)

    def scores(self, sequences: Sequence[Sequence[str]]) -> Floats:
        """Score of every item of ``codes`` as the next one, float32 ``[sequences, codes]``.

        Args:
            sequences: Stock codes of ``codes``, oldest first, at least one each; the last ``SEQUENCE_LENGTH`` are read.
        """
        rows = [np.asarray([self._index[code] for code in each[-SEQUENCE_LENGTH:]], np.int64) for each in sequences]
        arrays = self.network.arrays
        vectors = self.network.next_vectors(self.network.gates(arrays["read"]), rows)
        scores: Floats = vectors @ arrays["offered"].T + arrays["popularity"]
        return scores

    def return_curves(self, histories: Sequence[CustomerHistory], now: int) -> NDArray[np.float64]:
        """When customers return; see ``ReturnCurves``."""
        return self.return_time.curves_of([history.purchase_dates for history in histories], now)

    def _predict(self, histories: Sequence[CustomerHistory], items: ItemTable, now: int, k: int) -> list[Prediction]:
        catalogue = self._catalogue(items)
        sequences = [_sequence(history, items, catalogue) for history in histories]
        known = [number for number, each in enumerate(sequences) if len(each.rows)]
        order, shares = self._rank([sequences[number].rows for number in known], catalogue, items.codes, k)
        predictions: list[Prediction | None] = [None] * len(histories)
        for number, rows, softmax in zip(known, order, shares, strict=True):
            dates = sequences[number].dates
            probabilities = self.calibration.probabilities(softmax, len(dates))
            candidates = [
                Candidate(items.codes[row], probability)
                for row, probability in zip(rows, probabilities.tolist(), strict=True)
            ]
            predictions[number] = Prediction(candidates, self.return_time.curve(dates, now))
        return [
            prediction or self._fallback.predict([history], items, now, k)[0]
            for prediction, history in zip(predictions, histories, strict=True)
        ]

    def _catalogue(self, items: ItemTable) -> "_Catalogue":
        """The network's arrays by row of one table, brought up to date with it."""
        catalogue = self._catalogues.get(items)
        if catalogue is None:
            catalogue = self._catalogues[items] = _Catalogue(self._index, self.network, self.text)
        catalogue.update(items)
        return catalogue

    def _rank(
        self, sequences: Sequence[Ints], catalogue: "_Catalogue", codes: Sequence[str], k: int
    ) -> tuple[list[list[int]], list[NDArray[np.float64]]]:
        """Rows of the table, best first (ties by stock code), and their shares of the softmax, for each sequence."""
        if not sequences:
            return [], []
        vectors = self.network.next_vectors(catalogue.gates, sequences)
        rows = np.flatnonzero(catalogue.known)
        scores = vectors @ catalogue.output_embedding[rows].T + catalogue.popularity[rows]
        softmax = np.exp((scores - scores.max(axis=1, keepdims=True)).astype(np.float64))
        softmax /= softmax.sum(axis=1, keepdims=True)
        orders = [largest_first(shares, k, lambda position: codes[rows[position]]) for shares in softmax]
        return [rows[order].tolist() for order in orders], [
            shares[order] for shares, order in zip(softmax, orders, strict=True)
        ]

    def save(self, folder: Path) -> None:
        """Write the files that ``load`` reads into an empty folder."""
        write_vocabulary(folder, self.codes)
        (folder / SETTINGS).write_bytes(msgspec.json.encode(_Saved(self.name, self.calibration)))
        np.savez(folder / NETWORK, **self.network.arrays)  # type: ignore[arg-type]  # numpy's stub takes allow_pickle for an array
        np.savez_compressed(folder / CURVES, curves=self.return_time.curves)
        if self.text is not None:
            self.text.save(folder)


def _sequence(history: CustomerHistory, items: ItemTable, catalogue: "_Catalogue") -> _Sequence:
    net = baskets(history)
    rows = [items.rows.get(code, -1) for basket in net for code in basket.items]
    known = [row for row in rows if row >= 0 and catalogue.known[row]]
    return _Sequence(np.asarray(known[-SEQUENCE_LENGTH:], np.int64), [basket.date for basket in net])


class _Catalogue:
    """The network's arrays by row of one item table; grows with the table.

    An item outside the vocabulary gets the text vector of its description, if there is an encoder and the vector is not
    0, and the smallest ``popularity``: a new item is ranked by its description, not by its sales.
    """

    def __init__(self, index: Mapping[str, int], network: NumpyItemNetwork, text: TextEncoder | None) -> None:
        self._index = index
        self._network = network
        self._gates = network.gates(network.arrays["read"])
        self._text = text
        arrays = network.arrays
        self.known = np.zeros(0, np.bool_)
        self.output_embedding = np.zeros((0, arrays["offered"].shape[1]), np.float32)
        self.gates = np.zeros((0, arrays["kernel"].shape[1]), np.float32)
        self.popularity = np.zeros(0, np.float32)
        self._in_vocabulary = np.zeros(0, np.bool_)
        self._encoded = np.zeros(0, np.int64)  # number of description changes when the row was encoded, -1: never

    def update(self, items: ItemTable) -> None:
        """Adds new rows (rows of a table never move), and encodes new and changed descriptions."""
        self._add_rows(items.codes[len(self.known) :])
        if self._text is None:
            return
        rows = np.flatnonzero(~self._in_vocabulary & (self._encoded != items.description_changes))
        if len(rows):
            self.output_embedding[rows] = self._text.encode([items.description(items.codes[row]) for row in rows])
            self.gates[rows] = self._network.gates(scale_text_vectors(self.output_embedding[rows]))
            self.popularity[rows] = self._network.arrays["popularity"].min()
            self.known[rows] = self.output_embedding[rows].any(axis=1)
            self._encoded[rows] = items.description_changes[rows]

    def _add_rows(self, codes: Sequence[str]) -> None:
        if not codes:
            return
        arrays = self._network.arrays
        index = np.asarray([self._index.get(code, -1) for code in codes], np.int64)
        self.known = np.concatenate([self.known, index >= 0])
        self.output_embedding = np.concatenate([self.output_embedding, arrays["offered"][index]])
        self.gates = np.concatenate([self.gates, self._gates[index]])
        self.popularity = np.concatenate([self.popularity, arrays["popularity"][index]])
        self._in_vocabulary = np.concatenate([self._in_vocabulary, index >= 0])
        self._encoded = np.concatenate([self._encoded, np.full(len(codes), -1)])


def scale_text_vectors(text_vectors: Floats) -> Floats:
    """Text vectors as input embeddings: of length √width instead of 1, so that each number is about 1."""
    return text_vectors * np.float32(text_vectors.shape[1] ** 0.5)


class _Saved(msgspec.Struct, frozen=True):
    """Contents of ``item_lstm.json``."""

    name: str
    calibration: PlattCalibration


def load(folder: Path, version: str) -> ItemLstmScorer:
    """Read the files that ``ItemLstmScorer.save`` wrote; the manifest of a published bundle is not read.

    Raises:
        BundleRefused: A file is missing, damaged, or of another kind.
    """
    with refusing(folder):
        saved = msgspec.json.decode((folder / SETTINGS).read_bytes(), type=_Saved)
        return ItemLstmScorer(
            saved.name,
            version,
            codes=read_vocabulary(folder),
            network=NumpyItemNetwork(read_arrays(folder / NETWORK)),
            calibration=saved.calibration,
            return_time=GapShareCurves(read_arrays(folder / CURVES)["curves"].astype(np.float64)),
            text=load_text(folder) if (folder / TEXTS).exists() else None,
        )
