"""Fitting the network: softmax over candidates, AdamW, one cycle, the best epoch on the validation set."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from training.models.basket_lstm.examples import Example, batches, collate
from training.models.basket_lstm.network import BasketNetwork
from training.models.checkpoint import Checkpoint
from training.models.joined_update import JoinedUpdate
from training.models.training_loop import TRAINING, VALIDATION, Schedule, one_cycle, train_epochs
from training.serving.basket_lstm.scorer import input_sizes

SCHEDULE = Schedule(epochs=6, batch_size=64, peak_rate=4e-3, weight_decay=0.05, clip_norm=1.0)

HIT_LOSS_WEIGHTS = (0.0, 3.0, 0.0, 3.0)
"""Weight of the hit loss (any bought item ranked first) for each of a moment's heads."""

_SCALING_EXAMPLES = 4_000
"""Means and deviations of the inputs are those of so many examples."""

Step = Callable[[dict[str, Any], Any, Any], Any]
BuildNetwork = Callable[[Mapping[str, int]], BasketNetwork]


class FitConfig(NamedTuple):
    """All that a network depends on but its examples; it can be pickled for another process.

    Attributes:
        schedule: How long and how fast.
        seed: Of the weights and the order of the batches.
        build: Builds the network for inputs of given widths.
        checkpoint: File of the checkpoint, from which an interrupted training resumes; None without one.
        tensorboard: Folder for TensorBoard, or None.
    """

    schedule: Schedule
    seed: int
    build: BuildNetwork = BasketNetwork
    checkpoint: Path | None = None
    tensorboard: Path | None = None


def make_network(
    config: FitConfig, training_set: Sequence[Example], validation_set: Sequence[Example]
) -> tuple[BasketNetwork, dict[str, list[float]]]:
    """A network built and fitted, and its loss curves; see ``fit_network``."""
    keras.utils.set_random_seed(config.seed)
    network = config.build(input_sizes())
    checkpoint = None if config.checkpoint is None else Checkpoint(config.checkpoint)
    curves = fit_network(
        network,
        training_set,
        validation_set,
        config.schedule,
        np.random.default_rng(config.seed),
        checkpoint=checkpoint,
        tensorboard=config.tensorboard,
    )
    return network, curves


def fit_network(
    network: BasketNetwork,
    training_set: Sequence[Example],
    validation_set: Sequence[Example],
    schedule: Schedule,
    generator: np.random.Generator,
    *,
    checkpoint: Checkpoint | None = None,
    tensorboard: Path | None = None,
) -> dict[str, list[float]]:
    """Fit in place, and end with the weights of the epoch that was best on the validation set.

    Args:
        network: Built, not fitted.
        training_set: At least one example.
        validation_set: Newer examples; where there are none, the last epoch counts.
        schedule: How long and how fast.
        generator: Draws the order of the batches.
        checkpoint: Where the training is stored after every epoch; an interrupted one resumes from there.
        tensorboard: Folder for the curves.

    Returns:
        Mean loss after each epoch: ``training`` as met in its steps and, where there are any, ``validation``.
    """
    _scale(network, training_set, generator)
    optimizer = keras.optimizers.AdamW(schedule.peak_rate, weight_decay=schedule.weight_decay)
    update = JoinedUpdate(optimizer, network.trainable_variables, schedule.clip_norm)
    train, validate = _compiled(network, update, training_set[0])
    steps = len(batches(training_set, schedule.batch_size, None)) * schedule.epochs

    def losses_of_epoch(of_steps: Sequence[Any]) -> dict[str, float]:
        found = {TRAINING: float(np.mean([float(each) for each in of_steps]))}
        if validation_set:
            found[VALIDATION] = _validation_loss(validate, validation_set, 4 * schedule.batch_size)
        return found

    return train_epochs(
        network,
        optimizer,
        schedule.epochs,
        steps,
        batches=lambda draws: batches(training_set, schedule.batch_size, draws),
        step=lambda positions: train(*_arguments([training_set[position] for position in positions])),
        losses=losses_of_epoch,
        generator=generator,
        learning_rate=lambda step: one_cycle(step, steps, schedule.peak_rate),
        checkpoint=checkpoint,
        tensorboard=tensorboard,
    )


def _scale(network: BasketNetwork, examples: Sequence[Example], generator: np.random.Generator) -> None:
    drawn = generator.choice(len(examples), min(len(examples), _SCALING_EXAMPLES), replace=False)
    chosen = [examples[position] for position in drawn]
    width = chosen[0].step_inputs.shape[-1]
    network.standardise(
        candidate=np.concatenate([example.candidate_inputs for example in chosen]),
        customer=np.stack([example.customer_inputs for example in chosen]),
        step=np.concatenate([example.step_inputs.reshape(-1, width) for example in chosen]),
        basket=np.concatenate([example.basket_inputs for example in chosen]),
    )


def _compiled(network: BasketNetwork, update: JoinedUpdate, example: Example) -> tuple[Step, Step]:
    """A step of training and the loss without one, each compiled once for batches of any size and length."""
    signature = [
        {
            "candidate_inputs": tf.TensorSpec([None, example.candidate_inputs.shape[1]], tf.float32),
            "customer_inputs": tf.TensorSpec([None, example.customer_inputs.shape[0]], tf.float32),
            "step_inputs": tf.TensorSpec([None, None, example.step_inputs.shape[2]], tf.float32),
            "basket_inputs": tf.TensorSpec([None, None, example.basket_inputs.shape[1]], tf.float32),
            "customer_index": tf.TensorSpec([None], tf.int32),
        },
        tf.TensorSpec([None], tf.float32),
        tf.TensorSpec([None], tf.float32),
    ]

    def train(inputs: dict[str, Any], bought: Any, correction: Any) -> Any:
        with tf.GradientTape() as tape:
            logits = network.head_logits(inputs, training=True)
            loss = tf.reduce_mean(losses(logits, bought, correction, inputs))
        update.apply(tape.gradient(loss, network.trainable_variables))
        return loss

    def validate(inputs: dict[str, Any], bought: Any, correction: Any) -> Any:
        return tf.reduce_mean(losses(network(inputs, training=False)[:, None], bought, correction, inputs))

    # No autograph: the steps have no Python control flow, and its rewriting costs seconds.
    return (
        tf.function(train, input_signature=signature, autograph=False),
        tf.function(validate, input_signature=signature, autograph=False),
    )


def losses(logits: Any, bought: Any, correction: Any, inputs: dict[str, Any]) -> Any:
    """Of each example −Σ log p of the bought items over √(number bought), and −log Σ p of them, ``[examples, heads]``.

    p is a softmax over the example's candidates, in which a sampled one has log(n / sampled) added to its logit. The
    first part rewards finding each bought item, the second (the hit loss) ranking any of them first. Each column of
    ``logits`` ``[candidates, heads]`` has its own weight of the hit loss (``HIT_LOSS_WEIGHTS``), which decorrelates the
    errors of the heads. A single column is evaluated with every weight.
    """
    customer, n = inputs["customer_index"], tf.shape(inputs["customer_inputs"])[0]
    bought = bought[:, None]
    corrected = logits + correction[:, None]
    highest = tf.stop_gradient(tf.math.unsorted_segment_max(corrected, customer, n))
    share = tf.exp(corrected - tf.gather(highest, customer))
    total = tf.math.unsorted_segment_sum(share, customer, n)
    log_p = logits - tf.gather(highest + tf.math.log(total), customer)
    n_bought = tf.math.unsorted_segment_sum(bought, customer, n)
    item_loss = -tf.math.unsorted_segment_sum(log_p * bought, customer, n) / tf.sqrt(n_bought)
    hit_loss = tf.math.log(total) - tf.math.log(tf.math.unsorted_segment_sum(share * bought, customer, n) + 1e-12)
    return item_loss + hit_loss * tf.constant(HIT_LOSS_WEIGHTS)


def _validation_loss(validate: Step, examples: Sequence[Example], size: int) -> float:
    total = 0.0
    for positions in batches(examples, size, None):
        total += float(validate(*_arguments([examples[position] for position in positions]))) * len(positions)
    return total / len(examples)


def _arguments(examples: Sequence[Example]) -> tuple[dict[str, Any], Any, Any]:
    """What a compiled step takes: the inputs by name, which candidates were bought, and their corrections."""
    batch = collate(examples)
    names = ("candidate_inputs", "customer_inputs", "step_inputs", "basket_inputs", "customer_index")
    inputs = {name: getattr(batch, name) for name in names}
    return inputs, batch.bought, batch.correction
