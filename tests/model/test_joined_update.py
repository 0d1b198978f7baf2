"""A step on joined variables gives the same weights, bit for bit, as one on each of them."""

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from training.models.joined_update import JoinedUpdate

SHAPES = ((3, 4), (4,), (7, 1), (1,))


def gradients(step: int) -> list[NDArray[np.float32]]:
    generator = np.random.default_rng(step)
    return [generator.normal(0.0, 3.0 / (1 + step), shape).astype(np.float32) for shape in SHAPES]


def variables() -> list[keras.Variable]:
    generator = np.random.default_rng(7)
    return [keras.Variable(generator.normal(size=shape).astype(np.float32)) for shape in SHAPES]


@pytest.mark.parametrize("clip_norm", [0.5, 100.0])
def test_joined_variables_get_the_weights_of_single_ones(clip_norm: float) -> None:
    single, joined = variables(), variables()
    optimizer = keras.optimizers.AdamW(0.01, weight_decay=0.05, global_clipnorm=clip_norm)
    optimizer.build(single)
    update = JoinedUpdate(keras.optimizers.AdamW(0.01, weight_decay=0.05), joined, clip_norm)
    for step in range(5):
        optimizer.apply_gradients(zip(gradients(step), single, strict=True))
        update.apply(gradients(step))
        if step == 2:  # as after the weights of a checkpoint were loaded
            for one, other in zip(single, joined, strict=True):
                one.assign(one * 0.5)
                other.assign(other * 0.5)
    for one, other in zip(single, joined, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
