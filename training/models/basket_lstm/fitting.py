"""Fitting the network: softmax over candidates, AdamW, one cycle, and the best epoch by the newest examples."""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from training import progress
from training.models.basket_lstm.checkpoint import Checkpoint, Run
from training.models.basket_lstm.examples import Batch, Example, batches, collate
from training.models.basket_lstm.network import BasketNetwork
from training.serving.basket_lstm.scorer import input_sizes

logger = logging.getLogger(__name__)

Watch = Callable[[int, Mapping[str, float]], None]
"""Told of each epoch and its losses by name."""

Judge = Callable[[dict[str, Any], Any, Any], Any]

_SCALED_ON = 4_000
"""Means and deviations of the inputs are those of so many examples."""


HIT_LOSS_WEIGHTS = (0.0, 3.0, 0.0, 3.0)
"""Weight of the second part of the loss, that any bought item comes first, for each of a moment's heads."""


class Schedule(NamedTuple):
    """How the weights are found; the defaults are those of docs/models/basket_lstm.md."""

    epochs: int = 6
    batch: int = 64
    peak: float = 4e-3
    decay: float = 0.05
    clip: float = 1.0


class Recipe(NamedTuple):
    """All that a network comes of but its examples.

    ``left_out``: columns it does not see (``BasketNetwork``) · ``kept``: file its training is kept in, and goes on
    from where it was broken off; "" where it is not kept · ``board``: folder for TensorBoard, or "".
    """

    schedule: Schedule
    seed: int
    left_out: dict[str, list[int]]
    kept: str = ""
    board: str = ""


def make_network(
    recipe: Recipe, learnt: Sequence[Example], held: Sequence[Example]
) -> tuple[BasketNetwork, dict[str, list[float]]]:
    """A network fitted from its beginning, and its losses; see ``fit_network``."""
    keras.utils.set_random_seed(recipe.seed)
    network = BasketNetwork(input_sizes(), recipe.left_out)
    kept = Checkpoint(Path(recipe.kept)) if recipe.kept else None
    watch = _board(Path(recipe.board)) if recipe.board else None
    generator = np.random.default_rng(recipe.seed)
    curves = fit_network(network, learnt, held, recipe.schedule, generator, watch=watch, kept=kept)
    return network, curves


def _board(folder: Path) -> Watch:
    """Writes the losses of each epoch for TensorBoard, each curve under its own name."""
    writers: dict[str, Any] = {}

    def watch(epoch: int, losses: Mapping[str, float]) -> None:
        for name, loss in losses.items():
            if name not in writers:
                writers[name] = tf.summary.create_file_writer(str(folder / name.replace(" ", "_")))
            with writers[name].as_default():
                tf.summary.scalar("loss", loss, step=epoch)
            writers[name].flush()

    return watch


def learning_rate(step: int, total: int, peak: float) -> float:
    """One cycle: a cosine from peak / 25 up over the first 30 % of the steps, then one down to peak / 10,000.

    Source: Smith and Topin, "Super-convergence", 2019, with the constants of PyTorch's ``OneCycleLR``.
    """
    rise = max(1.0, 0.3 * total)
    if step < rise:
        return peak / 25 + (peak - peak / 25) * (1 - math.cos(math.pi * step / rise)) / 2
    fall = min(1.0, (step - rise) / max(1.0, total - rise))
    return peak / 1e4 + (peak - peak / 1e4) * (1 + math.cos(math.pi * fall)) / 2


def fit_network(
    network: BasketNetwork,
    learnt: Sequence[Example],
    held: Sequence[Example],
    schedule: Schedule,
    generator: np.random.Generator,
    *,
    watch: Watch | None = None,
    kept: Checkpoint | None = None,
) -> dict[str, list[float]]:
    """Fit in place, and end with the weights of the epoch that was best on the examples held out.

    Args:
        network: Built, not fitted.
        learnt: Examples to learn from, at least one.
        held: Newer examples; where there are none, the last epoch counts.
        schedule: How.
        generator: Draws the order of the batches.
        watch: Told after every epoch.
        kept: Where the work is kept after every epoch; a run that was broken off goes on from there.

    Returns:
        Mean loss after each epoch, by ``learnt`` and, where there are any, ``held out``.
    """
    _scale(network, learnt, generator)
    optimizer = keras.optimizers.AdamW(schedule.peak, weight_decay=schedule.decay, global_clipnorm=schedule.clip)
    optimizer.build(network.trainable_variables)
    step, judge = _steps(network, optimizer, learnt[0])
    total = len(batches(learnt, schedule.batch, None)) * schedule.epochs
    curves: dict[str, list[float]] = {"learnt": [], "held out": []} if held else {"learnt": []}
    run = Run(0, 0, math.inf, [], curves)
    variables = [*network.variables, *optimizer.variables]
    if kept is not None and (before := kept.load(variables, generator)) is not None:
        run = before
    note = f"goes on after epoch {run.epochs}" if run.epochs else ""
    for epoch in range(run.epochs + 1, schedule.epochs + 1):
        losses = []
        for positions in batches(learnt, schedule.batch, generator):
            optimizer.learning_rate.assign(learning_rate(run.steps, total, schedule.peak))
            batch = collate([learnt[position] for position in positions])
            losses.append(step(_inputs(batch), batch.bought, batch.correction))
            run.steps += 1
            progress.update(run.steps, total, note)
        run.epochs = epoch
        run.curves["learnt"].append(float(np.mean([float(each) for each in losses])))
        now = -float(epoch)
        if held:
            now = _judged(judge, held, 4 * schedule.batch)
            run.curves["held out"].append(now)
        if now < run.best:
            run.best, run.weights = now, network.get_weights()
        note = f"epoch {epoch}/{schedule.epochs}, " + ", ".join(f"{x} {y[-1]:.3f}" for x, y in run.curves.items())
        logger.info(note)
        if watch is not None:
            watch(epoch, {name: values[-1] for name, values in run.curves.items()})
        if kept is not None:
            kept.save(run, variables, generator)
    if run.weights:
        network.set_weights(run.weights)
    return run.curves


def _scale(network: BasketNetwork, examples: Sequence[Example], generator: np.random.Generator) -> None:
    drawn = generator.choice(len(examples), min(len(examples), _SCALED_ON), replace=False)
    chosen = [examples[position] for position in drawn]
    width = chosen[0].steps.shape[-1]
    network.standardise(
        candidate=np.concatenate([example.candidate for example in chosen]),
        person=np.stack([example.person for example in chosen]),
        step=np.concatenate([example.steps.reshape(-1, width) for example in chosen]),
        basket=np.concatenate([example.baskets for example in chosen]),
    )


def _steps(network: BasketNetwork, optimizer: Any, example: Example) -> tuple[Judge, Judge]:
    """A step of training and one of judging, each compiled once for batches of any size and length."""
    signature = [
        {
            "candidate": tf.TensorSpec([None, example.candidate.shape[1]], tf.float32),
            "person": tf.TensorSpec([None, example.person.shape[0]], tf.float32),
            "steps": tf.TensorSpec([None, None, example.steps.shape[2]], tf.float32),
            "baskets": tf.TensorSpec([None, None, example.baskets.shape[1]], tf.float32),
            "customer": tf.TensorSpec([None], tf.int32),
        },
        tf.TensorSpec([None], tf.float32),
        tf.TensorSpec([None], tf.float32),
    ]

    def step(inputs: dict[str, Any], bought: Any, correction: Any) -> Any:
        with tf.GradientTape() as tape:
            each = losses(network.each(inputs, training=True), bought, correction, inputs)
            value = tf.reduce_mean(each)
        weights = network.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(value, weights), weights, strict=True))
        return value

    def judge(inputs: dict[str, Any], bought: Any, correction: Any) -> Any:
        return tf.reduce_mean(losses(network(inputs, training=False)[:, None], bought, correction, inputs))

    # No autograph: the steps have no Python control flow, and its rewriting costs seconds.
    return (
        tf.function(step, input_signature=signature, autograph=False),
        tf.function(judge, input_signature=signature, autograph=False),
    )


def losses(logits: Any, bought: Any, correction: Any, inputs: dict[str, Any]) -> Any:
    """Of each example −Σ log p of the bought items over √(number bought), and −log Σ p of them, ``[examples, heads]``.

    p is a softmax over the example's candidates, in which one that was drawn to stand for others has its logit raised
    by log(n / drawn). The first part wants each bought item found, the second any of them first. Each column of
    ``logits`` ``[candidates, heads]`` has its own, with its weight of the second part (``HIT_LOSS_WEIGHTS``): two heads
    that want different things know more together than two that want the same. A single column is judged with every
    weight.
    """
    customer, n = inputs["customer"], tf.shape(inputs["person"])[0]
    bought = bought[:, None]
    raised = logits + correction[:, None]
    highest = tf.stop_gradient(tf.math.unsorted_segment_max(raised, customer, n))
    share = tf.exp(raised - tf.gather(highest, customer))
    total = tf.math.unsorted_segment_sum(share, customer, n)
    log_p = logits - tf.gather(highest + tf.math.log(total), customer)
    number = tf.math.unsorted_segment_sum(bought, customer, n)
    each = -tf.math.unsorted_segment_sum(log_p * bought, customer, n) / tf.sqrt(number)
    together = tf.math.log(total) - tf.math.log(tf.math.unsorted_segment_sum(share * bought, customer, n) + 1e-12)
    return each + together * tf.constant(HIT_LOSS_WEIGHTS)


def _judged(judge: Judge, held: Sequence[Example], size: int) -> float:
    total = 0.0
    for positions in batches(held, size, None):
        batch = collate([held[position] for position in positions])
        total += float(judge(_inputs(batch), batch.bought, batch.correction)) * len(positions)
    return total / len(held)


def _inputs(batch: Batch) -> dict[str, Any]:
    return {name: getattr(batch, name) for name in ("candidate", "person", "steps", "baskets", "customer")}
