"""The weights of a network as Keras writes them: a bundle keeps them beside the arrays that serve."""

import warnings
from pathlib import Path

import keras

WEIGHTS = "weights.weights.h5"
"""File in a bundle; the network of the same settings reads it with ``load_weights``."""


def save_weights(network: keras.Model, folder: Path) -> None:
    """Write the weights of a network into a folder."""
    with warnings.catch_warnings():
        # TensorFlow's variables know numpy 1's way of being copied only; the copy is right all the same.
        warnings.filterwarnings("ignore", message="__array__ implementation", category=DeprecationWarning)
        network.save_weights(folder / WEIGHTS)
