"""The network in Keras: one small LSTM reads a customer's newest baskets once for each candidate.

Source of the shape: docs/models/basket_lstm.md. ``training.serving.basket_lstm.network`` computes the
same in numpy; a test holds the two together.
"""

from collections.abc import Mapping

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from training.models.byte_dropout import ByteDropout
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
        # The attribute names the group in weights.weights.h5, so it keeps the name that bundles have.
        self.hidden_person = keras.layers.Dense(WIDTH, use_bias=False, name="hidden_person")
        self.dropout = ByteDropout(DROPOUT, "dropout")
        self.second = keras.layers.Dense(WIDTH, activation="relu", name="second")
        self.score = keras.layers.Dense(1, use_bias=False, name="score")
        self.linear = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros", name="linear")

    def call(
        self,
        inputs: keras.KerasTensor,
        customer_inputs: keras.KerasTensor,
        training: bool = False,
    ) -> keras.KerasTensor:
        """Logits ``[candidates, 1]``.

        Args:
            inputs: Of the candidates.
            customer_inputs: Of each candidate's customer.
            training: Whether to drop out.
        """
        # No ops.relu: TensorFlow's graph optimizer fuses it with the sum of two products, and fails, loudly.
        hidden = ops.maximum(self.hidden(inputs) + self.hidden_person(customer_inputs), 0.0)
        return self.score(self.second(self.dropout(hidden, training=training))) + self.linear(inputs)


class BasketNetwork(keras.Model):  # type: ignore[misc]  # Keras has no types
    """Scores candidates: one logit a candidate, to be compared within its customer only.

    The LSTM reads the customer's baskets, each as inputs of the candidate at that basket (``View.step_inputs``) and
    of the basket itself (``View.basket_inputs``). Heads read its state, and the inputs of the candidate and the
    customer. Half of the heads are for visits, the others for emissions, since the same inputs mean something else
    there. Each head has a loss of its own, with one of two weights of the hit loss (``fitting.HIT_LOSS_WEIGHTS``), and
    half of a moment's heads bypass the LSTM, which decorrelates their errors. The output is the mean logit of the
    moment's heads: an ensemble that shares its most expensive part (Gorishniy, Kotelnikov and Babenko, "TabM", ICLR
    2025).
    """

    def __init__(self, sizes: Mapping[str, int]) -> None:
        """Build for inputs of the given widths: ``candidate``, ``customer``, ``step`` and ``basket``."""
        super().__init__(name="basket_lstm")
        self.standardise_candidate = Standardise(sizes["candidate"], "standardise_candidate")
        self.standardise_customer = Standardise(sizes["customer"], "standardise_person")
        self.standardise_step = Standardise(sizes["step"], "standardise_steps")
        self.standardise_basket = Standardise(sizes["basket"], "standardise_baskets")
        self.lstm = keras.layers.LSTM(CELLS, name="reader")
        self.heads = [Head(f"head_{number}") for number in range(HEADS)]
        zeros = {group: np.zeros((1, width), np.float32) for group, width in sizes.items()}
        self(  # builds it
            {
                "candidate_inputs": zeros["candidate"],
                "customer_inputs": zeros["customer"],
                "step_inputs": zeros["step"][None],
                "basket_inputs": zeros["basket"][None],
                "customer_index": np.zeros(1, np.int32),
            }
        )

    def call(self, inputs: Mapping[str, keras.KerasTensor], training: bool = False) -> keras.KerasTensor:
        """Logits ``[candidates]``: of each candidate the mean over the heads of its moment."""
        return ops.mean(self.head_logits(inputs, training), axis=-1)

    def head_logits(self, inputs: Mapping[str, keras.KerasTensor], training: bool = False) -> keras.KerasTensor:
        """The logit of each head of its moment for each candidate, ``[candidates, HEADS / 2]``.

        Args:
            inputs: ``candidate_inputs``, ``customer_inputs``, ``step_inputs`` and ``basket_inputs`` as in ``View``, the
                last two without padding (all customers have the same number of baskets); ``customer_index`` is the row
                of each candidate's customer.
            training: Whether to drop out.
        """
        index = inputs["customer_index"]
        candidate = self.standardise_candidate(inputs["candidate_inputs"])
        customer = self.standardise_customer(inputs["customer_inputs"])
        steps = self.standardise_step(inputs["step_inputs"])
        baskets = ops.take(self.standardise_basket(inputs["basket_inputs"]), index, axis=0)
        state = self.lstm(ops.concatenate([steps, baskets], axis=-1))
        # Customers by candidate: the gradients of the heads are then products, cheaper than sums by customer.
        of_candidates = (ops.concatenate([candidate, state], axis=-1), candidate, ops.take(customer, index, axis=0))
        visit = ops.take(inputs["customer_inputs"][:, DAYS_SINCE_LAST] > 0.0, index, axis=0)
        logits, positions = [], []
        for heads, chosen in ((self.heads[: HEADS // 2], visit), (self.heads[HEADS // 2 :], ~visit)):
            (rows,) = ops.nonzero(chosen)
            with_lstm, without_lstm, customers = (ops.take(values, rows, axis=0) for values in of_candidates)
            inputs_of_heads = [with_lstm] * (len(heads) - LSTM_FREE_HEADS) + [without_lstm] * LSTM_FREE_HEADS
            of_heads = [
                head(head_inputs, customers, training=training)
                for head, head_inputs in zip(heads, inputs_of_heads, strict=True)
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
            "customer": self.standardise_customer,
            "step": self.standardise_step,
            "basket": self.standardise_basket,
        }

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """The weights under the names of ``training.serving.basket_lstm.network.SHAPES``."""
        found = {}
        for name, scale in self.scales.items():
            found[f"{name}_mean"], found[f"{name}_deviation"] = scale.mean, scale.deviation
        found["lstm_kernel"], found["lstm_recurrent"], found["lstm_bias"] = self.lstm.weights
        arrays = {name: value.numpy() for name, value in found.items()}
        attributes = {"hidden_customer": "hidden_person"}
        for name in ("hidden", "hidden_customer", "second", "score", "linear"):
            layers = [getattr(head, attributes.get(name, name)) for head in self.heads]
            kernels = [layer.kernel.numpy() for layer in layers]
            rows = max(len(kernel) for kernel in kernels)  # where a head bypasses the LSTM, its state counts 0
            arrays[f"{name}_kernel"] = np.stack(
                [np.pad(kernel, ((0, rows - len(kernel)), (0, 0))) for kernel in kernels]
            )
            if layers[0].use_bias:
                arrays[f"{name}_bias"] = np.stack([layer.bias.numpy() for layer in layers])
        return {name: array.astype(np.float32) for name, array in arrays.items()}
