"""An item LSTM as a model: a vocabulary, vectors of its items, a network fitted on windows, a calibration, a bundle."""

import logging
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from threadpoolctl import threadpool_limits

from state.events.invoice import Invoice
from training.data.walk import customer_purchase_dates
from training.errors import TooLittleData
from training.features.text import TextEncoder
from training.models.base import Curves
from training.models.calibration import fit_calibrations
from training.models.item_lstm.fitting import SCHEDULE, fit_network
from training.models.item_lstm.network import ItemNetwork
from training.models.item_lstm.sequences import item_sequences, most_purchased, windows
from training.models.keras_weights import save_weights
from training.serving.item_lstm.network import Floats, NumpyItemNetwork
from training.serving.item_lstm.scorer import SEQUENCE_LENGTH, ItemLstmScorer
from training.serving.return_time.gap_shares import GapShareCurves, gaps

logger = logging.getLogger(__name__)

WIDTH = 64
"""Length of an item's vector."""
MAX_ITEMS = 20_000
"""Of a larger catalogue the least bought items are dropped: the network's size grows with the items."""
MAX_BOUGHT = 2_000_000
"""Of a longer log only the newest purchases are used."""
VALIDATION_FRACTION = 0.05
"""The newest purchases select the epoch and fit the calibration."""
MIN_TARGETS = 100
"""Fewer items to predict are too few to learn from."""


class FittedItemLstm:
    """A trained item LSTM that can be evaluated, served and saved; ``curves`` as in ``fit_network``."""

    def __init__(self, scorer: ItemLstmScorer, network: ItemNetwork, curves: Curves) -> None:
        self.scorer = scorer
        self.network = network
        self.curves = curves

    def save(self, folder: Path) -> None:
        """Write everything a bundle needs but its manifest into an empty folder."""
        self.scorer.save(folder)
        save_weights(self.network, folder)


class ItemLstm:
    """Predicts the next item from the ones before, in the customer's order: the base of the three item LSTMs.

    It is trained on the next item, most often one of the same invoice; in service its scores of the next item rank the
    next basket.
    """

    seeded = True

    def __init__(self, name: str, *, epochs: int = SCHEDULE.epochs, items: int = MAX_ITEMS, window: int = 100) -> None:
        """Choose how to train.

        Args:
            name: What the model is called.
            epochs: Passes over the purchases.
            items: Size of the vocabulary, the most bought items; others are neither read nor offered.
            window: Number of invoices that a history holds, as in the stream.
        """
        self.name = name
        self._schedule = SCHEDULE._replace(epochs=epochs)
        self._items = items
        self._window = window

    def fit(self, invoices: Sequence[Invoice], *, until: int, seed: int = 7) -> FittedItemLstm:
        """Learn from what is dated before ``until``; see ``Model``.

        The weights are not fitted again with the validation set: that would leave no data to calibrate on, and double
        the cost.
        """
        keras.utils.set_random_seed(seed)
        tf.config.experimental.enable_op_determinism()
        generator = np.random.default_rng(seed)
        bought = item_sequences(invoices, until)
        dates = sorted(item.date for sequence in bought.values() for item in sequence)[-MAX_BOUGHT:]
        start, cut = (dates[0], dates[int(len(dates) * (1 - VALIDATION_FRACTION))]) if dates else (until, until)
        earlier = [[item for item in sequence if start <= item.date < cut] for sequence in bought.values()]
        count = most_purchased(earlier, self._items)
        codes = list(count)
        index_of = {code: index for index, code in enumerate(codes)}
        training_set = windows(earlier, index_of, SEQUENCE_LENGTH, end=cut)
        if training_set.targets < MIN_TARGETS:
            raise TooLittleData(
                f"Only {training_set.targets} purchases follow an earlier one of the same customer; at least "
                f"{MIN_TARGETS} are needed to train {self.name}. Give it a longer history."
            )
        validation_set = windows(bought.values(), index_of, SEQUENCE_LENGTH, start=cut, end=until)
        text, start_vectors = self._vectors(invoices, cut, codes, generator)
        share = np.log(np.asarray(list(count.values())) / sum(count.values())).astype(np.float32)
        # One thread for BLAS: the matrices are small, and threads that wait for each other cost more than they do.
        with threadpool_limits(1):
            network = ItemNetwork(start_vectors, share, tied=text is None)
            curves = fit_network(network, training_set, validation_set, self._schedule, generator)
            scorer = self._scorer(invoices, until, cut, codes, network, text)
        return FittedItemLstm(scorer, network, curves)

    def _vectors(
        self, invoices: Sequence[Invoice], until: int, codes: Sequence[str], generator: np.random.Generator
    ) -> tuple[TextEncoder | None, Floats]:
        """The encoder of descriptions, if there is one, and the initial vectors of the items."""
        return None, generator.normal(0.0, WIDTH**-0.5, (len(codes), WIDTH)).astype(np.float32)

    def _scorer(
        self,
        invoices: Sequence[Invoice],
        until: int,
        cut: int,
        codes: Sequence[str],
        network: ItemNetwork,
        text: TextEncoder | None,
    ) -> ItemLstmScorer:
        scorer = ItemLstmScorer(
            self.name,
            "unpublished",
            codes=codes,
            network=NumpyItemNetwork(network.arrays()),
            calibration=None,
            return_time=GapShareCurves.fit(gaps(customer_purchase_dates(invoices), until)),
            text=text,
        )
        fitted = fit_calibrations({self.name: scorer}, invoices, cut, until, self._window)[self.name]
        scorer.calibration = fitted or scorer.calibration
        return scorer
