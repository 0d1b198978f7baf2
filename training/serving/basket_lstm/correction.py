"""Online correction: a bias of each item and a weight of each input, added to the network's logits.

The network has no item embeddings. Changes that its inputs do not explain (an item that suddenly sells, an input that
counts more or less than it did) show in the outcomes; each outcome updates the correction by one step of stochastic
gradient descent while the network stays as it was fitted. A served model applies the correction it was published with.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

ITEM_LEARNING_RATE = 0.1
"""Learning rate of the item biases (docs/research/log.md, "What was tried")."""
INPUT_LEARNING_RATE = 0.0003
"""Learning rate of the input weights."""
DECAY = 0.9995
"""Factor on the correction at each update of the same kind (visit or emission): a half-life of 1,400 updates."""
RATE_SCALES = (1.0, 0.3, 0.0)
"""Scales of the learning rates that a training chooses from; 0 where outcomes only add noise."""
ITEM_LOSS_WEIGHT = 0.5
"""Weight of the loss over single items, relative to the hit loss."""


class CandidateLogits(NamedTuple):
    """One customer's candidates with the logits of the network.

    ``visit``: whether at a visit, else at an emission · ``codes`` ``[candidates]`` · ``inputs`` standardised, as the
    network reads them ``[candidates, inputs]`` · ``logits`` ``[candidates]``.
    """

    visit: bool
    codes: Sequence[str]
    inputs: NDArray[np.floating]
    logits: Floats


class OnlineCorrection:
    """Item biases and input weights, one set for visits and one for emissions; zeros at first. Immutable.

    Attributes:
        input_weights: float32 ``[2, inputs]``, visits first.
        rate_scale: Scale of the learning rates; at 0 updates change nothing.
    """

    def __init__(
        self,
        n_inputs: int,
        codes: Sequence[str] | Mapping[str, int] = (),
        item_biases: Floats | None = None,
        input_weights: Floats | None = None,
        *,
        rate_scale: float = 1.0,
    ) -> None:
        """Checks that the parts fit together.

        Args:
            n_inputs: Number of inputs of a candidate.
            codes: Stock codes of ``item_biases``, in order, or with their position.
            item_biases: float32 ``[2, codes]``, visits first.
            input_weights: float32 ``[2, inputs]``, likewise.
            rate_scale: Scale of ``ITEM_LEARNING_RATE`` and ``INPUT_LEARNING_RATE``.

        Raises:
            ValueError: The parts do not fit together, or are not finite.
        """
        self.rate_scale = rate_scale
        self._position = (
            codes if isinstance(codes, Mapping) else {code: position for position, code in enumerate(codes)}
        )
        self._item_biases = np.zeros((2, len(codes)), np.float32) if item_biases is None else item_biases
        self.input_weights = np.zeros((2, n_inputs), np.float32) if input_weights is None else input_weights
        for array, shape in ((self._item_biases, (2, len(self._position))), (self.input_weights, (2, n_inputs))):
            if array.shape != shape or array.dtype != np.float32 or not np.isfinite(array).all():
                raise ValueError(f"The correction is no finite float32 of shape {shape}.")

    def item_biases(self, codes: Sequence[str]) -> Floats:
        """Biases of some items, float32 ``[2, codes]``, visits first; 0 for items without an update."""
        if not self._position:
            return np.zeros((2, len(codes)), np.float32)
        position = np.fromiter((self._position.get(code, -1) for code in codes), np.int64, len(codes))
        biases: Floats = self._item_biases[:, position] * (position >= 0)
        return biases

    def apply(self, candidates: CandidateLogits) -> Floats:
        """The corrected logits, float32 ``[candidates]``."""
        kind = _kind(candidates)
        biases = self.item_biases(candidates.codes)[kind]
        logits: Floats = candidates.logits + biases + candidates.inputs @ self.input_weights[kind]
        return logits

    def updated(self, candidates: CandidateLogits, bought: NDArray[np.bool_]) -> "tuple[OnlineCorrection, float]":
        """One gradient step on the outcome of one list of candidates; none where nothing was bought.

        With p a softmax over the candidates, the loss is that of the network: ``ITEM_LOSS_WEIGHT`` × −Σ log p of the
        bought items / √(number bought), plus the hit loss −log Σ p of them.

        Returns:
            The correction after the step, and the loss before it.
        """
        number = int(bought.sum())
        if not number:
            return self, 0.0
        logits = self.apply(candidates).astype(np.float64)
        p = np.exp(logits - logits.max())
        p /= p.sum()
        p_bought = p * bought
        loss = -ITEM_LOSS_WEIGHT * np.log(np.maximum(p[bought], 1e-12)).sum() / np.sqrt(number)
        loss -= np.log(max(p_bought.sum(), 1e-12))
        if not self.rate_scale:
            return self, float(loss)
        descent = ITEM_LOSS_WEIGHT * (bought / np.sqrt(number) - p * np.sqrt(number))
        descent = descent + p_bought / max(p_bought.sum(), 1e-12) - p
        unseen = [code for code in candidates.codes if code not in self._position]
        position = self._position
        if unseen:
            size = len(position)
            position = {**position, **{code: size + offset for offset, code in enumerate(unseen)}}
        item_biases = np.concatenate([self._item_biases, np.zeros((2, len(unseen)), np.float32)], axis=1)
        input_weights = self.input_weights.copy()
        kind = _kind(candidates)
        item_biases[kind] *= DECAY
        item_biases[kind, [position[code] for code in candidates.codes]] += (
            self.rate_scale * ITEM_LEARNING_RATE * descent
        )
        input_weights[kind] *= DECAY
        input_weights[kind] += self.rate_scale * INPUT_LEARNING_RATE * (descent @ candidates.inputs)
        correction = OnlineCorrection(
            input_weights.shape[1], position, item_biases, input_weights, rate_scale=self.rate_scale
        )
        return correction, float(loss)

    def scaled(self, factor: float) -> "OnlineCorrection":
        """The correction with biases and weights times ``factor``."""
        scale = np.float32(factor)
        return OnlineCorrection(
            self.input_weights.shape[1],
            self._position,
            self._item_biases * scale,
            self.input_weights * scale,
            rate_scale=self.rate_scale,
        )


def _kind(candidates: CandidateLogits) -> int:
    """Row of the arrays: 0 for a visit, 1 for an emission."""
    return 0 if candidates.visit else 1
