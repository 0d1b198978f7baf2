"""The report with charts: its sections, and its sentences."""

from typing import Any

import pytest
from matplotlib.figure import Figure as Drawing

from tests.unit.evaluation.comparisons import comparison
from training.data.walk import Moment
from training.evaluation.charts import Panel, intervals, reliability_diagram
from training.evaluation.page import page
from training.evaluation.prequential import Task
from training.evaluation.report import as_dict
from training.report import Figure, Page, Table, render

BOTH: tuple[Moment, ...] = ("visit", "emission")


def report(task: Task = "next-basket", moments: tuple[Moment, ...] = BOTH) -> dict[str, Any]:
    return as_dict(comparison(task, moments))


def figure(of: Page, name: str) -> Figure:
    return next(each for each in of.figures() if each.name == name)


@pytest.fixture(scope="module")
def made() -> Page:
    return page(report(), footer="Made by: a command")


def test_every_question_has_its_section(made: Page) -> None:
    assert [section.title for section in made.sections] == [
        "How good they are",
        "Which model is ahead, and by how much",
        "By length of history",
        "Repeat, new, cold and rare",
        "Are the probabilities calibrated",
        "Ablations",
        "Learning curves",
    ]
    assert [each.name for each in made.figures()] == [
        "metrics",
        "gains-visit",
        "gains-emission",
        "lengths",
        "kinds",
        "reliability",
        "ablations",
        "curves-good",
    ]
    assert dict(made.facts) == {"invoices": "2", "customers": "2", "models": "3", "seed": "7"}
    assert "Made by: a command" in render(made)
    assert "These figures and intervals mean nothing: only 2 invoices" in render(made)


def test_an_interval_is_drawn_where_there_is_one() -> None:
    drawing = Drawing()
    panels = [
        Panel("ndcg@10", {"visit": {"a": (0.2, 0.1, 0.4), "b": (0.1, 0.0, 0.2)}, "emission": {"a": None, "b": None}}),
        Panel("hit@1", {"visit": {"a": None, "b": (0.1, 0.0, 0.2)}, "emission": {"a": (0.3, 0.2, 0.4), "b": None}}),
    ]
    intervals(drawing, ["a", "b"], panels)
    means = [[list(line.get_xdata()) for line in axes.get_lines()] for axes in drawing.axes]  # type: ignore[arg-type]
    assert means == [[[0.2, 0.1], []], [[0.1], [0.3]]]
    ends = [
        [segment[:, 0].tolist() for lines in axes.collections for segment in lines.get_segments()]  # type: ignore[attr-defined]
        for axes in drawing.axes
    ]
    assert ends == [[[0.1, 0.4], [0.0, 0.2]], [[0.0, 0.2], [0.2, 0.4]]]


def test_a_difference_that_may_be_zero_has_a_hollow_mark() -> None:
    drawing = Drawing()
    intervals(
        drawing,
        ["a", "b", "c"],
        [Panel("ndcg@10", {"visit": {"a": (0.2, 0.1, 0.3), "b": (0.01, -0.01, 0.02), "c": (-0.01, -0.02, -0.005)}})],
        differences=True,
    )
    marks, hollow, _zero = drawing.axes[0].get_lines()
    assert list(marks.get_xdata()) == [0.2, 0.01, -0.01]  # type: ignore[arg-type]
    assert list(hollow.get_xdata()) == [0.01]  # type: ignore[arg-type]


def test_reliability_is_drawn_as_shares() -> None:
    drawing = Drawing()
    bins = [{"said": 0.1, "came": 0.2, "n": 500}, {"said": 0.3, "came": 0.4, "n": 500}]
    reliability_diagram(drawing, {"a": {"visit": (bins, 0.1)}, "b": {"visit": (bins, 0.1)}})
    assert len(drawing.axes) == 2
    assert drawing.axes[0].get_ylim() == pytest.approx((0.0, 0.42))
    assert drawing.axes[1].get_lines()[1].get_xydata().tolist() == [[0.1, 0.2], [0.3, 0.4]]  # type: ignore[union-attr]


def test_sentences_hold_the_numbers(made: Page) -> None:
    assert figure(made, "metrics").sentence == (
        "At the visit good has the highest ndcg@10, .9599 [.9197, 1.0000]; "
        "at the emission good has the highest ndcg@10, .9599 [.9197, 1.0000]."
    )
    assert figure(made, "gains-visit").sentence == (
        "At the visit good leads by ndcg@10; the interval excludes zero over all models but good:without=b."
    )
    assert "good with 1 (.9197), 6+ (1.0000)." in figure(made, "lengths").sentence
    assert figure(made, "kinds").sentence == (
        "At the visit, among the first 20: of repeat items good finds the most (1.0000), of new items good finds "
        "the most (1.0000), of rare items good finds the most (1.0000)."
    )
    assert "good:without=b is lowest against its base by ndcg@10: -.1533 [-.3066, +.0000]" in (
        figure(made, "ablations").sentence
    )
    assert figure(made, "curves-good").sentence == (
        "Training from 3.000 to 1.500, lowest in epoch 3; validation from 3.100 to 2.700, lowest in epoch 2."
    )


def test_a_lead_that_may_be_chance_is_called_so() -> None:
    both = report(moments=("visit",))
    visit = both["moments"]["visit"]
    for by_name in visit["gains"].values():
        for gain in by_name.values():
            gain["low"] = -0.1
    for model in visit["models"].values():
        model["mean"]["recall@20_rare"] = 0.0
    made = page(both)
    assert figure(made, "gains-visit").sentence == (
        "At the visit good leads by ndcg@10; the interval includes zero over every other model."
    )
    assert figure(made, "kinds").sentence.endswith("of rare items none is found.")


def test_a_single_model_has_no_sections_of_differences() -> None:
    alone = comparison(moments=("visit",))
    metrics = {"bad": alone.moments["visit"].metrics["bad"]}
    only_bad = alone._replace(
        variants={"bad": alone.variants["bad"]},
        moments={"visit": alone.moments["visit"]._replace(metrics=metrics)},
        curves={},
    )
    made = page(as_dict(only_bad))
    assert [section.title for section in made.sections] == [
        "How good they are",
        "By length of history",
        "Repeat, new, cold and rare",
        "Are the probabilities calibrated",
    ]


def test_the_same_comparison_gives_the_same_page(made: Page) -> None:
    assert render(page(report(), footer="Made by: a command")) == render(made)


def test_at_discovery_there_are_no_repeat_items() -> None:
    made = page(report("discover"))
    assert "repeat" not in figure(made, "kinds").alt
    tables = [block for section in made.sections for block in section.blocks if isinstance(block, Table)]
    assert "recall@20_cold" in tables[0].columns
