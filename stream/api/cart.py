"""Ranks for a cart: what is in it is not offered again, and raises what is bought together with it."""

import math
from collections.abc import Mapping, Sequence

from training.serving.scorer import Candidate

WEIGHT = 16.0
"""Weight of the score of a cart when it is added to the logit of a probability (measured in docs/research/log.md)."""

MAX_CART = 100
"""Greatest number of stock codes of a cart."""

_LEAST, _MOST = 1e-9, 1.0 - 1e-9


def rank_for_cart(
    candidates: Sequence[Candidate], together: Mapping[str, Mapping[str, float]], weight: float = WEIGHT
) -> list[Candidate]:
    """The candidates without the cart, by the chance that the logit of the probability + ``weight`` × score gives.

    The score is the sum of the item-to-item scores over the cart, divided by the root of the number of its items.

    That chance is the ``probability`` of the returned candidates; equal ones keep their order. The source of a
    candidate becomes the item of the cart that raises it most.

    Args:
        candidates: By falling probability.
        together: For each stock code of the cart the item-to-item scores of other items; may be empty.
        weight: Of the score.
    """
    root = math.sqrt(max(1, len(together)))
    ranked = []
    for candidate in candidates:
        code = candidate.stock_code
        if code in together:
            continue
        scores = {source: found[code] for source, found in together.items() if code in found}
        score = sum(scores.values()) / root
        if score != 0.0:
            source = max(scores, key=lambda each: scores[each]) if score > 0.0 else candidate.source_item
            chance = 1.0 / (1.0 + math.exp(-(_logit(candidate.probability) + weight * score)))
            candidate = Candidate(code, chance, source)
        ranked.append(candidate)
    return sorted(ranked, key=lambda each: -each.probability)


def _logit(probability: float) -> float:
    bounded = min(max(probability, _LEAST), _MOST)
    return math.log(bounded / (1.0 - bounded))
