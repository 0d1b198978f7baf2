"""Fitting: softmax over the items, of a large catalogue over a sample of them, Adam, the best epoch."""

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from training.models.item_lstm.network import ItemNetwork
from training.models.item_lstm.sequences import NO_TARGET, Windows
from training.models.training_loop import TRAINING, VALIDATION, Schedule, train_epochs, warmup_cosine

SCHEDULE = Schedule(epochs=6, batch_size=64, peak_rate=1e-2, weight_decay=0.0, clip_norm=1.0)

SAMPLED = 600
"""Items that a step's softmax is taken over, besides the targets, where the catalogue has more than twice as many.

Drawn by popularity and corrected for it: Jean et al. 2015, arXiv:1412.2007, as ``tf.nn.sampled_softmax_loss`` has it.
"""
MAX_LOSS_WINDOWS = 256
"""Windows, evenly spaced, on which the loss after each epoch is computed."""


def fit_network(
    network: ItemNetwork,
    training_set: Windows,
    validation_set: Windows,
    schedule: Schedule,
    generator: np.random.Generator,
) -> dict[str, list[float]]:
    """Fit in place, and end with the weights of the epoch that was best on the validation set.

    Args:
        network: Not fitted.
        training_set: At least one window.
        validation_set: Windows whose targets are newer; where there are none, the last epoch counts.
        schedule: How long and how fast.
        generator: Draws the order of the batches.

    Returns:
        Mean of −log p of the targets, over all items, after each epoch: ``training`` and ``validation``.
    """
    steps = -(-len(training_set.input_items) // schedule.batch_size) * schedule.epochs
    optimizer = keras.optimizers.Adam(warmup_cosine(steps, schedule.peak_rate), global_clipnorm=schedule.clip_norm)
    train, predict = _compiled(network, optimizer)
    sets = {TRAINING: _spaced(training_set)}
    if len(validation_set.input_items):
        sets[VALIDATION] = _spaced(validation_set)

    def batches(draws: np.random.Generator) -> Iterator[NDArray[np.intp]]:
        order = draws.permutation(len(training_set.input_items))
        for first in range(0, len(order), schedule.batch_size):
            yield order[first : first + schedule.batch_size]

    return train_epochs(
        network,
        optimizer,
        schedule.epochs,
        steps,
        batches=batches,
        step=lambda chosen: train(training_set.input_items[chosen], training_set.target[chosen]),
        losses=lambda _: {name: _mean_loss(network, predict, windows) for name, windows in sets.items()},
        generator=generator,
    )


def _compiled(network: ItemNetwork, optimizer: Any) -> tuple[Callable[[Any, Any], None], Callable[[Any], Any]]:
    """A step of training and the forward pass, each compiled once for batches of any size."""
    items = network.output_embedding.shape[0]

    def step(input_items: Any, target: Any) -> None:
        with tf.GradientTape() as tape:
            next_vector = network(input_items, training=True)
            mask = target != NO_TARGET
            loss = tf.reduce_mean(
                _loss(network, tf.boolean_mask(next_vector, mask), tf.boolean_mask(target, mask), items)
            )
        weights = network.trainable_variables
        gradients = [tf.convert_to_tensor(gradient) for gradient in tape.gradient(loss, weights)]
        optimizer.apply_gradients(zip(gradients, weights, strict=True))

    indices = tf.TensorSpec([None, None], tf.int32)
    # No autograph: there is no Python control flow on tensors, and its rewriting costs seconds.
    return (
        tf.function(step, input_signature=[indices, indices], autograph=False),
        tf.function(
            lambda input_items: network(input_items, training=False), input_signature=[indices], autograph=False
        ),
    )


def _loss(network: ItemNetwork, next_vector: Any, target: Any, items: int) -> Any:
    """−log p of each target ``[targets]``; p is a softmax over all items, or over a sample of them."""
    embedding, popularity = tf.convert_to_tensor(network.output_embedding), tf.convert_to_tensor(network.popularity)
    if items <= 2 * SAMPLED:
        scores = tf.matmul(next_vector, embedding, transpose_b=True) + popularity
        return tf.nn.sparse_softmax_cross_entropy_with_logits(target, scores)
    # Its default sampler draws by rank in popularity: the vocabulary is in that order.
    return tf.nn.sampled_softmax_loss(embedding, popularity, target[:, None], next_vector, SAMPLED, items)


def _spaced(windows: Windows) -> Windows:
    spacing = -(-len(windows.input_items) // MAX_LOSS_WINDOWS)
    return Windows(windows.input_items[::spacing], windows.target[::spacing])


def _mean_loss(network: ItemNetwork, predict: Callable[[Any], Any], windows: Windows) -> float:
    """Mean of −log p of the targets, over all items."""
    embedding, popularity = network.output_embedding.numpy(), network.popularity.numpy()
    total = 0.0
    for first in range(0, len(windows.input_items), 32):
        target = windows.target[first : first + 32]
        next_vectors = predict(windows.input_items[first : first + 32]).numpy()[target != NO_TARGET]
        scores = next_vectors @ embedding.T + popularity
        scores -= scores.max(axis=1, keepdims=True)
        of_targets = np.take_along_axis(scores, target[target != NO_TARGET][:, None], axis=1)[:, 0]
        total += float((np.log(np.exp(scores).sum(axis=1)) - of_targets).sum())
    return total / windows.targets
