"""The weights of a network as Keras writes them, in a bundle next to the arrays that serve."""

import warnings
from pathlib import Path

import keras

WEIGHTS = "weights.weights.h5"
"""File in a bundle; the network of the same settings reads it with ``load_weights``."""


def save_weights(network: keras.Model, folder: Path) -> None:
    """Write the weights of a network into a folder."""
    with warnings.catch_warnings():
        # TensorFlow's variables know only numpy 1's way to be copied; the copy is right.
        warnings.filterwarnings("ignore", message="__array__ implementation", category=DeprecationWarning)
        network.save_weights(folder / WEIGHTS)
