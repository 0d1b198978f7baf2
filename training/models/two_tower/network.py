"""The two towers in Keras; ``training.serving.two_tower.network`` describes them and computes the same in NumPy."""

from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from training.features.two_tower.customer import KNOWN, Floats, Ints
from training.features.two_tower.inputs import NUMBERS
from training.serving.two_tower.network import TOWERS

HIDDEN: dict[str, tuple[int, ...]] = {"linear": (), "relu": (4,), "deep": (4, 2)}
"""Hidden layers of a representation function, as multiples of the width; between layers there is a ReLU."""

TAG_WIDTH = 16


class Sizes(NamedTuple):
    """Widths of the inputs: stock codes, numbers of a text vector, time-varying inputs, tags of either side."""

    codes: int
    text: int
    time_varying: int
    customer_tags: int
    item_tags: int


class StaticItemInputs(NamedTuple):
    """Inputs of items that do not change within a training, by row: as in ``ItemInputs``, tags without price band.

    ``item_index`` int64 ``[rows]`` · ``text`` float32 ``[rows, width]`` · ``tags`` int64 ``[rows, keys]``.
    """

    item_index: Ints
    text: Floats
    tags: Ints


class TwoTowerNetwork(keras.Model):  # type: ignore[misc]  # Keras has no types
    """Customer tower, item tower, biases, and weights for items that the customer has.

    There is no bias of the customer: it would raise all scores of a customer alike.
    """

    def __init__(
        self,
        sizes: Sizes,
        static: StaticItemInputs,
        *,
        width: int,
        representation: str,
        identities: bool,
        features: bool,
        dropout: float,
    ) -> None:
        """Make towers.

        Args:
            sizes: Of the inputs.
            static: Of the items that are trained on.
            width: Numbers of a vector.
            representation: One of ``HIDDEN``.
            identities: Whether there are vectors of single items.
            features: Whether there are representations of features.
            dropout: Share of the identities that are dropped in a training step, so that features learn to replace
                them (Volkovs, Yu and Poutanen, "DropoutNet", NeurIPS 2017).
        """
        super().__init__(name="hybrid")
        self.identities, self.features = identities, features
        self._static = [tf.constant(inputs) for inputs in static]
        self.built = True  # its parts are called one by one, never the model
        self._dropout = keras.layers.Dropout(dropout)
        small = keras.initializers.RandomNormal(stddev=0.1 * width**-0.5)
        nothing = keras.initializers.Zeros()
        self.known = self.add_weight(shape=(len(KNOWN),), initializer=nothing, name="known")
        if identities:
            self.input_embedding = self.add_weight(shape=(sizes.codes, width), initializer=small, name="read")
            self.output_embedding = self.add_weight(shape=(sizes.codes, width), initializer=small, name="offered")
            self.identity_bias = self.add_weight(shape=(sizes.codes, 1), initializer=nothing, name="identity_bias")
        if features:
            tag_shape = (sizes.item_tags - 1, TAG_WIDTH)
            self.input_tag_embedding = self.add_weight(shape=tag_shape, initializer=small, name="read_tags")
            self.output_tag_embedding = self.add_weight(shape=tag_shape, initializer=small, name="item_tags")
            tag_shape = (sizes.customer_tags - 1, TAG_WIDTH)
            self.customer_tag_embedding = self.add_weight(shape=tag_shape, initializer=small, name="customer_tags")
            input_width = {
                "customer": sizes.text + 2 * TAG_WIDTH + len(NUMBERS),
                "item": sizes.text + TAG_WIDTH + sizes.time_varying,
            }
            self.feature_bias = self.add_weight(
                shape=(input_width["item"], 1), initializer=nothing, name="feature_bias"
            )
            self.layers_of = {tower: self._chain(tower, input_width[tower], width, representation) for tower in TOWERS}

    def _chain(self, tower: str, input_width: int, width: int, representation: str) -> list[Any]:
        sizes = [*(times * width for times in HIDDEN[representation]), width]
        layers = []
        for number, size in enumerate(sizes):
            layer = keras.layers.Dense(
                size, activation="relu" if number + 1 < len(sizes) else None, name=f"{tower}_{number}"
            )
            layer.build((None, input_width))
            layers.append(layer)
            input_width = size
        return layers

    def items(self, row: Any, band: Any, time_varying: Any, training: bool = False) -> tuple[Any, Any]:
        """Vectors ``[n, width]`` and biases ``[n]`` of some rows, with their price band and time-varying inputs."""
        item_index, text, tags = (tf.gather(inputs, row) for inputs in self._static)
        vectors: Any = 0.0
        biases: Any = 0.0
        if self.identities:
            mask = self._dropout(tf.ones_like(item_index, tf.float32), training=training)[:, None]
            vectors += mask * _embedding_rows(self.output_embedding, item_index)
            biases += mask * _embedding_rows(self.identity_bias, item_index)
        if self.features:
            tagged = tf.reduce_sum(
                _embedding_rows(self.output_tag_embedding, tf.concat([tags, band[:, None]], 1) - 1), axis=1
            )
            features = tf.concat([text, tagged, time_varying], axis=1)
            vectors += self._represent("item", features)
            biases += tf.matmul(features, self.feature_bias)
        return vectors, biases[:, 0]

    def customers(
        self, row: Any, weight: Any, customer_index: Any, band: Any, numbers: Any, tags: Any, training: bool = False
    ) -> Any:
        """Vectors of customers ``[customers, width]``; ``band`` is that of each entry of the bags."""
        item_index, text, item_tags = (tf.gather(inputs, row) for inputs in self._static)
        count = tf.shape(numbers)[0]

        def bags(vectors: Any) -> Any:
            return tf.math.unsorted_segment_sum(vectors * weight[:, None], customer_index, count)

        vectors = 0.0
        if self.identities:
            mask = self._dropout(tf.ones_like(weight), training=training)[:, None]
            vectors += bags(mask * _embedding_rows(self.input_embedding, item_index))
        if self.features:
            item_tags = tf.concat([item_tags, band[:, None]], 1)
            features = [
                bags(text),
                bags(tf.reduce_sum(_embedding_rows(self.input_tag_embedding, item_tags - 1), axis=1)),
                tf.reduce_sum(_embedding_rows(self.customer_tag_embedding, tags - 1), axis=1),
                numbers,
            ]
            vectors += self._represent("customer", tf.concat(features, axis=1))
        return vectors

    def _represent(self, tower: str, features: Any) -> Any:
        for layer in self.layers_of[tower]:
            features = layer(features)
        return features

    def arrays(self) -> dict[str, Floats]:
        """The weights under the names of ``training.serving.two_tower.network``."""
        found: dict[str, Floats] = {"known": self.known.numpy()}
        if self.identities:
            for name, weights in (
                ("read", self.input_embedding),
                ("offered", self.output_embedding),
                ("identity_bias", self.identity_bias),
            ):
                value = weights.numpy()
                found[name] = np.concatenate([value, np.zeros_like(value[:1])])
            found["identity_bias"] = found["identity_bias"][:, 0]
        if self.features:
            for name, weights in (
                ("read_tags", self.input_tag_embedding),
                ("item_tags", self.output_tag_embedding),
                ("customer_tags", self.customer_tag_embedding),
            ):
                value = weights.numpy()
                found[name] = np.concatenate([np.zeros((1, TAG_WIDTH), np.float32), value])
            found["feature_bias"] = self.feature_bias.numpy()[:, 0]
            for tower, layers in self.layers_of.items():
                for number, layer in enumerate(layers):
                    kernel, bias = layer.weights
                    found[f"{tower}_kernel_{number}"], found[f"{tower}_bias_{number}"] = kernel.numpy(), bias.numpy()
        return {name: np.ascontiguousarray(value, np.float32) for name, value in found.items()}


def _embedding_rows(table: Any, index: Any) -> Any:
    """Rows of a table of weights; zeros without a gradient for an index outside it."""
    size = tf.shape(table)[0]
    in_vocabulary = tf.logical_and(index >= 0, index < tf.cast(size, index.dtype))
    rows = tf.gather(tf.convert_to_tensor(table), tf.where(in_vocabulary, index, tf.zeros_like(index)))
    return rows * tf.cast(in_vocabulary, tf.float32)[..., None]
