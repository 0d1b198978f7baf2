"""The network of ``basket_lstm`` in NumPy: the same forward pass as in Keras, without TensorFlow."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from training.features.basket_lstm.customer_inputs import CUSTOMER_INPUTS
from training.features.basket_lstm.view import View
from training.serving.standardise import standardise

Floats = NDArray[np.float32]

DAYS_SINCE_LAST = CUSTOMER_INPUTS.index("log_days_since_last")
"""Above 0 at a visit; 0 at an emission, right after a basket."""

HEADS = 8
"""The first half of them scores visits, the other half emissions."""

_ROWS = 1_024
"""Candidates the LSTM processes at once: their gates stay in the cache."""

SHAPES: dict[str, tuple[str, ...]] = {
    "candidate_mean": ("candidate",),
    "candidate_deviation": ("candidate",),
    "customer_mean": ("customer",),
    "customer_deviation": ("customer",),
    "step_mean": ("step",),
    "step_deviation": ("step",),
    "basket_mean": ("basket",),
    "basket_deviation": ("basket",),
    "lstm_kernel": ("step+basket", "gates"),
    "lstm_recurrent": ("cells", "gates"),
    "lstm_bias": ("gates",),
    "hidden_kernel": ("heads", "candidate+cells", "width"),
    "hidden_bias": ("heads", "width"),
    "hidden_customer_kernel": ("heads", "customer", "width"),
    "second_kernel": ("heads", "width", "second"),
    "second_bias": ("heads", "second"),
    "score_kernel": ("heads", "second", "one"),
    "linear_kernel": ("heads", "candidate+cells", "one"),
}
"""Every array of the network and its axes; ``gates`` is 4 × ``cells``, in Keras's order i, f, c, o."""
HEAD_ARRAYS = [name for name, axes in SHAPES.items() if axes[0] == "heads"]


def check_arrays(arrays: Mapping[str, NDArray[np.float32]], sizes: Mapping[str, int]) -> None:
    """Checks that arrays are those of a network with the given input widths.

    Args:
        arrays: By name.
        sizes: Width of ``candidate``, ``customer``, ``step`` and ``basket``.

    Raises:
        ValueError: One is missing, unknown, of another shape, or is not finite float32.
    """
    missing = SHAPES.keys() - arrays.keys()
    if missing:
        raise ValueError(f"the network has no {', '.join(sorted(missing))}")
    unknown = arrays.keys() - SHAPES.keys()
    if unknown:
        raise ValueError(f"the network has {', '.join(sorted(unknown))}, unknown to this version: train it anew")
    for name, array in arrays.items():
        if array.ndim != len(SHAPES[name]):
            raise ValueError(f"the network's {name} has {array.ndim} axes")
    if len(arrays["hidden_bias"]) != HEADS:
        raise ValueError(f"the network has {len(arrays['hidden_bias'])} heads, not {HEADS}: train it anew")
    known = dict(sizes) | {"one": 1, "heads": HEADS}
    known["cells"] = len(arrays["lstm_recurrent"])
    known["gates"] = 4 * known["cells"]
    known["width"] = arrays["hidden_bias"].shape[1]
    known["second"] = arrays["second_bias"].shape[1]
    for name, axes in SHAPES.items():
        array = arrays[name]
        shape = tuple(sum(known[part] for part in axis.split("+")) for axis in axes)
        if array.shape != shape or array.dtype != np.float32 or not np.isfinite(array).all():
            raise ValueError(f"the network's {name} is no finite float32 of shape {shape}")
        if name.endswith("deviation") and not (array > 0.0).all():
            raise ValueError(f"the network's {name} is not above 0")


class NumpyNetwork:
    """The forward pass over a view.

    All gates take one ``tanh``: σ(x) = ½ tanh(½ x) + ½, with the inner halves in the weights.
    """

    def __init__(self, arrays: Mapping[str, Floats], sizes: Mapping[str, int]) -> None:
        """Prepares the arrays of ``SHAPES``.

        Raises:
            ValueError: They do not fit (see ``check_arrays``).
        """
        check_arrays(arrays, sizes)
        self.arrays = dict(arrays)
        self._cells = len(arrays["lstm_recurrent"])
        half = np.full(4 * self._cells, 0.5, np.float32)
        half[2 * self._cells : 3 * self._cells] = 1.0
        kernel: Floats = arrays["lstm_kernel"] * half
        step = sizes["step"]
        self._recurrent = np.ascontiguousarray(np.concatenate([arrays["lstm_recurrent"] * half, kernel[:step]]))
        self._basket_kernel = np.ascontiguousarray(kernel[step:])
        self._bias = arrays["lstm_bias"] * half
        half_of_heads = HEADS // 2
        self._visit_heads, self._emission_heads = (
            _Heads({name: arrays[name][start : start + half_of_heads] for name in HEAD_ARRAYS})
            for start in (0, half_of_heads)
        )

    def logits(self, view: View) -> Floats:
        """One logit a candidate, to be compared within its customer only, float32 ``[candidates]``."""
        features = np.concatenate([self.candidate_inputs(view), self._lstm_states(view)], axis=1)
        of_customer = self._standardised("customer", view.customer_inputs)
        emission = ~(view.customer_inputs[:, DAYS_SINCE_LAST] > 0.0)[view.customer]
        logits = np.empty(len(features), np.float32)
        for heads, rows in (
            (self._visit_heads, np.flatnonzero(~emission)),
            (self._emission_heads, np.flatnonzero(emission)),
        ):
            if len(rows) == len(features):
                logits = heads.logits(features, of_customer, view.customer)
            elif len(rows):
                logits[rows] = heads.logits(features[rows], of_customer, view.customer[rows])
        return logits

    def candidate_inputs(self, view: View) -> Floats:
        """Standardised inputs of the candidates, float32 ``[candidates, inputs]``."""
        return self._standardised("candidate", view.candidate_inputs)

    def _standardised(self, name: str, values: Floats) -> Floats:
        return standardise(values, self.arrays[f"{name}_mean"], self.arrays[f"{name}_deviation"])

    def _lstm_states(self, view: View) -> Floats:
        """State of the LSTM after the newest basket, float32 ``[candidates, cells]``; zeros without any basket.

        Without padding: with the longest histories first, those that have begun at a step are the first rows.
        """
        length = view.length[view.customer]
        order = np.argsort(-length, kind="stable")
        steps = self._standardised("step", view.step_inputs)
        baskets: Floats = self._standardised("basket", view.basket_inputs) @ self._basket_kernel + self._bias
        state = np.zeros((len(order), self._cells), np.float32)
        for start in range(0, len(order), _ROWS):
            rows = order[start : start + _ROWS]
            state[rows] = self._run(steps[rows], baskets, view.customer[rows], length[rows])
        return state

    def _run(self, steps: Floats, baskets: Floats, customer: NDArray[np.int64], length: NDArray[np.int64]) -> Floats:
        cells = self._cells
        total = steps.shape[1]
        inputs = np.zeros((len(steps), cells + steps.shape[2]), np.float32)  # the state, then the step's inputs
        memory = np.zeros((len(steps), cells), np.float32)
        for step in range(total - int(length.max(initial=0)), total):
            active = int(np.searchsorted(-length, step - total, side="right"))
            inputs[:active, cells:] = steps[:active, step]
            gates = inputs[:active] @ self._recurrent
            gates += baskets[customer[:active], step]
            np.tanh(gates, out=gates)
            new = gates[:, 2 * cells : 3 * cells].copy()
            gates *= 0.5
            gates += 0.5
            cell = memory[:active]
            cell *= gates[:, cells : 2 * cells]
            new *= gates[:, :cells]
            cell += new
            np.multiply(gates[:, 3 * cells :], np.tanh(cell), out=inputs[:active, :cells])
        return inputs[:, :cells]


class _Heads:
    """The heads of visits or of emissions; the output is their mean logit."""

    def __init__(self, arrays: Mapping[str, Floats]) -> None:
        head_weight = np.float32(1.0 / len(arrays["hidden_bias"]))
        # The first layers of all heads are one matrix product.
        self._hidden = np.concatenate(arrays["hidden_kernel"], axis=1)
        self._hidden_customer = np.concatenate(arrays["hidden_customer_kernel"], axis=1)
        self._hidden_bias = arrays["hidden_bias"].ravel()
        self._second = list(
            zip(
                arrays["second_kernel"],
                arrays["second_bias"],
                arrays["score_kernel"][:, :, 0] * head_weight,
                strict=True,
            )
        )
        self._linear = arrays["linear_kernel"].mean(axis=0)[:, 0]

    def logits(self, features: Floats, of_customer: Floats, customer: NDArray[np.int64]) -> Floats:
        """Logits ``[candidates]``.

        Args:
            features: Candidate inputs and LSTM state ``[candidates, candidate+cells]``.
            of_customer: Customer inputs ``[customers, customer]``.
            customer: Row of ``of_customer`` for each candidate.
        """
        hidden: Floats = features @ self._hidden
        hidden += (of_customer @ self._hidden_customer + self._hidden_bias)[customer]
        np.maximum(hidden, 0.0, out=hidden)
        logits: Floats = features @ self._linear
        parts = np.split(hidden, len(self._second), axis=1)
        for part, (kernel, added, score) in zip(parts, self._second, strict=True):
            second: Floats = part @ kernel
            second += added
            np.maximum(second, 0.0, out=second)
            logits += second @ score
        return logits
