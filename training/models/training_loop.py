"""The training loop of the networks: epochs, the best of them, checkpoints, curves and progress.

Neither ``fit`` of Keras nor its callbacks are used. ``fit`` fetches batches ahead, so that a resumed training would not
see the same random draws; ``BackupAndRestore`` and ``ModelCheckpoint`` store neither the draws nor the best weights so
far; ``TensorBoard`` wants a compiled network, which would store the state of its optimizer in every bundle.
"""

import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import keras
import numpy as np
import tensorflow as tf

from training import progress
from training.models.checkpoint import Checkpoint, TrainingState

logger = logging.getLogger(__name__)

TRAINING = "training"
VALIDATION = "validation"
"""Names of the curves: the mean loss over the training set and over the validation set."""

BatchT = TypeVar("BatchT")


class Schedule(NamedTuple):
    """How long and how fast a network is trained.

    Attributes:
        epochs: Passes over the training set.
        batch_size: Examples of a step.
        peak_rate: The highest learning rate.
        weight_decay: Of AdamW; 0 for Adam.
        clip_norm: Gradients are scaled down to this global norm.
    """

    epochs: int
    batch_size: int
    peak_rate: float
    weight_decay: float
    clip_norm: float


def one_cycle(step: int, steps: int, peak: float) -> float:
    """The learning rate of a step: a cosine from peak / 25 up over 30 % of the steps, then one down to peak / 10,000.

    Source: Smith and Topin, "Super-convergence", 2019, with the constants of PyTorch's ``OneCycleLR``.
    """
    rise = max(1.0, 0.3 * steps)
    if step < rise:
        return peak / 25 + (peak - peak / 25) * (1 - math.cos(math.pi * step / rise)) / 2
    fall = min(1.0, (step - rise) / max(1.0, steps - rise))
    return peak / 1e4 + (peak - peak / 1e4) * (1 + math.cos(math.pi * fall)) / 2


def warmup_cosine(steps: int, peak: float) -> Any:
    """A Keras schedule: linear from peak / 25 up over 10 % of the steps, then a cosine down to peak / 1,000."""
    return keras.optimizers.schedules.CosineDecay(
        peak / 25, 0.9 * steps, alpha=1e-3, warmup_target=peak, warmup_steps=0.1 * steps
    )


def train_epochs(
    network: keras.Model,
    optimizer: keras.Optimizer,
    epochs: int,
    steps: int,
    *,
    batches: Callable[[np.random.Generator], Iterable[BatchT]],
    step: Callable[[BatchT], Any],
    losses: Callable[[Sequence[Any]], Mapping[str, float]],
    generator: np.random.Generator,
    learning_rate: Callable[[int], float] | None = None,
    checkpoint: Checkpoint | None = None,
    tensorboard: Path | None = None,
) -> dict[str, list[float]]:
    """Train in place; the network ends with the weights of its best epoch on the validation set.

    Without a validation set it ends with those of the last epoch.

    Args:
        network: Built, not trained.
        optimizer: What ``step`` applies.
        epochs: Passes over the training set.
        steps: Steps of all epochs together, for the progress.
        batches: The batches of one epoch, in an order that the generator draws.
        step: Trains on one batch; gives its loss.
        losses: From the losses of an epoch's steps the mean loss over the training set (``TRAINING``) and, where there
            is one, over the validation set (``VALIDATION``).
        generator: Draws the order of the batches.
        learning_rate: The rate of each step, counted from 0; the optimizer's own unless given.
        checkpoint: Where the state is stored after every epoch; an interrupted training resumes from there.
        tensorboard: Folder for the curves.

    Returns:
        What ``losses`` gave, after each epoch.
    """
    state = TrainingState(0, 0, math.inf, [], {})
    variables = [*network.variables, *optimizer.variables]
    if checkpoint is not None and (stored := checkpoint.load(variables, generator)) is not None:
        state = stored
    note = f"resumed after epoch {state.epochs}" if state.epochs else ""
    writers: dict[str, Any] = {}
    for epoch in range(state.epochs + 1, epochs + 1):
        of_steps = []
        for batch in batches(generator):
            if learning_rate is not None:
                optimizer.learning_rate.assign(learning_rate(state.steps))
            of_steps.append(step(batch))
            state.steps += 1
            progress.update(state.steps, steps, note)
        state.epochs = epoch
        of_epoch = losses(of_steps)
        for name, loss in of_epoch.items():
            state.curves.setdefault(name, []).append(loss)
        if of_epoch.get(VALIDATION, math.inf) < state.best_loss:
            state.best_loss, state.best_weights = of_epoch[VALIDATION], network.get_weights()
        note = f"epoch {epoch}/{epochs}, " + ", ".join(f"{name} {loss:.3f}" for name, loss in of_epoch.items())
        logger.info(note)
        if tensorboard is not None:
            _write_curves(tensorboard, writers, epoch, of_epoch)
        if checkpoint is not None:
            checkpoint.save(state, variables, generator)
    if state.best_weights:
        network.set_weights(state.best_weights)
    return state.curves


def _write_curves(folder: Path, writers: dict[str, Any], epoch: int, losses: Mapping[str, float]) -> None:
    """Write the losses of an epoch for TensorBoard, each curve as a run of its own."""
    for name, loss in losses.items():
        if name not in writers:
            writers[name] = tf.summary.create_file_writer(str(folder / name))
        with writers[name].as_default():
            tf.summary.scalar("loss", loss, step=epoch)
        writers[name].flush()
