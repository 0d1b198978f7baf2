"""An optimizer's step on many small variables as one: the same weights, by a fraction of the operations."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops


class JoinedUpdate:
    """Applies an optimizer to variables that are joined into one vector, with gradients clipped by their global norm.

    Adam takes some 20 operations a variable, and each costs microseconds however small it is. All of them work element
    by element, so the weights are equal bit for bit.

    Args:
        optimizer: Works element by element, as Adam and AdamW do; it is not built yet, and does not clip.
        variables: Float32; what the gradients belong to.
        clip_norm: Gradients are scaled down to this global norm.
    """

    def __init__(self, optimizer: keras.Optimizer, variables: Sequence[Any], clip_norm: float) -> None:
        self._optimizer = optimizer
        self._variables = variables
        self._clip_norm = clip_norm
        self._sizes = [int(np.prod(each.shape)) for each in variables]
        self._joined = keras.Variable(np.zeros(sum(self._sizes), np.float32))
        optimizer.build([self._joined])

    def apply(self, gradients: Sequence[Any]) -> None:
        """Change the variables; ``gradients`` has one for each, of its shape."""
        self._joined.assign(_join(self._variables))
        self._optimizer.apply_gradients([(_join(gradients) * self._scale(gradients), self._joined)])
        for part, variable in zip(tf.split(self._joined, self._sizes), self._variables, strict=True):
            variable.assign(ops.reshape(part, variable.shape))

    def _scale(self, gradients: Sequence[Any]) -> Any:
        """The factor that limits the global norm, by the operations of Keras' ``global_clipnorm``."""
        norm = ops.sqrt(ops.sum(ops.stack([ops.sum(ops.square(each)) for each in gradients])))
        return self._clip_norm * ops.minimum(1.0 / norm, 1.0 / self._clip_norm) + (norm - norm)


def _join(tensors: Sequence[Any]) -> Any:
    return ops.concatenate([ops.reshape(each, (-1,)) for each in tensors])
