"""The network of the item LSTMs in plain numpy: the same numbers as Keras's own forward pass, without TensorFlow."""

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
"""Every array and what its axes stand for; ``gates`` is 4 × ``cells``, in Keras's order i, f, c, o."""


class NumpyItemNetwork:
    """An LSTM that reads items one by one and says which vector the next one should have.

    The score of an item is the dot product of the vector it is offered with and that one, plus how popular it is.
    """

    def __init__(self, arrays: Mapping[str, Floats]) -> None:
        """Take the arrays of ``SHAPES`` over.

        Raises:
            ValueError: One is missing, of another shape, or holds something else than finite float32.
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

    def gates(self, read: Floats) -> Floats:
        """What each vector that is read says to the gates, float32 ``[n, gates]``: once an item, not once a step."""
        gates: Floats = read @ self.arrays["kernel"] + self.arrays["bias"]
        return gates

    def next_vectors(self, gates: Floats, sequences: Sequence[Ints]) -> Floats:
        """The vector that the next item of each sequence should have, float32 ``[n, width]``.

        Args:
            gates: Of the items, as ``gates`` gave them.
            sequences: Rows of ``gates``, oldest first, at least one each.
        """
        length = np.asarray([len(sequence) for sequence in sequences], np.int64)
        order = np.argsort(-length, kind="stable")
        total = int(length.max(initial=0))
        # Right-aligned and longest first: the sequences that have begun at a step are the first rows.
        rows = np.zeros((len(order), total), np.int64)
        for place, number in enumerate(order.tolist()):
            rows[place, total - length[number] :] = sequences[number]
        started = np.searchsorted(-length[order], np.arange(total) - total, side="right")
        state = np.zeros((len(order), self._cells), np.float32)
        memory = np.zeros_like(state)
        for step, active in enumerate(started.tolist()):
            heard = gates[rows[:active, step]] + state[:active] @ self.arrays["recurrent"]
            keep_new, keep_old, new, show = np.split(heard, 4, axis=1)
            memory[:active] = _sigmoid(keep_old) * memory[:active] + _sigmoid(keep_new) * np.tanh(new)
            state[:active] = _sigmoid(show) * np.tanh(memory[:active])
        wanted = np.empty((len(order), self.arrays["output"].shape[1]), np.float32)
        wanted[order] = state @ self.arrays["output"]
        return wanted


def _sigmoid(x: Floats) -> Floats:
    """1 / (1 + e^−x), by a tanh that cannot overflow."""
    result: Floats = np.float32(0.5) * np.tanh(np.float32(0.5) * x) + np.float32(0.5)
    return result
