"""The network of the item LSTMs in NumPy: the same forward pass as in Keras, without TensorFlow."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

SHAPES: dict[str, tuple[str, ...]] = {
    "read": ("items", "width"),
    "offered": ("items", "width"),
    "popularity": ("items",),
    "kernel": ("width", "gates"),
    "recurrent": ("cells", "gates"),
    "bias": ("gates",),
    "output": ("cells", "width"),
}
"""Every array and its axes; ``gates`` is 4 × ``cells``, in Keras's order i, f, c, o.

``read``: embeddings of the items of a history · ``offered``: output embeddings, of the items to score.
"""


class NumpyItemNetwork:
    """An LSTM over items; its output is a vector for the next item.

    The score of an item is the dot product of its output embedding with that vector, plus a bias, ``popularity``.
    """

    def __init__(self, arrays: Mapping[str, Floats]) -> None:
        """Checks the arrays of ``SHAPES``.

        Raises:
            ValueError: One is missing, of another shape, or not finite float32.
        """
        if arrays.keys() != SHAPES.keys():
            raise ValueError(f"the network's arrays are {sorted(arrays)}, not {sorted(SHAPES)}")
        sizes: dict[str, int] = {}
        for name, axes in SHAPES.items():
            array = arrays[name]
            fits = array.ndim == len(axes) and array.dtype == np.float32 and bool(np.isfinite(array).all())
            if not fits or any(
                sizes.setdefault(axis, size) != size for axis, size in zip(axes, array.shape, strict=True)
            ):
                raise ValueError(f"the network's {name} is no finite float32 of axes {axes}")
        if sizes["gates"] != 4 * sizes["cells"]:
            raise ValueError(f"the network has {sizes['gates']} gates for {sizes['cells']} cells")
        self.arrays = dict(arrays)
        self._cells = sizes["cells"]

    def gates(self, input_embedding: Floats) -> Floats:
        """Contribution of each input embedding to the gates, float32 ``[n, gates]``: once an item, not once a step."""
        gates: Floats = input_embedding @ self.arrays["kernel"] + self.arrays["bias"]
        return gates

    def next_vectors(self, gates: Floats, sequences: Sequence[Ints]) -> Floats:
        """Output vector for the next item of each sequence, float32 ``[n, width]``.

        Args:
            gates: Of the items, as ``gates`` returns them.
            sequences: Rows of ``gates``, oldest first, at least one each.
        """
        length = np.asarray([len(sequence) for sequence in sequences], np.int64)
        order = np.argsort(-length, kind="stable")
        total = int(length.max(initial=0))
        # Right-aligned and longest first: the sequences that have begun at a step are the first rows.
        rows = np.zeros((len(order), total), np.int64)
        for row, number in enumerate(order.tolist()):
            rows[row, total - length[number] :] = sequences[number]
        started = np.searchsorted(-length[order], np.arange(total) - total, side="right")
        state = np.zeros((len(order), self._cells), np.float32)
        memory = np.zeros_like(state)
        for step, active in enumerate(started.tolist()):
            at_step = gates[rows[:active, step]] + state[:active] @ self.arrays["recurrent"]
            input_gate, forget_gate, new, output_gate = np.split(at_step, 4, axis=1)
            memory[:active] = _sigmoid(forget_gate) * memory[:active] + _sigmoid(input_gate) * np.tanh(new)
            state[:active] = _sigmoid(output_gate) * np.tanh(memory[:active])
        vectors = np.empty((len(order), self.arrays["output"].shape[1]), np.float32)
        vectors[order] = state @ self.arrays["output"]
        return vectors


def _sigmoid(x: Floats) -> Floats:
    """1 / (1 + e^−x), by a tanh that cannot overflow."""
    result: Floats = np.float32(0.5) * np.tanh(np.float32(0.5) * x) + np.float32(0.5)
    return result
