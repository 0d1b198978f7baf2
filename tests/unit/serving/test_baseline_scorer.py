"""Who bought nothing gets the items in demand; of a large table only the leaders are looked at for it."""

from typing import Any

import numpy as np
import pytest

from state.domain.history import CustomerHistory
from state.domain.items import HALF_LIVES, ItemState
from state.events.dates import DAY
from tests.unit.features.shop import history
from training.features.item_table import LEADERS, ItemTable
from training.serving.baselines import scorer as module
from training.serving.baselines.scorer import BaselineScorer

NOW = 400 * DAY
WEEK = HALF_LIVES.index(7.0)
MIXED = [CustomerHistory("nobody"), history((NOW - DAY, {"00007": 1})), CustomerHistory("visitor")]


def table(items: int, demands: int) -> ItemTable:
    """Items with so many different demands; of equal ones the baskets ever differ, or the stock code only."""
    generator = np.random.default_rng(1)
    states = []
    for number in range(items):
        demand = generator.integers(50, size=len(HALF_LIVES)).astype(float)
        demand[WEEK] = number * 7_919 % demands
        code, sold = f"{number * 31 % items:05d}", int(generator.integers(1, 9))
        states.append(ItemState(code, NOW, tuple(demand), sold, NOW - number * 1_000, NOW, 1.0, NOW))
    return ItemTable(states)


@pytest.mark.parametrize(
    ("demands", "k", "by_leaders"),
    [
        (5_000, 10, True),
        (40, 100, True),
        (5_000, LEADERS, False),
        (5_000, 301, False),
        (7, 200, True),
        (7, 290, False),
        (1, 10, False),
    ],
)
def test_leaders_give_the_ranking_of_the_whole_table(
    demands: int, k: int, by_leaders: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    items, scorer = table(2_003, demands), BaselineScorer("count_demand", "1")
    later = NOW + 5 * DAY
    walked = scorer.predict(MIXED, items, later, k)
    assert len(walked[0].candidates) == k
    monkeypatch.setattr(module, "_LARGE", 1_000)
    found = scorer.predict(MIXED, items, later, k)
    assert found == walked
    if by_leaders:
        monkeypatch.setattr(ItemTable, "demand", _of_rows_only(ItemTable.demand))
        assert scorer.predict(MIXED[::2], items, later, k) == walked[::2]
        with pytest.raises(AssertionError):
            scorer.predict(MIXED, items, later, k)


def _of_rows_only(demand: Any) -> Any:
    def of_rows(table: ItemTable, now: int, rows: Any = None) -> Any:
        assert rows is not None, "the whole table was walked"
        return demand(table, now, rows)

    return of_rows


@pytest.mark.parametrize("name", ["popularity", "random", "gp_topfreq"])
def test_other_formulas_are_as_they_were(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    items, scorer = table(2_003, 5_000), BaselineScorer(name, "1")
    walked = scorer.predict(MIXED, items, NOW, 10)
    monkeypatch.setattr(module, "_LARGE", 1_000)
    assert scorer.predict(MIXED, items, NOW, 10) == walked
