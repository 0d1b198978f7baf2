"""Fits the towers: batches of one snapshot, a ranking loss over all items or a sample of them, AdamW."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from training.features.two_tower.customer import Floats, Ints
from training.features.two_tower.inputs import Encoding
from training.models.training_loop import TRAINING, Schedule, train_epochs, warmup_cosine
from training.models.two_tower.examples import Examples, batches
from training.models.two_tower.losses import wmrb
from training.models.two_tower.network import TwoTowerNetwork

SCHEDULE = Schedule(epochs=4, batch_size=64, peak_rate=3e-3, weight_decay=0.5, clip_norm=1.0)

MAX_MARGINS = 32_000_000
"""Pairs of a bought item and a negative in a batch, about: 128 MB a copy. For more pairs, fewer negatives are drawn."""


class Negatives(NamedTuple):
    """What bought items are ranked against.

    Attributes:
        drawn: Items drawn a batch, shared by its customers; 0 for all; fewer beyond ``MAX_MARGINS``.
        balanced: Whether a bought item counts the less, the more often it is bought.
    """

    drawn: int = 0
    balanced: bool = False


class TwoTowerBatch(NamedTuple):
    """Customers of one snapshot, what they bought, and the items that are ranked: columns of the scores.

    ``row`` int64, ``band`` int64, ``time_varying`` float32: of each column · ``bag_*``: as in ``CustomerInputs``, with
    the price band of each entry · ``known_at`` int64 ``[n, 2]`` and ``known`` float32 ``[n, KNOWN]``: inputs of an item
    that the customer has, by customer and column · ``bought`` int64 ``[bought, 2]``: customer and column of what was
    bought, with its ``weight`` · ``allowed`` float32 ``[customers, columns]``: which are negatives (drawn, and not
    bought) · ``scale`` float32 ``[customers]``: items in all over negatives drawn.
    """

    row: Any
    band: Any
    time_varying: Any
    bag_row: Any
    bag_weight: Any
    bag_customer: Any
    bag_band: Any
    numbers: Any
    tags: Any
    known_at: Any
    known: Any
    bought: Any
    weight: Any
    allowed: Any
    scale: Any


class Assembler:
    """Makes batches of examples."""

    def __init__(self, examples: Examples, encoding: Encoding, negatives: Negatives) -> None:
        self._examples = examples
        self._encoding = encoding
        self._negatives = negatives
        times = np.bincount(examples.bought.row, minlength=len(examples.table)).astype(np.float32)
        weight = 1.0 / np.maximum(times, 1.0) if negatives.balanced else np.ones_like(times)
        self._weight: Floats = weight.astype(np.float32)

    def batch(self, chosen: Ints, generator: np.random.Generator) -> TwoTowerBatch:
        """The batch of some examples of one snapshot."""
        examples = self._examples
        snapshot = examples.snapshots[int(examples.snapshot[chosen[0]])]
        inputs = snapshot.inputs.astype(np.float32)
        band = self._encoding.band(inputs[:, -1])
        at, bag_customer = examples.history.of(chosen)
        bag_row = examples.history.row[at].astype(np.int64)
        bought_at, bought_customer = examples.bought.of(chosen)
        bought_row = examples.bought.row[bought_at].astype(np.int64)
        n_negatives = min(self._negatives.drawn or snapshot.size, max(1, MAX_MARGINS // len(bought_row)))
        if n_negatives < snapshot.size:
            drawn = generator.choice(snapshot.size, n_negatives, replace=False)
            row = np.unique(np.concatenate([drawn, bought_row]))
        else:
            drawn = row = np.arange(snapshot.size)
        column = np.full(snapshot.size, -1, np.int64)
        column[row] = np.arange(len(row))
        allowed = np.zeros((len(chosen), len(row)), np.float32)
        allowed[:, column[drawn]] = 1.0
        allowed[bought_customer, column[bought_row]] = 0.0
        customers = self._encoding.customers(examples.customers(chosen))
        ranked = np.flatnonzero(column[bag_row] >= 0)
        known_at = np.stack([bag_customer[ranked], column[bag_row[ranked]]], axis=1)
        return TwoTowerBatch(
            row=row,
            band=band[row],
            time_varying=self._encoding.time_varying(inputs[row]),
            bag_row=bag_row,
            bag_weight=examples.weight[at].astype(np.float32),
            bag_customer=bag_customer,
            bag_band=band[bag_row],
            numbers=customers.numbers,
            tags=customers.tags,
            known_at=known_at,
            known=examples.known[at[ranked]].astype(np.float32),
            bought=np.stack([bought_customer, column[bought_row]], axis=1),
            weight=self._weight[bought_row],
            allowed=allowed,
            scale=np.full(len(chosen), snapshot.size / max(len(drawn), 1), np.float32),
        )


def fit_towers(
    towers: TwoTowerNetwork,
    examples: Examples,
    encoding: Encoding,
    schedule: Schedule,
    negatives: Negatives,
    generator: np.random.Generator,
) -> dict[str, list[float]]:
    """Fit in place.

    Args:
        towers: Not fitted.
        examples: To learn from, at least one.
        encoding: Of the inputs.
        schedule: How long and how fast.
        negatives: What bought items are ranked against.
        generator: Draws order and negatives.

    Returns:
        Mean loss of each epoch as met in its steps, under ``training``.
    """
    assembler = Assembler(examples, encoding, negatives)
    per_epoch = sum(1 for _ in batches(examples, schedule.batch_size, np.random.default_rng(0)))
    steps = per_epoch * schedule.epochs
    optimizer = keras.optimizers.AdamW(
        warmup_cosine(steps, schedule.peak_rate),
        weight_decay=schedule.weight_decay,
        global_clipnorm=schedule.clip_norm,
    )
    train = _compiled(towers, optimizer)

    def assembled(draws: np.random.Generator) -> Iterator[TwoTowerBatch]:
        for chosen in batches(examples, schedule.batch_size, draws):
            yield assembler.batch(chosen, draws)

    return train_epochs(
        towers,
        optimizer,
        schedule.epochs,
        steps,
        batches=assembled,
        step=lambda batch: train(*batch),
        losses=lambda of_steps: {TRAINING: float(np.mean([float(each) for each in of_steps]))},
        generator=generator,
    )


def scores(towers: TwoTowerNetwork, batch: TwoTowerBatch, training: bool = False) -> Any:
    """Score of every column for every customer of a batch, ``[customers, columns]``."""
    vectors, biases = towers.items(batch.row, batch.band, batch.time_varying, training=training)
    customers = towers.customers(
        batch.bag_row,
        batch.bag_weight,
        batch.bag_customer,
        batch.bag_band,
        batch.numbers,
        batch.tags,
        training=training,
    )
    found = tf.matmul(customers, vectors, transpose_b=True) + biases
    for_known = tf.linalg.matvec(batch.known, tf.convert_to_tensor(towers.known))
    return tf.tensor_scatter_nd_add(found, batch.known_at, for_known)


def _compiled(towers: TwoTowerNetwork, optimizer: Any) -> Callable[..., Any]:
    def step(*parts: Any) -> Any:
        batch = TwoTowerBatch(*parts)
        with tf.GradientTape() as tape:
            found = scores(towers, batch, training=True)
            of_bought = tf.gather_nd(found, batch.bought)
            loss = wmrb(of_bought, found, batch.bought[:, 0], batch.allowed, batch.scale, batch.weight)
        weights = towers.trainable_variables
        gradients = tape.gradient(loss, weights, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        optimizer.apply_gradients(zip([tf.convert_to_tensor(gradient) for gradient in gradients], weights, strict=True))
        return loss

    shapes = TwoTowerBatch(
        row=[None],
        band=[None],
        time_varying=[None, None],
        bag_row=[None],
        bag_weight=[None],
        bag_customer=[None],
        bag_band=[None],
        numbers=[None, None],
        tags=[None, None],
        known_at=[None, 2],
        known=[None, None],
        bought=[None, 2],
        weight=[None],
        allowed=[None, None],
        scale=[None],
    )
    integers = {"row", "band", "bag_row", "bag_customer", "bag_band", "tags", "known_at", "bought"}
    signature = [
        tf.TensorSpec(shape, tf.int64 if name in integers else tf.float32) for name, shape in shapes._asdict().items()
    ]
    # No autograph: there is no Python control flow on tensors, and its rewriting costs seconds.
    return tf.function(step, input_signature=signature, autograph=False)  # type: ignore[no-any-return]
