"""Fitting: softmax over the items, of a large catalogue over a sample of them, Adam, one cycle, the best epoch."""

import logging
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from training import progress
from training.models.item_lstm.network import ItemNetwork
from training.models.item_lstm.sequences import NO_TARGET, Windows

logger = logging.getLogger(__name__)

SAMPLED = 600
"""Items that a step's softmax is taken over, beside those that came, where the catalogue has more than twice as many.

Drawn by popularity and corrected for it: Jean et al. 2015, arXiv:1412.2007, as ``tf.nn.sampled_softmax_loss`` has it.
"""
JUDGED_ON = 256
"""Windows, evenly spaced, that tell after each epoch how well it goes."""


class Schedule(NamedTuple):
    """How the weights are found."""

    epochs: int = 6
    batch: int = 64
    peak: float = 1e-2
    clip: float = 1.0


def fit_network(
    network: ItemNetwork,
    learnt: Windows,
    held: Windows,
    schedule: Schedule,
    generator: np.random.Generator,
) -> dict[str, list[float]]:
    """Fit in place, and end with the weights of the epoch that was best on the windows held out.

    Args:
        network: Not fitted.
        learnt: Windows to learn from, at least one.
        held: Windows whose targets are newer; where there are none, the last epoch counts.
        schedule: How.
        generator: Draws the order of the batches.

    Returns:
        Mean of −log p of the items that came, over all items, after each epoch: ``learnt`` and ``held out``.
    """
    total = -(-len(learnt.read) // schedule.batch) * schedule.epochs
    rate = keras.optimizers.schedules.CosineDecay(
        schedule.peak / 25, 0.9 * total, alpha=1e-3, warmup_target=schedule.peak, warmup_steps=0.1 * total
    )
    optimizer = keras.optimizers.Adam(rate, global_clipnorm=schedule.clip)
    step, wanted = _compiled(network, optimizer)
    sides = {"learnt": _spaced(learnt), **({"held out": _spaced(held)} if len(held.read) else {})}
    curves: dict[str, list[float]] = {name: [] for name in sides}
    done, best, best_weights, note = 0, math.inf, None, ""
    for epoch in range(1, schedule.epochs + 1):
        order = generator.permutation(len(learnt.read))
        for first in range(0, len(order), schedule.batch):
            chosen = order[first : first + schedule.batch]
            step(learnt.read[chosen], learnt.target[chosen])
            done += 1
            progress.update(done, total, note)
        for name, side in sides.items():
            curves[name].append(_judged(network, wanted, side))
        note = f"epoch {epoch}/{schedule.epochs}, loss {curves['learnt'][-1]:.3f}"
        now = curves["held out"][-1] if "held out" in curves else -float(epoch)
        logger.info("%s, held out %.4f", note, now)
        if now < best:
            best, best_weights = now, network.get_weights()
    if best_weights is not None:
        network.set_weights(best_weights)
    return curves


def _compiled(network: ItemNetwork, optimizer: Any) -> tuple[Callable[[Any, Any], None], Callable[[Any], Any]]:
    """A step of training and the forward pass, each compiled once for batches of any size."""
    items = network.offered.shape[0]

    def step(read: Any, target: Any) -> None:
        with tf.GradientTape() as tape:
            wanted = network(read, training=True)
            there = target != NO_TARGET
            loss = tf.reduce_mean(_loss(network, tf.boolean_mask(wanted, there), tf.boolean_mask(target, there), items))
        weights = network.trainable_variables
        slopes = [tf.convert_to_tensor(slope) for slope in tape.gradient(loss, weights)]
        optimizer.apply_gradients(zip(slopes, weights, strict=True))

    places = tf.TensorSpec([None, None], tf.int32)
    # No autograph: there is no Python control flow on tensors, and its rewriting costs seconds.
    return (
        tf.function(step, input_signature=[places, places], autograph=False),
        tf.function(lambda read: network(read, training=False), input_signature=[places], autograph=False),
    )


def _loss(network: ItemNetwork, wanted: Any, target: Any, items: int) -> Any:
    """−log p of each target ``[targets]``; p is a softmax over all items, or over a sample of them."""
    offered, popularity = tf.convert_to_tensor(network.offered), tf.convert_to_tensor(network.popularity)
    if items <= 2 * SAMPLED:
        scores = tf.matmul(wanted, offered, transpose_b=True) + popularity
        return tf.nn.sparse_softmax_cross_entropy_with_logits(target, scores)
    # Its default sampler draws by rank in popularity: the vocabulary is in that order.
    return tf.nn.sampled_softmax_loss(offered, popularity, target[:, None], wanted, SAMPLED, items)


def _spaced(windows: Windows) -> Windows:
    every = -(-len(windows.read) // JUDGED_ON)
    return Windows(windows.read[::every], windows.target[::every])


def _judged(network: ItemNetwork, wanted_after: Callable[[Any], Any], windows: Windows) -> float:
    """Mean of −log p of the targets, over all items."""
    offered, popularity = network.offered.numpy(), network.popularity.numpy()
    total = 0.0
    for first in range(0, len(windows.read), 32):
        target = windows.target[first : first + 32]
        wanted = wanted_after(windows.read[first : first + 32]).numpy()[target != NO_TARGET]
        scores = wanted @ offered.T + popularity
        scores -= scores.max(axis=1, keepdims=True)
        came = np.take_along_axis(scores, target[target != NO_TARGET][:, None], axis=1)[:, 0]
        total += float((np.log(np.exp(scores).sum(axis=1)) - came).sum())
    return total / windows.targets
