"""The item LSTMs as they answer in the stream: what the customer bought, item by item, and what comes next. Numpy only.

``label_lstm``, ``frequent_lstm`` and ``text_lstm`` differ in the items they know and in where the items' vectors come
from; what they do with them is the same. A history does not keep the order of the lines of an invoice (whatever order
they arrive in ends in the same history), so in service the items of a basket are read in order of their stock codes.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from state.domain.history import CustomerHistory, baskets
from training.features.item_table import ItemTable
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

STEPS = 32
"""The newest items that are read; older ones are cut off."""
AT_ONCE = 64
"""Customers scored in one go: bounds the memory of a large batch."""

UNKNOWN_SHOP = PlattCalibration(bias=2.5, slope=1.0, per_basket=0.0)
"""A softmax shares out 1 among all items, a basket holds a dozen: what is assumed where nothing can be fitted."""


class _Read(NamedTuple):
    """One customer: rows of the known items, oldest first, and the dates of the baskets."""

    rows: Ints
    dates: list[int]


class ItemLstmScorer:
    """An item LSTM as a ``Scorer``. A customer of whom it knows no item gets what is in demand."""

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
        """Put a scorer together from what was fitted.

        Args:
            name: Which of the models.
            version: Of the bundle; ``unpublished`` before it is one.
            codes: The stock codes it knows, in the order of the network's items.
            network: The LSTM.
            calibration: From softmax to probabilities; a guess where it is None.
            return_time: Probabilities of a return.
            text: Gives items that it does not know a vector by their description; without it they are passed over.

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
        self._catalogue = _Catalogue(self.codes, network, text)
        self._strangers = BaselineScorer("count_demand", version, return_time=return_time)

    def predict(self, histories: Sequence[CustomerHistory], items: ItemTable, now: int, k: int) -> list[Prediction]:
        """Rank up to ``k`` items for each customer; see ``Scorer``."""
        predictions: list[Prediction] = []
        for start in range(0, len(histories), AT_ONCE):
            predictions.extend(self._predict(histories[start : start + AT_ONCE], items, now, k))
        return predictions

    def rank(
        self, history: CustomerHistory, items: ItemTable, now: int, k: int
    ) -> tuple[list[str], NDArray[np.float64], int]:
        """Stock codes, best first, their shares of the softmax, and the number of baskets: for a calibration.

        Nothing for a customer of whom it knows no item.
        """
        self._catalogue.follow(items)
        read = self._read(history, items)
        if len(read.rows) == 0:
            return [], np.zeros(0), len(read.dates)
        order, shares = self._rank([read.rows], k)
        return [items.codes[row] for row in order[0]], shares[0], len(read.dates)

    def scores(self, sequences: Sequence[Sequence[str]]) -> Floats:
        """Score of every item of ``codes`` as the next one, float32 ``[sequences, codes]``.

        Args:
            sequences: Stock codes of ``codes``, oldest first, at least one each; the last ``STEPS`` are read.
        """
        place = self._catalogue.place
        rows = [np.asarray([place[code] for code in each[-STEPS:]], np.int64) for each in sequences]
        arrays = self.network.arrays
        wanted = self.network.next_vectors(self.network.gates(arrays["read"]), rows)
        scores: Floats = wanted @ arrays["offered"].T + arrays["popularity"]
        return scores

    def _predict(self, histories: Sequence[CustomerHistory], items: ItemTable, now: int, k: int) -> list[Prediction]:
        self._catalogue.follow(items)
        read = [self._read(history, items) for history in histories]
        known = [number for number, each in enumerate(read) if len(each.rows)]
        order, shares = self._rank([read[number].rows for number in known], k)
        predictions: list[Prediction | None] = [None] * len(histories)
        for number, rows, softmax in zip(known, order, shares, strict=True):
            chances = self.calibration.probabilities(softmax, len(read[number].dates))
            candidates = [
                Candidate(items.codes[row], chance) for row, chance in zip(rows, chances.tolist(), strict=True)
            ]
            predictions[number] = Prediction(candidates, self.return_time.curve(read[number].dates, now))
        return [
            prediction or self._strangers.predict([history], items, now, k)[0]
            for prediction, history in zip(predictions, histories, strict=True)
        ]

    def _read(self, history: CustomerHistory, items: ItemTable) -> _Read:
        kept = baskets(history)
        rows = [items.rows.get(code, -1) for basket in kept for code in basket.items]
        known = [row for row in rows if row >= 0 and self._catalogue.known[row]]
        return _Read(np.asarray(known[-STEPS:], np.int64), [basket.date for basket in kept])

    def _rank(self, sequences: Sequence[Ints], k: int) -> tuple[list[list[int]], list[NDArray[np.float64]]]:
        """Rows of the table, best first (ties by row), and their shares of the softmax, for each sequence."""
        if not sequences:
            return [], []
        catalogue = self._catalogue
        wanted = self.network.next_vectors(catalogue.gates, sequences)
        rows = np.flatnonzero(catalogue.known)
        scores = wanted @ catalogue.offered[rows].T + catalogue.popularity[rows]
        softmax = np.exp((scores - scores.max(axis=1, keepdims=True)).astype(np.float64))
        softmax /= softmax.sum(axis=1, keepdims=True)
        order = np.argsort(-softmax, axis=1, kind="stable")[:, :k]
        shares = np.take_along_axis(softmax, order, axis=1)
        return [rows[each].tolist() for each in order], list(shares)

    def save(self, folder: Path) -> None:
        """Write what ``load`` reads into an empty folder."""
        write_vocabulary(folder, self.codes)
        (folder / SETTINGS).write_bytes(msgspec.json.encode(_Saved(self.name, self.calibration)))
        np.savez(folder / NETWORK, **self.network.arrays)  # type: ignore[arg-type]  # numpy's stub takes allow_pickle for an array
        np.savez_compressed(folder / CURVES, curves=self.return_time.curves)
        if self.text is not None:
            self.text.save(folder)


class _Catalogue:
    """The network's arrays by row of an item table; grows with the table.

    An item that the network does not know gets a vector by its description, where there is an encoder and it can say
    something, and the least popularity of those known: new things are offered for what they are, not for their sales.
    """

    def __init__(self, codes: Sequence[str], network: NumpyItemNetwork, text: TextEncoder | None) -> None:
        self.place = {code: place for place, code in enumerate(codes)}
        self._network = network
        self._gates = network.gates(network.arrays["read"])
        self._text = text
        self._table: ItemTable | None = None
        self._start()

    def _start(self) -> None:
        arrays = self._network.arrays
        self.known = np.zeros(0, np.bool_)
        self.offered = np.zeros((0, arrays["offered"].shape[1]), np.float32)
        self.gates = np.zeros((0, arrays["kernel"].shape[1]), np.float32)
        self.popularity = np.zeros(0, np.float32)

    def follow(self, items: ItemTable) -> None:
        """Take in the rows that are new; those of a table that it follows never move."""
        if self._table is not items:
            self._table = items
            self._start()
        if len(self.known) == len(items):
            return
        codes = items.codes[len(self.known) :]
        arrays = self._network.arrays
        place = np.asarray([self.place.get(code, -1) for code in codes], np.int64)
        known = place >= 0
        offered, popularity, gates = arrays["offered"][place], arrays["popularity"][place], self._gates[place]
        if self._text is not None and not known.all():
            unheard = np.flatnonzero(~known)
            offered[unheard] = self._text.encode([items.description(codes[number]) for number in unheard])
            gates[unheard] = self._network.gates(scale_text_vectors(offered[unheard]))
            popularity[unheard] = arrays["popularity"].min()
            known[unheard] = offered[unheard].any(axis=1)
        self.known = np.concatenate([self.known, known])
        self.offered = np.concatenate([self.offered, offered])
        self.gates = np.concatenate([self.gates, gates])
        self.popularity = np.concatenate([self.popularity, popularity])


def scale_text_vectors(text_vectors: Floats) -> Floats:
    """Text vectors as a network reads them: of length √width instead of 1, so that each number is about 1."""
    return text_vectors * np.float32(text_vectors.shape[1] ** 0.5)


class _Saved(msgspec.Struct, frozen=True):
    """What ``item_lstm.json`` holds."""

    name: str
    calibration: PlattCalibration


def load(folder: Path, version: str) -> ItemLstmScorer:
    """Read what ``ItemLstmScorer.save`` wrote; the manifest of a published bundle is not looked at.

    Raises:
        BundleRefused: A file is missing, damaged, or holds something else.
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
