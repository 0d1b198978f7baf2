"""A Keras layer that standardises inputs."""

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from training.serving.standardise import BOUND


class Standardise(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
    """(x − mean) / deviation, cut off at ``BOUND``; fitted once, before training."""

    def __init__(self, width: int, name: str) -> None:
        super().__init__(name=name, trainable=False)
        self.mean = self.add_weight(shape=(width,), initializer="zeros", trainable=False, name="mean")
        self.deviation = self.add_weight(shape=(width,), initializer="ones", trainable=False, name="deviation")

    def fit(self, values: NDArray[np.floating]) -> None:
        """Take mean and deviation of values ``[..., width]``; a constant input has a small deviation."""
        flat = values.reshape(-1, values.shape[-1]).astype(np.float64)
        self.mean.assign(flat.mean(axis=0))
        self.deviation.assign(np.maximum(flat.std(axis=0), 1e-3))

    def call(self, values: keras.KerasTensor) -> keras.KerasTensor:
        """Standardise values ``[..., width]``."""
        return ops.clip((values - self.mean) / self.deviation, -BOUND, BOUND)
