"""Correction: a bias of each item and a weight of each input, added to the network's logits.

The network has no item embeddings. Changes that its inputs do not explain (an item that suddenly sells, an input that
counts more or less than it did) show in the outcomes, from which a training fits the correction
(``training.models.online_correction``). A served model applies the correction of its bundle and never changes it.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class CandidateLogits(NamedTuple):
    """One customer's candidates with the logits of the network.

    ``visit``: whether at a visit, else at an emission · ``codes`` ``[candidates]`` · ``inputs`` standardised, as the
    network reads them ``[candidates, inputs]`` · ``logits`` ``[candidates]``.
    """

    visit: bool
    codes: Sequence[str]
    inputs: NDArray[np.floating]
    logits: Floats


class Correction:
    """Item biases and input weights, one set for visits and one for emissions; zeros by default. Immutable.

    Attributes:
        position: Position of each stock code in ``biases``.
        codes: The stock codes of ``biases`` in order, as they were given; None where their positions were.
        biases: float32 ``[2, codes]``, visits first.
        input_weights: float32 ``[2, inputs]``, likewise.
    """

    def __init__(
        self,
        n_inputs: int,
        codes: Sequence[str] | Mapping[str, int] = (),
        biases: Floats | None = None,
        input_weights: Floats | None = None,
    ) -> None:
        """Checks that the parts fit together.

        Args:
            n_inputs: Number of inputs of a candidate.
            codes: Stock codes of ``biases``, in order, or with their position.
            biases: float32 ``[2, codes]``, visits first.
            input_weights: float32 ``[2, inputs]``, likewise.

        Raises:
            ValueError: The parts do not fit together, or are not finite.
        """
        self.codes = None if isinstance(codes, Mapping) else codes
        self.position = codes if isinstance(codes, Mapping) else {code: position for position, code in enumerate(codes)}
        self.biases = np.zeros((2, len(codes)), np.float32) if biases is None else biases
        self.input_weights = np.zeros((2, n_inputs), np.float32) if input_weights is None else input_weights
        for array, shape in ((self.biases, (2, len(self.position))), (self.input_weights, (2, n_inputs))):
            if array.shape != shape or array.dtype != np.float32 or not np.isfinite(array).all():
                raise ValueError(f"The correction is no finite float32 of shape {shape}.")

    @cached_property
    def biases_by_index(self) -> Floats:
        """``biases``, and 0 for an item that has none, float32 ``[2, codes + 1]``."""
        return np.concatenate([self.biases, np.zeros((2, 1), np.float32)], axis=1)

    def item_biases(self, codes: Sequence[str]) -> Floats:
        """Biases of some items, float32 ``[2, codes]``, visits first; 0 for items without one."""
        if not self.position:
            return np.zeros((2, len(codes)), np.float32)
        position = np.fromiter((self.position.get(code, -1) for code in codes), np.int64, len(codes))
        biases: Floats = self.biases[:, position] * (position >= 0)
        return biases

    def apply(self, candidates: CandidateLogits) -> Floats:
        """The corrected logits, float32 ``[candidates]``."""
        row = row_of_arrays(candidates)
        biases = self.item_biases(candidates.codes)[row]
        logits: Floats = candidates.logits + biases + candidates.inputs @ self.input_weights[row]
        return logits


def row_of_arrays(candidates: CandidateLogits) -> int:
    """Row of a correction's arrays: 0 for a visit, 1 for an emission."""
    return 0 if candidates.visit else 1
