"""The network in Keras: one small LSTM reads a customer's newest baskets once for each candidate.

Source of the shape: docs/models/basket_lstm.md. ``training.serving.basket_lstm.network`` computes the
same in numpy; a test holds the two together.
"""

from collections.abc import Mapping

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from training.models.standardise import Standardise
from training.serving.basket_lstm.network import DAYS_SINCE_LAST, HEADS

CELLS = 24
WIDTH = 64
DROPOUT = 0.1
LSTM_FREE_HEADS = HEADS // 4
"""Number of a moment's heads, the last ones, that bypass the LSTM."""


class Head(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
    """An MLP with two hidden layers over the inputs of a candidate and of its customer, plus a linear path.

    It has no vectors of single items or customers, so that it serves new ones as well.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name=name)
        self.hidden = keras.layers.Dense(WIDTH, name="hidden")
        self.hidden_person = keras.layers.Dense(WIDTH, use_bias=False, name="hidden_person")
        self.dropout = keras.layers.Dropout(DROPOUT, name="dropout")
        self.second = keras.layers.Dense(WIDTH, activation="relu", name="second")
        self.score = keras.layers.Dense(1, use_bias=False, name="score")
        self.linear = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros", name="linear")

    def call(
        self,
        seen: keras.KerasTensor,
        person: keras.KerasTensor,
        customer: keras.KerasTensor,
        training: bool = False,
    ) -> keras.KerasTensor:
        """Logits ``[candidates, 1]`` from inputs ``seen`` of candidates, whose ``customer`` is a row of ``person``."""
        # No ops.relu: TensorFlow's graph optimizer fuses it with the sum wherever rows were picked, and fails, loudly.
        hidden = ops.maximum(self.hidden(seen) + ops.take(self.hidden_person(person), customer, axis=0), 0.0)
        return self.score(self.second(self.dropout(hidden, training=training))) + self.linear(seen)


class BasketNetwork(keras.Model):  # type: ignore[misc]  # Keras has no types
    """Scores candidates: one logit a candidate, to be compared within its customer only.

    The LSTM reads the customer's baskets, each as inputs of the candidate at that basket (``View.steps``) and of the
    basket itself (``View.baskets``). Heads read its state, and the inputs of the candidate and the customer. Half of
    the heads are for visits, the others for emissions, since the same inputs mean something else there. Each head has a
    loss of its own, with one of two weights of the hit loss (``fitting.HIT_LOSS_WEIGHTS``), and half of a moment's
    heads bypass the LSTM, which decorrelates their errors. The output is the mean logit of the moment's heads: an
    ensemble that shares its most expensive part (Gorishniy, Kotelnikov and Babenko, "TabM", ICLR 2025).
    """

    def __init__(self, sizes: Mapping[str, int]) -> None:
        """Build for inputs of the given widths: ``candidate``, ``customer``, ``step`` and ``basket``."""
        super().__init__(name="basket_lstm")
        self.standardise_candidate = Standardise(sizes["candidate"], "standardise_candidate")
        self.standardise_person = Standardise(sizes["customer"], "standardise_person")
        self.standardise_steps = Standardise(sizes["step"], "standardise_steps")
        self.standardise_baskets = Standardise(sizes["basket"], "standardise_baskets")
        self.reader = keras.layers.LSTM(CELLS, name="reader")
        self.heads = [Head(f"head_{number}") for number in range(HEADS)]
        one = {group: np.zeros((1, width), np.float32) for group, width in sizes.items()}
        nobody = np.zeros(1, np.int32)
        inputs = {"candidate": one["candidate"], "person": one["customer"], "customer": nobody}
        self({**inputs, "steps": one["step"][None], "baskets": one["basket"][None]})

    def call(self, inputs: Mapping[str, keras.KerasTensor], training: bool = False) -> keras.KerasTensor:
        """Logits ``[candidates]``: of each candidate the mean over the heads of its moment."""
        return ops.mean(self.each(inputs, training), axis=-1)

    def each(self, inputs: Mapping[str, keras.KerasTensor], training: bool = False) -> keras.KerasTensor:
        """The logit of each head of its moment for each candidate, ``[candidates, HEADS / 2]``.

        Args:
            inputs: ``candidate``, ``person``, ``steps`` and ``baskets`` as in ``View``, the last two cut to the baskets
                there are (all customers have as many); ``customer`` is the row of each candidate's customer.
            training: Whether to drop out.
        """
        customer = inputs["customer"]
        candidate = self.standardise_candidate(inputs["candidate"])
        person = self.standardise_person(inputs["person"])
        steps = self.standardise_steps(inputs["steps"])
        baskets = ops.take(self.standardise_baskets(inputs["baskets"]), customer, axis=0)
        state = self.reader(ops.concatenate([steps, baskets], axis=-1))
        of_candidates = (ops.concatenate([candidate, state], axis=-1), candidate, customer)
        visit = ops.take(inputs["person"][:, DAYS_SINCE_LAST] > 0.0, customer, axis=0)
        logits, positions = [], []
        for heads, chosen in ((self.heads[: HEADS // 2], visit), (self.heads[HEADS // 2 :], ~visit)):
            (rows,) = ops.nonzero(chosen)
            with_lstm, without_lstm, whose = (ops.take(values, rows, axis=0) for values in of_candidates)
            inputs_of_heads = [with_lstm] * (len(heads) - LSTM_FREE_HEADS) + [without_lstm] * LSTM_FREE_HEADS
            of_heads = [
                head(seen, person, whose, training=training) for head, seen in zip(heads, inputs_of_heads, strict=True)
            ]
            logits.append(ops.concatenate(of_heads, axis=-1))
            positions.append(rows)
        return ops.take(ops.concatenate(logits), ops.argsort(ops.concatenate(positions)), axis=0)

    def standardise(self, **values: NDArray[np.floating]) -> None:
        """Fit the scales of ``candidate``, ``customer``, ``step`` and ``basket`` inputs ``[..., width]``."""
        for group, scale in self.scales.items():
            scale.fit(values[group])

    @property
    def scales(self) -> dict[str, Standardise]:
        """The layers that standardise each group of inputs."""
        return {
            "candidate": self.standardise_candidate,
            "customer": self.standardise_person,
            "step": self.standardise_steps,
            "basket": self.standardise_baskets,
        }

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """The weights under the names of ``training.serving.basket_lstm.network.SHAPES``."""
        found = {}
        for name, scale in self.scales.items():
            found[f"{name}_mean"], found[f"{name}_deviation"] = scale.mean, scale.deviation
        found["lstm_kernel"], found["lstm_recurrent"], found["lstm_bias"] = self.reader.weights
        arrays = {name: value.numpy() for name, value in found.items()}
        layer_names = {"hidden_customer": "hidden_person"}
        for name in ("hidden", "hidden_customer", "second", "score", "linear"):
            layers = [getattr(head, layer_names.get(name, name)) for head in self.heads]
            kernels = [layer.kernel.numpy() for layer in layers]
            rows = max(len(kernel) for kernel in kernels)  # where a head bypasses the LSTM, its state counts 0
            arrays[f"{name}_kernel"] = np.stack([np.pad(each, ((0, rows - len(each)), (0, 0))) for each in kernels])
            if layers[0].use_bias:
                arrays[f"{name}_bias"] = np.stack([layer.bias.numpy() for layer in layers])
        return {name: array.astype(np.float32) for name, array in arrays.items()}
