"""Items similar to one, by the model that serves: bought in one basket with it, or with a vector near to its own."""

from collections.abc import Iterable
from itertools import islice
from typing import Literal

import msgspec
import numpy as np

from state.domain.recommendation import ModelVersion
from state.domain.rules import Merchandising
from stream.api.lookups import ShopState, find_row
from stream.api.problems import not_found
from stream.tools.similarity import cosines
from training.serving.scorer import ItemToItem, Scorer
from training.serving.two_tower.scorer import TwoTowerScorer

Method = Literal["bought_together", "vectors"]


class SimilarItem(msgspec.Struct, frozen=True):
    """A similar item; ``score`` is EASE's weight, or the cosine of two vectors."""

    stock_code: str
    description: str | None
    score: float


class SimilarItems(msgspec.Struct, frozen=True):
    """Items similar to one, most similar first."""

    stock_code: str
    method: Method
    model: ModelVersion
    items: list[SimilarItem]


def similar_items(
    stock_code: str, limit: int, scorer: Scorer, shop: ShopState, merchandising: Merchandising, *, clock: int
) -> SimilarItems:
    """Up to ``limit`` items with a score above 0, without those that the catalogue or a rule forbids for everybody.

    ``clock`` (seconds since 1970) decides what is in force, as it does in lists.

    Raises:
        Problem: The item was never sold, or the model knows of no similarity.
    """
    row = find_row(stock_code, shop.items)
    scores: Iterable[tuple[str, float]]
    method: Method
    if isinstance(scorer, TwoTowerScorer):
        found = cosines(scorer.item_vectors(shop.items, shop.now), row)
        found[row] = -np.inf
        method, scores = "vectors", zip(shop.items.codes, found.tolist(), strict=True)
    elif isinstance(scorer, ItemToItem):
        method, scores = "bought_together", scorer.bought_together([stock_code]).items()
    else:
        raise not_found(f"The model that serves, {scorer.name}, knows no similar items; basket_lstm and hybrid do.")
    best = sorted(((score, code) for code, score in scores if score > 0.0), key=lambda each: (-each[0], each[1]))
    in_force = merchandising.at(shop.now, clock)
    allowed = ((score, code) for score, code in best if in_force.facts(code).forbidden is None)
    return SimilarItems(
        stock_code,
        method,
        ModelVersion(scorer.name, scorer.version),
        [SimilarItem(code, shop.items.description(code), round(score, 6)) for score, code in islice(allowed, limit)],
    )
