"""Figures as they are drawn into pictures: their axes' ticks, and the texts that the edge of the picture cuts."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import pytest
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.dates import ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator, FuncFormatter, ScalarFormatter


class Drawn(NamedTuple):
    """A figure: its title, by axis of numbers the number of ticks that have a label of their own, and texts cut off."""

    title: str
    ticks: list[int]
    cut: list[str]


@contextmanager
def recorded() -> Iterator[list[Drawn]]:
    """Every figure that is saved within the context."""
    found: list[Drawn] = []
    save = Figure.savefig

    def record(figure: Figure, *arguments: Any, **options: Any) -> None:
        save(figure, *arguments, **options)
        found.append(Drawn(figure.get_suptitle(), ticks(figure), cut_texts(figure)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", record)
        yield found


def ticks(figure: Figure) -> list[int]:
    """The number of ticks with different labels on each axis of numbers or dates."""
    axes = [each for each in figure.axes if each.axison]
    return [len(_tick_labels(axis)) for each in axes for axis in (each.xaxis, each.yaxis) if _has_scale(axis)]


def _tick_labels(axis: Axis) -> set[str]:
    """The different labels of the ticks in view."""
    low, high = sorted(axis.get_view_interval())
    shown = [tick for tick in axis.get_majorticklocs() if low <= tick <= high]
    if isinstance(axis.get_major_formatter(), ConciseDateFormatter):  # leaves out what the label before has
        return {str(tick) for tick in shown}
    return set(axis.get_major_formatter().format_ticks(shown))


def _has_scale(axis: Axis) -> bool:
    """Whether an axis shows numbers or dates: not the names of bars, and not hidden where bars have their values."""
    formatter = axis.get_major_formatter()
    hidden = isinstance(axis.get_major_locator(), FixedLocator) and isinstance(formatter, ScalarFormatter)
    named = isinstance(formatter, FuncFormatter) and isinstance(formatter.func, partial)  # what set_xticks leaves
    return not hidden and not named


def cut_texts(figure: Figure) -> list[str]:
    """The texts that are drawn, and do not lie within the figure."""
    canvas: Any = FigureCanvasAgg(figure)
    width, height = canvas.get_width_height()
    texts: list[Text] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Text, "draw", lambda text, renderer: texts.append(text))
        canvas.draw()
    boxes = [
        (text.get_text(), text.get_window_extent(canvas.get_renderer()))
        for text in texts
        if text.get_text() and (text.axes is None or text.axes.axison)  # a word cloud is laid out by its ink
    ]
    return [text for text, box in boxes if min(box.x0, box.y0) < -1 or box.x1 > width + 1 or box.y1 > height + 1]
