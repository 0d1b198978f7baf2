"""The network of ``basket_lstm`` in plain numpy: the same numbers as Keras's own forward pass, without TensorFlow."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from training.features.view import CANDIDATE_INPUTS, View

Floats = NDArray[np.float32]

BOUND = 8.0
"""Standardised inputs are cut off here: what no training example came near must not run away."""

ITEM_INPUTS = ("item_bias", "item_bias_where_known")
"""What is learnt of each item itself: how much likelier it is bought than all else says, by anyone, and by a customer
who bought it before."""

KNOWN = CANDIDATE_INPUTS.index("known")

_ROWS = 1_024
"""Candidates read at once: their gates stay in the cache."""

_GELU = np.float32(np.sqrt(2.0 / np.pi))

SHAPES: dict[str, tuple[str, ...]] = {
    "candidate_mean": ("candidate",),
    "candidate_deviation": ("candidate",),
    "person_mean": ("person",),
    "person_deviation": ("person",),
    "steps_mean": ("step",),
    "steps_deviation": ("step",),
    "baskets_mean": ("basket",),
    "baskets_deviation": ("basket",),
    "reader_kernel": ("step+basket", "gates"),
    "reader_recurrent": ("cells", "gates"),
    "reader_bias": ("gates",),
    "hidden_kernel": ("candidate+cells", "width"),
    "hidden_bias": ("width",),
    "hidden_person_kernel": ("person", "width"),
    "second_kernel": ("width", "second"),
    "second_bias": ("second",),
    "score_kernel": ("second", "one"),
    "linear_kernel": ("candidate+cells", "one"),
    "item_bias": ("items", "item"),
}
"""Every array of the network and what its axes stand for; ``gates`` is 4 × ``cells``, in Keras's order i, f, c, o.
The last of the ``items`` stands for one that training never saw."""


def check_arrays(arrays: Mapping[str, NDArray[np.float32]], sizes: Mapping[str, int]) -> None:
    """See to it that arrays are those of a network with the given input widths.

    Args:
        arrays: By name.
        sizes: Width of ``candidate``, ``person``, ``step`` and ``basket``.

    Raises:
        ValueError: One is missing, of another shape, or holds something else than finite float32.
    """
    missing = SHAPES.keys() - arrays.keys()
    if missing:
        raise ValueError(f"the network has no {', '.join(sorted(missing))}")
    for name, array in arrays.items():
        if name not in SHAPES or array.ndim != len(SHAPES[name]):
            raise ValueError(f"the network's {name} has {array.ndim} axes")
    known = dict(sizes) | {"one": 1, "item": len(ITEM_INPUTS), "items": len(arrays["item_bias"])}
    known["cells"] = len(arrays["reader_recurrent"])
    known["gates"] = 4 * known["cells"]
    known["width"] = len(arrays["hidden_bias"])
    known["second"] = len(arrays["second_bias"])
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
        """Take the arrays of ``SHAPES`` over.

        Raises:
            ValueError: They do not fit (see ``check_arrays``).
        """
        check_arrays(arrays, sizes)
        self.arrays = dict(arrays)
        self._cells = len(arrays["reader_recurrent"])
        half = np.full(4 * self._cells, 0.5, np.float32)
        half[2 * self._cells : 3 * self._cells] = 1.0
        kernel: Floats = arrays["reader_kernel"] * half
        step = sizes["step"]
        self._recurrent = np.ascontiguousarray(np.concatenate([arrays["reader_recurrent"] * half, kernel[:step]]))
        self._basket_kernel = np.ascontiguousarray(kernel[step:])
        self._bias = arrays["reader_bias"] * half

    def logits(self, view: View, item: NDArray[np.integer]) -> Floats:
        """One logit a candidate, to be compared within its customer only, float32 ``[candidates]``.

        ``item`` ``[candidates]`` leads to the row of ``item_bias``.
        """
        arrays = self.arrays
        candidate = self._standardised("candidate", view.candidate)
        person = self._standardised("person", view.person) @ arrays["hidden_person_kernel"] + arrays["hidden_bias"]
        state = self._read(view)
        seen: Floats = np.concatenate([candidate, state], axis=1)
        hidden: Floats = np.matmul(seen, arrays["hidden_kernel"])
        hidden += person[view.customer]
        hidden = _gelu(_gelu(hidden) @ arrays["second_kernel"] + arrays["second_bias"])
        logits: Floats = hidden @ arrays["score_kernel"][:, 0]
        logits += seen @ arrays["linear_kernel"][:, 0]
        bias = arrays["item_bias"][item]
        logits += bias[:, 0] + bias[:, 1] * (view.candidate[:, KNOWN] > 0.0)
        return logits

    def _standardised(self, name: str, values: Floats) -> Floats:
        scaled: Floats = (values - self.arrays[f"{name}_mean"]) / self.arrays[f"{name}_deviation"]
        return np.clip(scaled, -BOUND, BOUND, out=scaled)

    def _read(self, view: View) -> Floats:
        """State of the LSTM after the newest basket, float32 ``[candidates, cells]``; zeros without any basket.

        Nothing is padded: longest histories first, so those that have begun at a step are the first rows.
        """
        length = view.length[view.customer]
        order = np.argsort(-length, kind="stable")
        steps = self._standardised("steps", view.steps)
        baskets: Floats = self._standardised("baskets", view.baskets) @ self._basket_kernel + self._bias
        state = np.zeros((len(order), self._cells), np.float32)
        for start in range(0, len(order), _ROWS):
            rows = order[start : start + _ROWS]
            state[rows] = self._run(steps[rows], baskets, view.customer[rows], length[rows])
        return state

    def _run(self, steps: Floats, baskets: Floats, customer: NDArray[np.int64], length: NDArray[np.int64]) -> Floats:
        cells = self._cells
        total = steps.shape[1]
        seen = np.zeros((len(steps), cells + steps.shape[2]), np.float32)
        memory = np.zeros((len(steps), cells), np.float32)
        for step in range(total - int(length.max(initial=0)), total):
            active = int(np.searchsorted(-length, step - total, side="right"))
            seen[:active, cells:] = steps[:active, step]
            gates = seen[:active] @ self._recurrent
            gates += baskets[customer[:active], step]
            np.tanh(gates, out=gates)
            new = gates[:, 2 * cells : 3 * cells].copy()
            gates *= 0.5
            gates += 0.5
            held = memory[:active]
            held *= gates[:, cells : 2 * cells]
            new *= gates[:, :cells]
            held += new
            np.multiply(gates[:, 3 * cells :], np.tanh(held), out=seen[:active, :cells])
        return seen[:, :cells]


def _gelu(x: Floats) -> Floats:
    """Keras's approximate GELU: ½ x (1 + tanh(√(2/π) (x + 0.044715 x³)))."""
    inner: Floats = x * x
    inner *= np.float32(0.044715)
    inner += np.float32(1.0)
    inner *= x
    inner *= _GELU
    np.tanh(inner, out=inner)
    inner += np.float32(1.0)
    inner *= x
    inner *= np.float32(0.5)
    return inner
