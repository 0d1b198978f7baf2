"""``hybrid``, ``content`` and ``collaborative``: two towers that differ in their inputs only.

The successor of TensorRec (github.com/jfkirk/tensorrec): representation functions over sparse and dense features, a
ranking loss in batches, biases, scores and ranks. A customer's identity is the bag of what the customer bought, not a
vector under an id: it exists after the first purchase, needs no new training and leaves no ids in a bundle.
"""

import logging
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from threadpoolctl import threadpool_limits

from state.events.invoice import Invoice
from training.data.walk import customer_purchase_dates
from training.errors import TooLittleData, UnknownModel
from training.features.two_tower.inputs import TIME_VARYING_INPUTS, Encoding
from training.models.base import Curves
from training.models.calibration import fit_calibrations
from training.models.keras_weights import save_weights
from training.models.text_encoders import descriptions_before, fit_offline
from training.models.two_tower.encoding import fit_encoding
from training.models.two_tower.examples import Examples, collect
from training.models.two_tower.fitting import SCHEDULE, Negatives, fit_towers
from training.models.two_tower.losses import LOSSES
from training.models.two_tower.network import HIDDEN, Sizes, StaticItemInputs, TwoTowerNetwork
from training.serving.return_time.gap_shares import GapShareCurves, gaps
from training.serving.two_tower.network import NumpyTowers
from training.serving.two_tower.scorer import TwoTowerScorer

logger = logging.getLogger(__name__)

MODES = ("hybrid", "content", "collaborative")

MAX_ITEMS = 50_000
"""Of a larger catalogue the least bought items have no identity, only features."""
MAX_EXAMPLES = 400_000
"""Of a longer log only the newest examples are used: a kilobyte each where histories are long."""
VALIDATION_FRACTION = 0.05
"""The newest purchases fit the calibration."""
MIN_EXAMPLES = 100
"""Fewer examples are too few to learn from."""


class FittedHybrid:
    """A trained hybrid model that can be evaluated, served and saved; ``curves``: the loss of each epoch."""

    def __init__(self, scorer: TwoTowerScorer, towers: TwoTowerNetwork, curves: Curves) -> None:
        self.scorer = scorer
        self.towers = towers
        self.curves = curves

    def save(self, folder: Path) -> None:
        """Write everything a bundle needs but its manifest into an empty folder."""
        self.scorer.save(folder)
        save_weights(self.towers, folder)


class Hybrid:
    """Two towers, from features (content), identities (collaborative) or both (hybrid)."""

    seeded = True

    def __init__(
        self,
        name: str = "hybrid",
        *,
        mode: str = "",
        representation: str = "linear",
        loss: str = "wmrb",
        negatives: int = 0,
        width: int = 64,
        dropout: float = 0.5,
        epochs: int = SCHEDULE.epochs,
        window: int = 100,
        max_examples: int = MAX_EXAMPLES,
    ) -> None:
        """Choose the inputs and how to train.

        Args:
            name: What the model is called; one of ``MODES`` unless ``mode`` is given.
            mode: One of ``MODES``; the name unless given.
            representation: From features to vectors: ``linear``, ``relu`` (one hidden layer) or ``deep`` (two).
            loss: ``wmrb``, or ``balanced_wmrb``, where what is bought often counts less.
            negatives: Items drawn a batch, from which the rank is estimated; 0 takes all, where memory allows.
            width: Numbers of a vector.
            dropout: Share of the identities that are dropped in a training step.
            epochs: Passes over the examples.
            window: Number of invoices that a history holds, as in the stream.
            max_examples: The newest examples are used, this many at most.

        Raises:
            UnknownModel: There is no such choice.
        """
        mode = mode or name
        for option, value, known in (
            ("mode", mode, MODES),
            ("representation", representation, tuple(HIDDEN)),
            ("loss", loss, LOSSES),
        ):
            if value not in known:
                raise UnknownModel(f"There is no {option} {value!r}; there are {', '.join(known)}.")
        if min(width, epochs, window) < 1 or negatives < 0 or not 0.0 <= dropout < 1.0 or max_examples < 2:
            raise UnknownModel(
                "width, epochs and window are at least 1, negatives at least 0, dropout from 0 to below 1, "
                "max_examples at least 2."
            )
        self.name = name
        self._identities, self._features = mode != "content", mode != "collaborative"
        self._representation = representation
        self._width = width
        self._dropout = dropout if mode == "hybrid" else 0.0
        self._window = window
        self._max_examples = max_examples
        self._schedule = SCHEDULE._replace(epochs=epochs)
        self._negatives = Negatives(negatives, balanced=loss == "balanced_wmrb")

    def fit(self, invoices: Sequence[Invoice], *, until: int, seed: int = 7) -> FittedHybrid:
        """Learn from what is dated before ``until``; see ``Model``.

        The newest purchases are the validation set, for the calibration; the weights are not fitted again with them,
        which would leave no data to calibrate on.
        """
        keras.utils.set_random_seed(seed)
        tf.config.experimental.enable_op_determinism()
        purchases = list(customer_purchase_dates(takewhile(lambda each: each.date < until, invoices)))
        dates = [date for _, date in purchases]
        cut = dates[int(len(dates) * (1 - VALIDATION_FRACTION))] if dates else until
        training_dates = [date for date in dates if date < cut][-self._max_examples // 2 :]
        examples = collect(
            invoices,
            start=training_dates[0] if training_dates else cut,
            until=cut,
            window=self._window,
            expected=2 * len(training_dates),
        )
        if len(examples.snapshot) < MIN_EXAMPLES:
            raise TooLittleData(
                f"Only {len(examples.snapshot)} moments have a next purchase to learn from; at least {MIN_EXAMPLES} "
                f"are needed to train {self.name}. Give it a longer history."
            )
        encoding = fit_encoding(_most_sold(examples), examples, fit_offline(descriptions_before(invoices, cut)))
        # One thread for BLAS: the matrices are small, and threads that wait for each other cost more than they do.
        with threadpool_limits(1):
            towers = self._towers(examples, encoding)
            generator = np.random.default_rng(seed)
            curves = fit_towers(towers, examples, encoding, self._schedule, self._negatives, generator)
            scorer = TwoTowerScorer(
                self.name,
                "unpublished",
                encoding=encoding,
                towers=NumpyTowers(towers.arrays()),
                calibration=None,
                return_time=GapShareCurves.fit(gaps(purchases, until)),
            )
            fitted = fit_calibrations({self.name: scorer}, invoices, cut, until, self._window)[self.name]
            scorer.calibration = fitted or scorer.calibration
        return FittedHybrid(scorer, towers, curves)

    def _towers(self, examples: Examples, encoding: Encoding) -> TwoTowerNetwork:
        items = encoding.items(examples.table, 0)
        return TwoTowerNetwork(
            Sizes(
                codes=len(encoding.codes),
                text=encoding.text.width,
                time_varying=len(TIME_VARYING_INPUTS),
                customer_tags=encoding.customer_tag_count,
                item_tags=encoding.item_tag_count,
            ),
            StaticItemInputs(items.item_index, items.text, items.tags[:, :-1]),
            width=self._width,
            representation=self._representation,
            identities=self._identities,
            features=self._features,
            dropout=self._dropout,
        )


def _most_sold(examples: Examples) -> list[str]:
    """Stock codes that get an identity, in the order of the table."""
    sold = examples.table.sold
    rows = np.sort(np.argsort(-sold, kind="stable")[:MAX_ITEMS])
    return [examples.table.codes[row] for row in rows]
