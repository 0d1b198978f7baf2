"""Online correction: each outcome updates a correction by one step of stochastic gradient descent.

The network stays as it was fitted. A training runs through the outcomes of its validation set, an evaluation through
those of its span; a worker applies the result and does not update it.
"""

import numpy as np
from numpy.typing import NDArray

from training.serving.basket_lstm.correction import CandidateLogits, Correction, row_of_arrays

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


def update(
    correction: Correction, candidates: CandidateLogits, bought: NDArray[np.bool_], rate_scale: float
) -> tuple[Correction, float]:
    """One gradient step on the outcome of one list of candidates; none where nothing was bought.

    With p a softmax over the candidates, the loss is that of the network: ``ITEM_LOSS_WEIGHT`` × −Σ log p of the
    bought items / √(number bought), plus the hit loss −log Σ p of them.

    Args:
        correction: The correction before the step; it is not changed.
        candidates: The candidates with the logits of the network.
        bought: Which of the candidates were bought ``[candidates]``.
        rate_scale: Scale of ``ITEM_LEARNING_RATE`` and ``INPUT_LEARNING_RATE``; at 0 nothing changes.

    Returns:
        The correction after the step, and the loss before it.
    """
    number = int(bought.sum())
    if not number:
        return correction, 0.0
    logits = correction.apply(candidates).astype(np.float64)
    p = np.exp(logits - logits.max())
    p /= p.sum()
    p_bought = p * bought
    loss = -ITEM_LOSS_WEIGHT * np.log(np.maximum(p[bought], 1e-12)).sum() / np.sqrt(number)
    loss -= np.log(max(p_bought.sum(), 1e-12))
    if not rate_scale:
        return correction, float(loss)
    descent = ITEM_LOSS_WEIGHT * (bought / np.sqrt(number) - p * np.sqrt(number))
    descent = descent + p_bought / max(p_bought.sum(), 1e-12) - p
    unseen = [code for code in candidates.codes if code not in correction.position]
    position = correction.position
    if unseen:
        size = len(position)
        position = {**position, **{code: size + offset for offset, code in enumerate(unseen)}}
    biases = np.concatenate([correction.biases, np.zeros((2, len(unseen)), np.float32)], axis=1)
    input_weights = correction.input_weights.copy()
    row = row_of_arrays(candidates)
    biases[row] *= DECAY
    biases[row, [position[code] for code in candidates.codes]] += rate_scale * ITEM_LEARNING_RATE * descent
    input_weights[row] *= DECAY
    input_weights[row] += rate_scale * INPUT_LEARNING_RATE * (descent @ candidates.inputs)
    return Correction(input_weights.shape[1], position, biases, input_weights), float(loss)


def scaled(correction: Correction, factor: float) -> Correction:
    """A correction with biases and weights times ``factor``."""
    scale = np.float32(factor)
    n_inputs = correction.input_weights.shape[1]
    return Correction(n_inputs, correction.position, correction.biases * scale, correction.input_weights * scale)
