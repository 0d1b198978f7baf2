"""Correction: what outcomes teach of single items and of inputs, beside a network that stays as it was fitted.

The network knows no item by name. What everybody suddenly buys more than its inputs say, and what of its inputs counts
more or less than it did, shows in what comes: so each outcome moves a number of every item that was ranked, and a
weight of every input, a little. It is one more layer, linear, that goes on learning by stochastic gradient descent.
"""

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

ITEM_RATE = 0.1
"""How far an outcome moves the numbers of items (docs/research/log.md, "What was tried")."""
INPUT_RATE = 0.0003
"""How far it moves the weights of inputs."""
KEPT = 0.9995
"""What is left of a correction after the next outcome of its moment: half of it after 1,400."""
RATE_SCALES = (1.0, 0.3, 0.0)
"""Shares of these rates that a training chooses from: where nothing turns, all that can be learnt is chance."""
FOUND = 0.5
"""Weight of the part of the loss that wants each bought item found, against that which wants any of them first."""


class CandidateLogits(NamedTuple):
    """What the network alone said of one customer's candidates.

    ``visit``: at the visit, not at the emission · ``codes`` ``[candidates]`` · ``inputs`` as the network sees them
    ``[candidates, inputs]`` · ``logits`` ``[candidates]``.
    """

    visit: bool
    codes: Sequence[str]
    inputs: NDArray[np.floating]
    logits: Floats


class Correction:
    """A number of every item and a weight of every input, for visits and for emissions; all 0 before any outcome."""

    def __init__(
        self,
        inputs: int,
        codes: Sequence[str] = (),
        item: Floats | None = None,
        linear: Floats | None = None,
        *,
        rate_scale: float = 1.0,
    ) -> None:
        """Begin with nothing, or take over what was learnt.

        Args:
            inputs: Number of inputs of a candidate.
            codes: Stock codes that ``item`` belongs to.
            item: float32 ``[2, codes]``, visits first.
            linear: float32 ``[2, inputs]``, likewise.
            rate_scale: Share of ``ITEM_RATE`` and ``INPUT_RATE`` to learn with; at 0 nothing is learnt.

        Raises:
            ValueError: The parts do not fit together, or hold no finite numbers.
        """
        self.rate_scale = rate_scale
        self._place = {code: place for place, code in enumerate(codes)}
        self._item = np.zeros((2, len(codes)), np.float32) if item is None else item
        self.linear = np.zeros((2, inputs), np.float32) if linear is None else linear
        for array, shape in ((self._item, (2, len(self._place))), (self.linear, (2, inputs))):
            if array.shape != shape or array.dtype != np.float32 or not np.isfinite(array).all():
                raise ValueError(f"The correction is no finite float32 of shape {shape}.")

    def item(self, codes: Sequence[str]) -> Floats:
        """The numbers of some items, float32 ``[2, codes]``; 0 where nothing was learnt."""
        if not self._place:
            return np.zeros((2, len(codes)), np.float32)
        place = np.fromiter((self._place.get(code, -1) for code in codes), np.int64, len(codes))
        item: Floats = self._item[:, place] * (place >= 0)
        return item

    def corrected(self, said: CandidateLogits) -> Floats:
        """The logits with the correction of their moment, float32 ``[candidates]``."""
        moment = _moment(said)
        logits: Floats = said.logits + self.item(said.codes)[moment] + said.inputs @ self.linear[moment]
        return logits

    def learn(self, said: CandidateLogits, bought: NDArray[np.bool_]) -> float:
        """One step down the gradient of a loss like that of the network; nothing where nothing was bought.

        It is ``FOUND`` × −Σ log p of the bought / √(number bought) − log Σ p of them, p a softmax over the candidates.

        Returns:
            The loss before the step.
        """
        number = int(bought.sum())
        if not number:
            return 0.0
        logits = self.corrected(said).astype(np.float64)
        share = np.exp(logits - logits.max())
        share /= share.sum()
        mine = share * bought
        loss = -FOUND * np.log(np.maximum(share[bought], 1e-12)).sum() / np.sqrt(number)
        loss -= np.log(max(mine.sum(), 1e-12))
        if not self.rate_scale:
            return float(loss)
        down = FOUND * (bought / np.sqrt(number) - share * np.sqrt(number)) + mine / max(mine.sum(), 1e-12) - share
        unseen = [code for code in said.codes if code not in self._place]
        self._place |= {code: len(self._place) + place for place, code in enumerate(unseen)}
        self._item = np.concatenate([self._item, np.zeros((2, len(unseen)), np.float32)], axis=1)
        moment = _moment(said)
        self._item[moment] *= KEPT
        self._item[moment, [self._place[code] for code in said.codes]] += self.rate_scale * ITEM_RATE * down
        self.linear[moment] *= KEPT
        self.linear[moment] += self.rate_scale * INPUT_RATE * (down @ said.inputs)
        return float(loss)

    def scaled(self, share: float) -> Self:
        """A copy that says ``share`` of what this one says."""
        scale = np.float32(share)
        size, codes = self.linear.shape[1], list(self._place)
        return type(self)(size, codes, self._item * scale, self.linear * scale, rate_scale=self.rate_scale)


def _moment(said: CandidateLogits) -> int:
    return 0 if said.visit else 1
