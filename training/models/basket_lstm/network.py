"""The network in Keras: one small LSTM reads a customer's newest baskets once for each candidate.

Source of the shape: docs/evaluation.md, "Candidate-view LSTM". ``training.serving.basket_network`` computes the same in
numpy; a test holds the two together.
"""

from collections.abc import Mapping, Sequence

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from training.serving.basket_network import BOUND, ITEM_INPUTS, KNOWN

CELLS = 32
WIDTH = 64
DROPOUT = 0.1
LEFT_OUT = 1e12
"""Deviation of an input that is left out."""


class Standardise(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
    """(x − mean) / deviation, cut off at ``BOUND``; fitted once, before training."""

    def __init__(self, width: int, name: str) -> None:
        super().__init__(name=name, trainable=False)
        self.mean = self.add_weight(shape=(width,), initializer="zeros", trainable=False, name="mean")
        self.deviation = self.add_weight(shape=(width,), initializer="ones", trainable=False, name="deviation")

    def fit(self, values: NDArray[np.floating]) -> None:
        """Take mean and deviation of values ``[..., width]``; a constant input keeps a small deviation."""
        flat = values.reshape(-1, values.shape[-1]).astype(np.float64)
        self.mean.assign(flat.mean(axis=0))
        self.deviation.assign(np.maximum(flat.std(axis=0), 1e-3))

    def leave_out(self, columns: Sequence[int]) -> None:
        """Make some columns 0 whatever they hold: for ablations, and without another form of the network."""
        mean, deviation = self.mean.numpy(), self.deviation.numpy()
        mean[list(columns)], deviation[list(columns)] = 0.0, LEFT_OUT
        self.mean.assign(mean)
        self.deviation.assign(deviation)

    def call(self, values: keras.KerasTensor) -> keras.KerasTensor:
        """Standardise values ``[..., width]``."""
        return ops.clip((values - self.mean) / self.deviation, -BOUND, BOUND)


class BasketNetwork(keras.Model):  # type: ignore[misc]  # Keras has no types
    """Scores candidates: one logit a candidate, to be compared within its customer only.

    The LSTM sees of each basket what it says of the candidate (``View.steps``) and what it was like (``View.baskets``);
    the head is an MLP on its state and on the candidate's and the customer's inputs, beside a linear path. Of the item
    itself there are two numbers (``ITEM_INPUTS``), 0 for one that training never saw: so nothing else is unknown in a
    new item or customer.
    """

    def __init__(
        self, sizes: Mapping[str, int], items: int, left_out: Mapping[str, Sequence[int]] | None = None
    ) -> None:
        """Build for inputs of the given widths: ``candidate``, ``person``, ``step`` and ``basket``.

        ``items``: rows of the item table that training saw. ``left_out``: of any of the inputs, or of ``item``, columns
        that the network does not see.
        """
        super().__init__(name="basket_lstm")
        self._sizes = dict(sizes)
        self.standardise_candidate = Standardise(sizes["candidate"], "standardise_candidate")
        self.standardise_person = Standardise(sizes["person"], "standardise_person")
        self.standardise_steps = Standardise(sizes["step"], "standardise_steps")
        self.standardise_baskets = Standardise(sizes["basket"], "standardise_baskets")
        self._left_out = {group: list(columns) for group, columns in (left_out or {}).items()}
        self.item = keras.layers.Embedding(items + 1, len(ITEM_INPUTS), embeddings_initializer="zeros", name="item")
        self.reader = keras.layers.LSTM(CELLS, name="reader")
        self.hidden = keras.layers.Dense(WIDTH, name="hidden")
        self.hidden_person = keras.layers.Dense(WIDTH, use_bias=False, name="hidden_person")
        self.dropout = keras.layers.Dropout(DROPOUT, name="dropout")
        self.second = keras.layers.Dense(WIDTH, name="second")
        self.score = keras.layers.Dense(1, use_bias=False, name="score")
        self.linear = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros", name="linear")
        one = {group: np.zeros((1, width), np.float32) for group, width in sizes.items()}
        nobody = np.zeros(1, np.int32)
        self({**one, "steps": one["step"][None], "baskets": one["basket"][None], "customer": nobody, "item": nobody})

    def call(self, inputs: Mapping[str, keras.KerasTensor], training: bool = False) -> keras.KerasTensor:
        """Logits ``[candidates]``.

        Args:
            inputs: ``candidate``, ``person``, ``steps`` and ``baskets`` as in ``View``, the last two cut to the baskets
                there are (all customers have as many); ``customer`` leads from a candidate to its customer, ``item`` to
                its row of the item table (``items``: to none).
            training: Whether to drop out.
        """
        candidate = self.standardise_candidate(inputs["candidate"])
        person = self.hidden_person(self.standardise_person(inputs["person"]))
        steps = self.standardise_steps(inputs["steps"])
        baskets = ops.take(self.standardise_baskets(inputs["baskets"]), inputs["customer"], axis=0)
        state = self.reader(ops.concatenate([steps, baskets], axis=-1))
        seen = ops.concatenate([candidate, state], axis=-1)
        hidden = self.hidden(seen) + ops.take(person, inputs["customer"], axis=0)
        hidden = self.dropout(ops.gelu(hidden, approximate=True), training=training)
        hidden = ops.gelu(self.second(hidden), approximate=True)
        bias = self.item(inputs["item"])
        known = ops.cast(inputs["candidate"][:, KNOWN] > 0.0, "float32")
        logits = ops.squeeze(self.score(hidden) + self.linear(seen), axis=-1)
        for column, share in enumerate((1.0, known)):
            # Where it is left out nothing is learnt, and its numbers stay 0.
            logits += bias[:, column] * share * float(column not in self._left_out.get("item", ()))
        return logits

    def weigh(self, scale: float, added: Mapping[int, float]) -> None:
        """Multiply every logit by ``scale`` and add, by column of the candidates' inputs, so much of each input."""
        for weights in (self.score.kernel, self.linear.kernel, self.item.embeddings):
            weights.assign(weights * scale)
        linear = self.linear.kernel.numpy()
        for column, weight in added.items():
            linear[column, 0] += weight * float(self.standardise_candidate.deviation[column])
        self.linear.kernel.assign(linear)

    def reordered(self, rows: Sequence[int]) -> "BasketNetwork":
        """The same network, of other items: those of some rows, in that order; a negative row is one never seen."""
        other = BasketNetwork(self._sizes, len(rows), self._left_out)
        known = np.append(np.asarray(rows, np.int64), -1)
        bias = np.where((known >= 0)[:, None], self.item.embeddings.numpy()[np.maximum(known, 0)], np.float32(0.0))
        for ours, theirs in zip(self.weights, other.weights, strict=True):
            theirs.assign(bias if ours is self.item.embeddings else ours)
        return other

    def standardise(self, **values: NDArray[np.floating]) -> None:
        """Fit the scales of ``candidate``, ``person``, ``step`` and ``basket`` inputs ``[..., width]``."""
        layers = {
            "candidate": self.standardise_candidate,
            "person": self.standardise_person,
            "step": self.standardise_steps,
            "basket": self.standardise_baskets,
        }
        for group, layer in layers.items():
            layer.fit(values[group])
            layer.leave_out(self._left_out.get(group, ()))

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """The weights under the names of ``training.serving.basket_network.SHAPES``."""
        layers = {
            "candidate": self.standardise_candidate,
            "person": self.standardise_person,
            "steps": self.standardise_steps,
            "baskets": self.standardise_baskets,
        }
        found = {}
        for name, layer in layers.items():
            found[f"{name}_mean"], found[f"{name}_deviation"] = layer.mean, layer.deviation
        found["item_bias"] = self.item.embeddings
        found["reader_kernel"], found["reader_recurrent"], found["reader_bias"] = self.reader.weights
        for layer in (self.hidden, self.second):
            found[f"{layer.name}_kernel"], found[f"{layer.name}_bias"] = layer.weights
        for layer in (self.hidden_person, self.score, self.linear):
            found[f"{layer.name}_kernel"] = layer.weights[0]
        return {name: value.numpy().astype(np.float32) for name, value in found.items()}
