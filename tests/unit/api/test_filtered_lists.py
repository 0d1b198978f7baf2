"""Lists of some items only, by a model that ranks candidates: the same as of a ranking of all items, without one."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from state.domain.catalogue import Catalogue
from state.domain.history import CustomerHistory
from state.domain.rules import CompiledRules, Merchandising
from state.events.catalogue import CatalogueItem
from state.events.rules import Cooldown, Pin, Rules
from stream.api.ranking import Ranker
from stream.api.visits import VisitQuery
from tests.unit.api.shop import Shop
from tests.unit.features.shop import ITEMS
from tests.unit.serving.test_basket_scorer import LOG, scorer
from training.features.basket_lstm.retrieval import Retrieval
from training.features.item_table import ItemTable
from training.serving.basket_lstm.scorer import BasketScorer
from training.serving.scorer import Prediction

CATALOGUE = Catalogue(
    {code: CatalogueItem(code, category=("Even" if number % 2 else "Odd",)) for number, code in enumerate(ITEMS)}
)
RULES = (Cooldown(name="not again", days=20), Pin(name="first", stock_codes=(ITEMS[5],)))


class WholeRanking:
    """A model of which nobody knows that it ranks candidates: asked for all items, it fills its ranking by demand."""

    name = "whole"

    def __init__(self, of: BasketScorer) -> None:
        self.version = of.version
        self.of = of
        self.asked: list[int] = []

    def predict(self, histories: Sequence[CustomerHistory], items: ItemTable, now: int, k: int) -> list[Prediction]:
        self.asked.append(k)
        return self.of.predict(histories, items, now, k)

    def bought_together(self, stock_codes: Sequence[str]) -> dict[str, float]:
        return self.of.bought_together(stock_codes)


QUERIES = [
    {"slot": "discover"},
    {"slot": "replenish"},
    {"slot": "replenish", "exclude": tuple(ITEMS[:20])},
    {"category": "Even"},
    {"category": "None"},
    {"category": "Odd", "slot": "discover"},
    {"cart": (ITEMS[0], ITEMS[9])},
    {"cart": (ITEMS[0], "unknown"), "category": "Even"},
]


def answers(model: Any, merchandising: Merchandising, query: Any) -> list[list[tuple[Any, ...]]]:
    """The lists of some customers and of a visitor, asked for in one batch."""
    shop = Shop()
    shop.store.apply(LOG, clock_ms=int(shop.clock * 1000))
    ranker = Ranker(
        settings=shop.settings,
        open_store=lambda: shop.store,
        scorer=lambda: model,
        fallback=shop.scorer,
        metrics=shop.metrics,
        merchandising=lambda: merchandising,
        clock=lambda: LOG[-1].date,
    )
    customers = [None, "c0", "nobody", "c3", "c7", "c11"]
    found = ranker.answer([VisitQuery(customer, limit=20, at=LOG[-1].date, **query) for customer in customers])
    return [
        [(item.stock_code, round(item.probability, 5), item.slot, item.reason) for item in each.recommendation.items]
        for each in found
    ]


@pytest.mark.parametrize("rules", [False, True])
@pytest.mark.parametrize("query", QUERIES, ids=str)
def test_the_list_is_that_of_a_ranking_of_all_items(query: dict[str, Any], rules: bool) -> None:
    few = replace(scorer(), retrieval=Retrieval(max_repeat_candidates=4, max_new_candidates=5))
    given = CompiledRules(Rules(rules=RULES if rules else ()))
    merchandising = Merchandising(CATALOGUE, given)
    whole = WholeRanking(few)
    expected = answers(whole, merchandising, query)
    assert max(whole.asked) >= len(ITEMS)
    found = answers(few, merchandising, query)
    assert [[each[0] for each in one] for one in found] == [[each[0] for each in one] for one in expected]
    if not rules:  # a pinned item's probability follows from the depth of the ranking
        assert found == expected
    assert query.get("category") == "None" or max(map(len, found)) > 9  # more than there are candidates


def test_no_ranking_is_longer_than_the_candidates() -> None:
    asked: list[int] = []

    class Spy(BasketScorer):
        def predict_further(self, histories: Any, items: Any, now: int, k: int) -> list[Prediction]:
            asked.append(k)
            return super().predict_further(histories, items, now, k)

        def predict(self, histories: Any, items: Any, now: int, k: int) -> list[Prediction]:
            raise AssertionError("a ranking without the further candidates was asked for")

    plain = scorer()
    spy = Spy(**{name: getattr(plain, name) for name in plain.__dataclass_fields__})
    for query in QUERIES:
        answers(spy, Merchandising(CATALOGUE), query)
    assert set(asked) == {100, 200}
