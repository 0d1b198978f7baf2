"""Charts: each function draws numbers into an empty figure of ``training.report.draw``."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullFormatter

from training.report.style import (
    BLUE,
    FEWEST,
    HEAT,
    INK,
    MUTED,
    SKY,
    VERMILION,
    log_ticks,
    percent,
    short,
    thousands,
    whole,
)

Floats = npt.NDArray[np.float64]

HEADROOM = 0.14
"""Room for text above the data, as a share of their height."""
LONG = 500
"""Days of a table from which on the mean is of four weeks, not one."""


def daily(figure: Figure, days: pd.Series) -> None:
    """A thin line of the days and a strong one of their centred mean.

    Args:
        figure: An empty figure.
        days: One value for each day, without gaps, by date.
    """
    mean = 7 if len(days) <= LONG else 28
    axes = figure.subplots()
    axes.plot(days.index, days.to_numpy(), color=SKY, linewidth=0.8)
    if len(days) >= 2 * mean:
        around = days.rolling(mean, center=True).mean().dropna()
        axes.plot(around.index, around.to_numpy(), color=BLUE, linewidth=2)
        index = int(days.to_numpy().argmax())
        best = days.index[index]
        side = "right" if index > 0.8 * len(days) else "left"
        _annotate(axes, f"single days; strong: mean of {mean} days", (0.01, 0.99), MUTED)
        axes.margins(y=HEADROOM)
        axes.annotate(
            f"{best.day} {best:%b %Y}: {short(float(days.max()))}",
            (best, float(days.max())),
            (-6 if side == "right" else 6, -3),
            textcoords="offset points",
            ha=side,
            fontsize=8,
            color=INK,
        )
    _from_zero(axes)
    _dates(axes)


def weekly(figure: Figure, weeks: pd.Series, whole: npt.NDArray[np.bool_]) -> None:
    """One bar for each week; weeks of which the table has only some days are pale.

    Args:
        figure: An empty figure.
        weeks: One value for each week, by its first day.
        whole: Whether the table has all days of the week, by week.
    """
    axes = figure.subplots()
    colours = [BLUE if each else SKY for each in whole]
    axes.bar(weeks.index, weeks.to_numpy(), width=5.6, align="edge", color=colours)
    if not whole.all():
        _annotate(axes, "pale: the table holds a part of the week", (0.01, 0.99), MUTED)
        axes.margins(y=HEADROOM)
    _from_zero(axes)
    _dates(axes)


def vertical_bars(
    figure: Figure,
    names: Sequence[str],
    values: Sequence[float],
    *,
    labels: Sequence[str] = (),
    about: str = "",
    emphasis: int | None = None,
    max_labels: int = 12,
    shares: bool = False,
) -> None:
    """Vertical bars in a given order, each with its value above it where there is room.

    Args:
        figure: An empty figure.
        names: Names of the bars.
        values: Heights of the bars.
        labels: Text above each bar; the value unless given. Left out where there are more bars than ``max_labels``.
        about: Title of the horizontal axis.
        emphasis: Index of the bar in another colour.
        max_labels: Number of bars that leave room for labels.
        shares: Whether the values are shares of 1.
    """
    axes = figure.subplots()
    indices = range(len(values))
    colours = [VERMILION if index == emphasis else BLUE for index in indices]
    axes.bar(indices, values, color=colours, width=0.78)
    axes.set_xlim(-0.6, max(len(values), FEWEST) - 0.4)
    axes.set_xticks(indices, names)
    axes.tick_params(axis="x", length=0)
    axes.grid(visible=False, axis="x")
    axes.set_xlabel(about)
    if len(values) <= max_labels:
        axes.grid(visible=False)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        for index, value, label in zip(indices, values, labels or [short(value) for value in values], strict=True):
            axes.annotate(label, (index, value), (0, 3), textcoords="offset points", ha="center", fontsize=8)
        axes.margins(y=0.1)
    elif shares:
        percent(axes.yaxis)
    else:
        thousands(axes.yaxis)
    _from_zero(axes)


def histogram(
    figure: Figure,
    edges: Floats,
    counts: Floats,
    *,
    about: tuple[str, str],
    middle: float,
    log: bool = False,
    beyond: str = "",
) -> None:
    """Bars between edges, with the median marked.

    Args:
        figure: An empty figure.
        edges: One more than there are counts, rising.
        counts: Heights of the bars.
        about: Titles of the axes, horizontal and vertical.
        middle: The median.
        log: Whether the axis is logarithmic.
        beyond: Text on values that are not shown, if any.
    """
    axes = figure.subplots()
    axes.bar(edges[:-1], counts, width=np.diff(edges) * 0.94, align="edge", color=BLUE)
    if log:
        axes.set_xscale("log")
        axes.set_xlim(edges[0] / 1.05, edges[-1] * 1.05)
        axes.xaxis.set_major_locator(FixedLocator(log_ticks(*axes.get_xlim())))
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.axvline(middle, color=VERMILION, linewidth=1.4)
    right = middle > (np.sqrt(edges[0] * edges[-1]) if log else (edges[0] + edges[-1]) / 2)
    axes.annotate(
        f"median {short(middle)}",
        (middle, 1),
        (-5 if right else 5, -2),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        ha="right" if right else "left",
        va="top",
        fontsize=8,
        color=VERMILION,
    )
    if beyond:
        _annotate(axes, beyond, (0.99, 0.99), MUTED, side="right")
    axes.margins(y=HEADROOM)
    axes.grid(visible=False, axis="x")
    axes.set_xlabel(about[0])
    axes.set_ylabel(about[1])
    _from_zero(axes)
    whole(axes.yaxis)
    thousands(axes.yaxis)
    thousands(axes.xaxis)


def curve(
    figure: Figure, x: Floats, y: Floats, *, about: tuple[str, str], mark: tuple[float, float, str], dots: bool = False
) -> None:
    """A line of shares with one labelled point.

    Args:
        figure: An empty figure.
        x: Values along the horizontal axis.
        y: Shares of 1.
        about: Titles of the axes, horizontal and vertical.
        mark: The labelled point, and its label.
        dots: Whether each point is marked, and x are whole numbers; otherwise x are shares too.
    """
    axes = figure.subplots()
    axes.plot(x, y, color=BLUE, marker="o" if dots else "", markersize=3.5)
    axes.plot([mark[0]], [mark[1]], "o", color=VERMILION, markersize=6)
    right = mark[0] > (x.min() + x.max()) / 2
    axes.annotate(
        mark[2],
        mark[:2],
        (-8 if right else 8, -12),
        textcoords="offset points",
        ha="right" if right else "left",
        va="top",
        fontsize=8,
        color=VERMILION,
    )
    axes.set_xlabel(about[0])
    axes.set_ylabel(about[1])
    percent(axes.yaxis)
    if dots:
        whole(axes.xaxis)
    else:
        percent(axes.xaxis)
    _from_zero(axes)


def matrix(
    figure: Figure, values: Floats, rows: Sequence[str], names: Sequence[str], *, about: tuple[str, str]
) -> None:
    """A matrix of numbers; larger ones have darker cells.

    Args:
        figure: An empty figure.
        values: Shape (rows, columns).
        rows: Names of the rows, the first on top.
        names: Names of the columns.
        about: Titles of the axes, horizontal and vertical.
    """
    axes = figure.subplots()
    top = float(values.max()) or 1.0
    height, width = values.shape
    axes.imshow(values, cmap=HEAT, vmin=0, vmax=top, aspect="auto")
    for row, column in np.ndindex(height, width):
        value = float(values[row, column])
        ink = "#f8f8f8" if value > 0.45 * top else "#101418"  # contrasts with the cell in every colour scheme
        axes.text(column, row, short(value), ha="center", va="center", fontsize=8, color=ink)
    axes.set_xticks(range(width), names)
    axes.set_yticks(range(height), rows)
    axes.tick_params(length=0)
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_xlabel(about[0])
    axes.set_ylabel(about[1])


def _annotate(axes: Axes, text: str, index: tuple[float, float], colour: str, side: str = "left") -> None:
    axes.annotate(text, index, xycoords="axes fraction", ha=side, va="top", fontsize=8, color=colour)


def _from_zero(axes: Axes) -> None:
    axes.set_ylim(bottom=0)


def _dates(axes: Axes) -> None:
    locator = AutoDateLocator(minticks=3)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    axes.grid(visible=False, axis="x")
    axes.margins(x=0.01)
    thousands(axes.yaxis)
