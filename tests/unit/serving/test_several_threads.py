"""One scorer in several threads, each with an item table: as the API ranks, finds similar items and who is due."""

import sys
import threading
from collections.abc import Iterator

import pytest

from state.events.invoice import Line
from tests.unit.serving.scorers import SCORERS, make_scorer, replayed
from tests.unit.serving.test_basket_scorer import NOW
from training.features.item_table import ItemTable

REPETITIONS = 12


@pytest.fixture(autouse=True)
def _many_switches() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.parametrize("name", SCORERS)
def test_threads_with_different_tables_get_what_each_gets_alone(name: str) -> None:
    replay = replayed()
    histories = list(replay.histories.values())
    smaller = ItemTable()  # other items in another order
    for code in reversed(replay.items.codes[::2]):
        smaller.sell([Line(code, 1_000, 2.0, f"ITEM {int(code)}")], NOW - 100)
    tables = (replay.items, smaller)
    scorer = make_scorer(name)
    alone = [make_scorer(name).predict(histories, table, NOW, 10) for table in tables]
    wrong: list[object] = []

    def predict(table: ItemTable, expected: object) -> None:
        for _ in range(REPETITIONS):
            try:
                found = scorer.predict(histories, table, NOW, 10)
            except Exception as error:
                wrong.append(error)
                return
            if found != expected:
                wrong.append(found)
                return

    threads = [threading.Thread(target=predict, args=pair) for pair in zip(tables, alone, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert wrong == []
