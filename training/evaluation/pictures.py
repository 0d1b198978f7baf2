"""The figures of a report, drawn from what ``report.as_dict`` gives: intervals, reliability and learning curves."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from training.report.style import COLOURS, INK, MUTED, PAPER, whole

Ends = tuple[float, float, float]
"""A mean and the ends of its interval."""

_MARKERS = ("o", "s", "^", "D")
"""Series differ by mark as well as by colour."""

LINEAR = 0.02
"""Differences up to this size are drawn to scale."""
_TICKS = (-0.4, -0.1, -0.02, 0.0, 0.02, 0.1, 0.4)

_RELIABILITY_COLUMNS = 4


class Panel(NamedTuple):
    """One of several axes side by side: by series and model a mean with its interval, None where there is none."""

    title: str
    values: Mapping[str, Mapping[str, Ends | None]]


def of_mean(figures: Mapping[str, Any], metric: str) -> Ends | None:
    """A metric with its interval from the figures of a model, or of one length of history."""
    mean, ends = figures["mean"][metric], figures["interval"].get(metric)
    return None if mean is None or ends is None else (mean, *ends)


def of_difference(gain: Mapping[str, float | None]) -> Ends | None:
    """A difference with its interval."""
    mean, low, high = gain["mean"], gain["low"], gain["high"]
    return None if mean is None or low is None or high is None else (mean, low, high)


def height(rows: int, series: int = 1) -> float:
    """Inches that so many rows of intervals need."""
    return 1.3 + rows * (0.16 + 0.11 * series)


def intervals(figure: Figure, names: Sequence[str], panels: Sequence[Panel], *, differences: bool = False) -> None:
    """Means with their intervals, a row a model, the first on top; panels share the rows.

    Means begin at zero. Differences are drawn linearly near zero and logarithmically beyond ``LINEAR``, since those to
    close rivals matter and those to weak ones are large; the mark of one that may be zero is hollow.

    Args:
        figure: An empty figure.
        names: Of the rows.
        panels: Side by side. Their series, the same in all, stand below each other in a row.
        differences: Whether they are differences.
    """
    grid = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    series = list(panels[0].values)
    for axes, panel in zip(grid, panels, strict=True):
        axes.set_title(panel.title, fontsize=9, color=INK)
        for place, label in enumerate(series):
            offset = 0.26 * (place - (len(series) - 1) / 2)
            drawn = [(row + offset, ends) for row, name in enumerate(names) if (ends := panel.values[label].get(name))]
            colour, marker = COLOURS[place % len(COLOURS)], _MARKERS[place % len(_MARKERS)]
            rows = [row for row, _ in drawn]
            axes.hlines(
                rows, [low for _, (_, low, _) in drawn], [high for _, (_, _, high) in drawn], colour, linewidth=1.4
            )
            axes.plot([mean for _, (mean, _, _) in drawn], rows, marker, color=colour, markersize=4, label=label)
            if differences:
                unsure = [(mean, row) for row, (mean, low, high) in drawn if low <= 0.0 <= high]
                axes.plot([mean for mean, _ in unsure], [row for _, row in unsure], marker, color=PAPER, markersize=2.2)
        if differences:
            _around_zero(axes)
        else:
            axes.set_xlim(left=-0.03 * axes.get_xlim()[1])  # room for a mark at zero
            axes.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace("0.", ".", 1)))
        axes.grid(visible=True, axis="x")
        axes.grid(visible=False, axis="y")
        axes.tick_params(length=0)
        axes.spines["left"].set_visible(False)
    grid[0].set_yticks(range(len(names)), names, color=INK)
    grid[0].set_ylim(len(names) - 0.5, -0.5)
    if len(series) > 1:
        figure.legend(*grid[0].get_legend_handles_labels(), loc="outside lower right", ncols=len(series))


def _around_zero(axes: Axes) -> None:
    """A line at zero, and a scale that shows small and large distances from it."""
    axes.axvline(0.0, color=MUTED, linewidth=1.0, zorder=1)
    low, high = axes.get_xlim()
    axes.set_xscale("symlog", linthresh=LINEAR)
    low, high = min(low, -LINEAR / 4), max(high, LINEAR / 4)
    axes.set_xlim(low, high)
    axes.xaxis.set_major_locator(FixedLocator([tick for tick in _TICKS if low <= tick <= high]))
    axes.xaxis.set_minor_locator(NullLocator())


def reliability(figure: Figure, models: Mapping[str, Mapping[str, tuple[Sequence[Mapping[str, Any]], float]]]) -> None:
    """What was promised against what happened, a panel a model, all on one scale.

    Args:
        figure: An empty figure.
        models: By name and series the bins (``said``, ``came``) and the calibration error.
    """
    columns = min(_RELIABILITY_COLUMNS, len(models))
    grid = figure.subplots(-(-len(models) // columns), columns, sharex=True, sharey=True, squeeze=False)
    most = max(
        max(part["said"], part["came"]) for each in models.values() for bins, _ in each.values() for part in bins
    )
    for place in range(len(models), grid.size):
        grid.flat[place].remove()
        grid.flat[place - columns].tick_params(labelbottom=True)
    for axes, (name, each) in zip(grid.flat, models.items(), strict=False):
        axes.set_title(name, fontsize=8, color=INK)
        axes.axline((0.0, 0.0), slope=1.0, color=MUTED, linewidth=1.0)
        for place, (label, (bins, error)) in enumerate(each.items()):
            axes.plot(
                [part["said"] for part in bins],
                [part["came"] for part in bins],
                marker=_MARKERS[place % len(_MARKERS)],
                markersize=3,
                linewidth=1.0,
                color=COLOURS[place % len(COLOURS)],
                label=f"{label}, error {error:.3f}".replace("0.", ".", 1),
            )
        axes.set_xlim(0.0, 1.05 * most)
        axes.set_ylim(0.0, 1.05 * most)
        axes.legend(loc="lower right", fontsize=7, handlelength=1.2, borderaxespad=0.2)
    figure.supxlabel("probability that was given", fontsize=8, color=MUTED)
    figure.supylabel("share that was bought", fontsize=8, color=MUTED)


def reliability_height(models: int) -> float:
    """Inches that the reliability of so many models needs."""
    return 1.0 + 2.4 * -(-models // _RELIABILITY_COLUMNS)


def curves(figure: Figure, seeds: Mapping[str, Mapping[str, Sequence[float]]]) -> None:
    """Loss by epoch: a colour a kind of examples, a line a seed."""
    axes = figure.subplots()
    for number, by_part in enumerate(seeds.values()):
        for place, (part, losses) in enumerate(by_part.items()):
            axes.plot(
                range(1, len(losses) + 1),
                losses,
                marker=_MARKERS[place % len(_MARKERS)],
                markersize=3.5,
                color=COLOURS[place % len(COLOURS)],
                alpha=1.0 if number == 0 else 0.45,
                label=part if number == 0 else None,
            )
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss")
    whole(axes.xaxis)
    axes.legend()
