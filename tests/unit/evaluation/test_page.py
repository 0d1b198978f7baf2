"""The report with pictures: what it has, when, and what its sentences say."""

from typing import Any

import pytest
from matplotlib.figure import Figure as Drawing

from tests.unit.evaluation.comparisons import comparison
from training.data.walk import When
from training.evaluation.page import page
from training.evaluation.pictures import Panel, intervals
from training.evaluation.prequential import Task
from training.evaluation.report import as_dict
from training.report import Figure, Page, Table, render

BOTH: tuple[When, ...] = ("visit", "emission")


def report(task: Task = "next-basket", moments: tuple[When, ...] = BOTH) -> dict[str, Any]:
    return as_dict(comparison(task, moments))


def figure(of: Page, name: str) -> Figure:
    return next(each for each in of.figures() if each.name == name)


def test_every_question_has_its_section() -> None:
    made = page(report(), footer="Made by: a command")
    assert [section.title for section in made.sections] == [
        "How good they are",
        "Who is ahead, and is it chance",
        "By length of history",
        "Repeat, new, cold and rare",
        "Are the probabilities right",
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


def test_an_interval_is_drawn_where_there_is_one() -> None:
    drawing = Drawing()
    panels = [
        Panel("ndcg@10", {"visit": {"a": (0.2, 0.1, 0.4), "b": (0.1, 0.0, 0.2)}, "emission": {"a": None, "b": None}}),
        Panel("hit@1", {"visit": {"a": None, "b": (0.1, 0.0, 0.2)}, "emission": {"a": (0.3, 0.2, 0.4), "b": None}}),
    ]
    intervals(drawing, ["a", "b"], panels)
    drawn = [[line.get_xdata().tolist() for line in axes.get_lines()] for axes in drawing.axes]  # type: ignore[union-attr]
    assert drawn == [[[0.2, 0.1], []], [[0.1], [0.3]]]
    bars = [[bar.get_segments() for bar in axes.collections] for axes in drawing.axes]  # type: ignore[attr-defined]
    assert [[row.tolist()[0][0] for row in bar] for bar in bars[0]] == [[0.1, 0.0], []]


def test_sentences_say_what_the_numbers_are() -> None:
    made = page(report())
    assert figure(made, "metrics").sentence == (
        "At the visit good has the highest ndcg@10, .9599 [.9197, 1.0000]; "
        "at the emission good has the highest ndcg@10, .9599 [.9197, 1.0000]."
    )
    assert "over every other model beyond chance" not in figure(made, "gains-visit").sentence
    assert "over good:without=b that may be chance" in figure(made, "gains-visit").sentence
    assert "good with 1 (.9197), good with 6+ (1.0000)" in figure(made, "lengths").sentence
    assert "bad finds most" not in figure(made, "kinds").sentence
    assert "good finds most of what is new (1.0000)" in figure(made, "kinds").sentence
    assert "good:without=b is furthest below its model by ndcg@10: -.1533 [-.3066, +.0000]" in (
        figure(made, "ablations").sentence
    )
    assert figure(made, "curves-good").sentence == (
        "Learnt from 3.000 to 1.500, lowest in epoch 3; held out from 3.100 to 2.700, lowest in epoch 2."
    )


def test_what_was_not_compared_has_no_section() -> None:
    alone = comparison(moments=("visit",))
    measured = {"bad": alone.moments["visit"].measured["bad"]}
    kept = alone._replace(
        variants={"bad": alone.variants["bad"]},
        moments={"visit": alone.moments["visit"]._replace(measured=measured)},
        curves={},
    )
    made = page(as_dict(kept))
    assert [section.title for section in made.sections] == [
        "How good they are",
        "By length of history",
        "Repeat, new, cold and rare",
        "Are the probabilities right",
    ]


@pytest.mark.parametrize("task", ["next-basket", "discover"])
def test_the_same_comparison_gives_the_same_page(task: Task) -> None:
    assert render(page(report(task))) == render(page(report(task)))


def test_at_discovery_nothing_is_said_of_repeats() -> None:
    made = page(report("discover"))
    assert "repeat" not in figure(made, "kinds").alt
    tables = [block for section in made.sections for block in section.blocks if isinstance(block, Table)]
    assert "recall@20_cold" in tables[0].columns
