"""What every picture of a report must have: enough ticks to read each scale, and no text that is cut."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure as Drawing

from state.settings import load_settings
from tests.report.drawings import Drawn, recorded
from tests.unit.eda.shops import CUP, MUG, SHOP, TEA, line, table
from tests.unit.evaluation.comparisons import comparison
from training.data.simulator import simulate
from training.data.tables.invoice_table import from_frame
from training.eda import build_report, charts
from training.evaluation.charts import Panel, curves, height, intervals, reliability_diagram
from training.evaluation.page import page
from training.evaluation.prequential import Task
from training.evaluation.report import as_dict
from training.report import HALF, WIDE, draw
from training.report.style import MIN_TICKS, log_ticks

SHOPS: dict[str, list[dict[str, Any]]] = {
    "a few invoices": list(SHOP),
    "one customer on two days": [
        line("1", "2024-01-01T10:00", "A", MUG, 1),
        line("2", "2024-01-02T10:00", "A", MUG, 1),
    ],
    "two baskets of one price": [line("1", "2024-01-01", "A", TEA, 1), line("2", "2024-03-01", "B", TEA, 1)],
    "a large and a small basket": [line("1", "2024-01-01", "A", CUP, 900), line("2", "2025-03-01", "A", TEA, 1)],
}


def assert_readable(drawn: list[Drawn]) -> None:
    assert drawn
    assert [(each.title, each.ticks) for each in drawn if min(each.ticks, default=MIN_TICKS) < MIN_TICKS] == []
    assert [(each.title, each.cut) for each in drawn if each.cut] == []


@pytest.mark.parametrize("rows", SHOPS.values(), ids=SHOPS)
def test_of_a_small_table(rows: list[dict[str, Any]]) -> None:
    with recorded() as drawn:
        build_report(table(*rows), load_settings({}), name="shop.csv")
    assert_readable(drawn)


def test_of_a_simulated_shop() -> None:
    with recorded() as drawn:
        build_report(from_frame(simulate(customers=100, items=120, days=240, seed=5)), load_settings({}), name="shop")
    assert len(drawn) > 25
    assert_readable(drawn)


@pytest.mark.parametrize("task", ["next-basket", "discover"])
def test_of_an_evaluation(task: Task) -> None:
    with recorded() as drawn:
        page(as_dict(comparison(task, ("visit", "emission"))))
    assert_readable(drawn)


@pytest.mark.parametrize("low", [-0.9, -0.03, -0.004, 0.001])
def test_of_differences(low: float) -> None:
    names = ["gp_topfreq", "basket_lstm:without=text:epochs=3"]
    panels = [
        Panel(f"up to {high}", {"visit": dict.fromkeys(names, ((low + high) / 2, low, high))})
        for high in (0.0015, 0.012, 0.025, 0.9)
    ]
    with recorded() as drawn:
        draw(
            "How far basket_lstm:without=text:epochs=3:dropout=0.2 is ahead at the emission",
            lambda figure: intervals(figure, names, panels, differences=True),
            size=(WIDE[0], height(names, panels, WIDE[0])),
            narrow_height=height(names, panels, HALF[0]),
        )
    assert_readable(drawn)


@pytest.mark.parametrize("value", [0.0, 0.0004, 0.03, 0.51, 1.0])
def test_of_means(value: float) -> None:
    panels = [Panel("hit@1", {"visit": {"a": (value, value, value)}})] * 4
    with recorded() as drawn:
        draw(
            "Means",
            lambda figure: intervals(figure, ["a"], panels),
            size=(WIDE[0], height(["a"], panels, WIDE[0])),
            narrow_height=height(["a"], panels, HALF[0]),
        )
    assert_readable(drawn)


@pytest.mark.parametrize("epochs", [1, 2, 3, 40])
def test_of_a_training(epochs: int) -> None:
    losses = {"training": [3.0 / epoch for epoch in range(1, epochs + 1)]}
    with recorded() as drawn:
        draw("basket_lstm", lambda figure: curves(figure, {"7": losses}), size=HALF)
    assert_readable(drawn)


@pytest.mark.parametrize("largest", [0.0007, 0.04, 0.31, 1.0])
def test_of_reliability(largest: float) -> None:
    bins = [{"said": largest / 2, "came": 0.0, "n": 5}, {"said": largest, "came": largest / 3, "n": 5}]
    with recorded() as drawn:
        draw("Reliability", lambda figure: reliability_diagram(figure, {"a": {"visit": (bins, 0.1)}}))
    assert_readable(drawn)


@pytest.mark.parametrize("days", [2, 3, 9, 40, 400])
def test_of_days(days: int) -> None:
    revenue = pd.Series(np.arange(1.0, days + 1), pd.date_range("2024-01-01", periods=days, freq="D"))
    with recorded() as drawn:
        draw("Days", lambda figure: charts.daily(figure, revenue))
        draw("Weeks", lambda figure: charts.weekly(figure, revenue, np.ones(days, np.bool_)))
    assert_readable(drawn)


@pytest.mark.parametrize("ratio", [1.05, 1.9, 4.0, 30.0, 99.0, 200.0, 1e4, 1e9])
@pytest.mark.parametrize("low", [0.03, 0.9, 2.1, 7.0, 12_000.0])
def test_of_a_logarithmic_axis(low: float, ratio: float) -> None:
    ticks = log_ticks(low, low * ratio)
    assert len(ticks) >= MIN_TICKS
    assert low <= min(ticks) < max(ticks) <= low * ratio
    assert ticks == sorted(ticks)


def test_a_text_that_is_cut_is_found() -> None:
    def outside(figure: Drawing) -> None:
        figure.text(0.9, 0.5, "beyond the edge")

    with recorded() as drawn:
        draw("Cut", outside, size=HALF)
    assert [each.cut for each in drawn] == [["beyond the edge"]]
