"""The network of the item LSTMs in Keras. ``training.serving.item_lstm.network`` computes the same in numpy."""

import keras
import numpy as np
from keras import ops

from training.serving.item_lstm.network import Floats
from training.serving.item_lstm.scorer import scale_text_vectors

CELLS = 64
DROPOUT = 0.2


class ItemNetwork(keras.Model):  # type: ignore[misc]  # Keras has no types
    """Reads items one by one and predicts after each the vector of the next one."""

    def __init__(self, start: Floats, popularity: Floats, *, tied: bool) -> None:
        """Start from vectors of the items.

        Args:
            start: Vectors with which items are scored, ``[items, width]``; trained.
            popularity: Log of each item's share of the sales, ``[items]``; trained.
            tied: Whether an item is also read as the vector that is trained (tied embeddings: Press and Wolf 2017,
                arXiv:1608.05859). If not, it is read as it was at the start: a text vector.
        """
        super().__init__(name="item_lstm")
        self.output_embedding = self._weights("offered", start, trainable=True)
        self.input_embedding = (
            self.output_embedding if tied else self._weights("read", scale_text_vectors(start), trainable=False)
        )
        self.popularity = self._weights("popularity", popularity, trainable=True)
        self.reader = keras.layers.LSTM(CELLS, return_sequences=True, name="reader")
        self.output_vector = keras.layers.Dense(start.shape[1], use_bias=False, name="output_vector")
        self.dropout_in = keras.layers.Dropout(DROPOUT, name="dropout_in")
        self.dropout_out = keras.layers.Dropout(DROPOUT, name="dropout_out")

    def _weights(self, name: str, start: Floats, *, trainable: bool) -> keras.Variable:
        def initial(shape: tuple[int, ...], dtype: str) -> keras.KerasTensor:
            return ops.convert_to_tensor(start, dtype)

        return self.add_weight(shape=start.shape, initializer=initial, trainable=trainable, name=name)

    def call(self, indices: keras.KerasTensor, training: bool = False) -> keras.KerasTensor:
        """Vectors of the next items, ``[windows, steps, width]``; ``indices`` is int32 ``[windows, steps]``."""
        vectors = self.dropout_in(ops.take(self.input_embedding, indices, axis=0), training=training)
        return self.output_vector(self.dropout_out(self.reader(vectors), training=training))

    def arrays(self) -> dict[str, Floats]:
        """The weights under the names of ``training.serving.item_lstm.network.SHAPES``."""
        kernel, recurrent, bias = self.reader.weights
        found = {
            "read": self.input_embedding,
            "offered": self.output_embedding,
            "popularity": self.popularity,
            "kernel": kernel,
            "recurrent": recurrent,
            "bias": bias,
            "output": self.output_vector.weights[0],
        }
        return {name: value.numpy().astype(np.float32) for name, value in found.items()}
