"""Stacking: how far the simple scores are to be trusted beside the network, learnt on examples it has not seen.

A network fitted on the past overstates what was so in that past only. Its logits, the logs of the two best simple
scores, and whether the customer knows the item are weighed by four numbers that suit the newest examples best (Wolpert,
"Stacked generalization", 1992); the numbers then go into the network's own linear path, so serving costs nothing more.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from scipy.optimize import minimize

from training.features.view import CANDIDATE_INPUTS, SIMPLE_INPUTS
from training.models.basket_lstm.examples import Example
from training.models.basket_lstm.fitting import losses

STACKED_INPUTS = (*SIMPLE_INPUTS, "known")
"""Columns of the candidates' inputs that are weighed beside the network."""


class Stack(NamedTuple):
    """``scale`` of the network's logits, above 0, and what is added for each column of the candidates' inputs."""

    scale: float
    added: dict[int, float]


def fit_stack(logits: Sequence[NDArray[np.float32]], examples: Sequence[Example], left_out: Sequence[int]) -> Stack:
    """Weigh the network against the simple scores by the loss that it was fitted with (``fitting.losses``).

    Args:
        logits: What the network says of each example's candidates.
        examples: Examples it was not fitted on, at least one.
        left_out: Columns of the candidates' inputs that must not be used.
    """
    columns = [CANDIDATE_INPUTS.index(name) for name in STACKED_INPUTS]
    columns = [column for column in columns if column not in left_out]
    said = np.concatenate(logits).astype(np.float64)
    shown = np.concatenate([example.candidate[:, columns] for example in examples]).astype(np.float64)
    inputs = np.concatenate([said[:, None], shown], axis=1)
    bought = tf.constant(np.concatenate([example.bought for example in examples]), tf.float64)
    correction = tf.constant(np.concatenate([example.correction for example in examples]), tf.float64)
    sizes = [len(example.bought) for example in examples]
    whose = {"customer": np.repeat(np.arange(len(sizes)), sizes), "person": np.zeros((len(sizes), 1))}

    def told(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """Mean loss of the examples and its gradient."""
        weighed = tf.constant(weights)
        with tf.GradientTape() as tape:
            tape.watch(weighed)
            value = tf.reduce_mean(losses(tf.linalg.matmul(inputs, weighed[:, None]), bought, correction, whose))
        return float(value), tape.gradient(value, weighed).numpy()

    begun = np.zeros(inputs.shape[1])
    begun[0] = 1.0
    bounds = [(0.1, 10.0), *[(-5.0, 5.0)] * len(columns)]  # a shop with few examples must not turn the order around
    found = minimize(told, begun, jac=True, method="L-BFGS-B", bounds=bounds).x
    return Stack(float(found[0]), dict(zip(columns, found[1:].tolist(), strict=True)))
