"""The charts of a report: intervals, reliability and learning curves, from what ``report.as_dict`` returns."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from training.report.style import COLOURS, HALF, INK, MIN_TICKS, MUTED, PAPER, whole

MeanInterval = tuple[float, float, float]
"""A mean and the interval of its interval."""

_MARKERS = ("o", "s", "^", "D")
"""Series differ by mark as well as by colour."""

LINEAR = 0.02
"""Differences up to this size are drawn to scale."""
_TICKS = (-0.4, -0.1, -0.02, 0.0, 0.02, 0.1, 0.4)
_MORE_TICKS = (-0.4, -0.2, -0.1, -0.05, -0.02, -0.01, 0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4)

LONG_NAME = 20
"""Characters of a model's name from which on a narrow figure has one panel a row."""

_RELIABILITY_COLUMNS = 4


class Panel(NamedTuple):
    """One of several axes side by side: by series and model a mean with its interval, None where there is none."""

    title: str
    values: Mapping[str, Mapping[str, MeanInterval | None]]


def of_mean(summary: Mapping[str, Any], metric: str) -> MeanInterval | None:
    """A metric with its interval from the summary of a model, or of one length of history."""
    mean, interval = summary["mean"][metric], summary["interval"].get(metric)
    return None if mean is None or interval is None else (mean, *interval)


def of_difference(gain: Mapping[str, float | None]) -> MeanInterval | None:
    """A difference with its interval."""
    mean, low, high = gain["mean"], gain["low"], gain["high"]
    return None if mean is None or low is None or high is None else (mean, low, high)


def height(names: Sequence[str], panels: Sequence[Panel], width: float) -> float:
    """Height in inches of a chart of intervals that is so wide."""
    lines = -(-len(panels) // _columns(names, panels, width))
    return 0.7 + lines * (0.6 + len(names) * (0.16 + 0.11 * len(panels[0].values)))


def _columns(names: Sequence[str], panels: Sequence[Panel], width: float) -> int:
    """Number of panels side by side: all of them in a wide figure, else two, or one next to long names."""
    if width > HALF[0]:
        return len(panels)
    return 1 if max(map(len, names)) > LONG_NAME else min(2, len(panels))


def intervals(figure: Figure, names: Sequence[str], panels: Sequence[Panel], *, differences: bool = False) -> None:
    """Means with their intervals, a row a model, the first on top; panels share the rows.

    The axis of means begins at zero. That of differences is linear near zero and logarithmic beyond ``LINEAR``: small
    differences to good models matter, and those to weak models are large. A mark is hollow where the interval
    includes zero.

    Args:
        figure: An empty figure.
        names: Of the rows.
        panels: Side by side. Their series, the same in all, are drawn below each other in a row.
        differences: Whether they are differences.
    """
    columns = _columns(names, panels, figure.get_figwidth())
    grid = figure.subplots(-(-len(panels) // columns), columns, sharey=True, squeeze=False).flat
    series = list(panels[0].values)
    for unused in grid[len(panels) :]:
        unused.remove()
    for axes, panel in zip(grid, panels, strict=False):
        axes.set_title(panel.title, fontsize=9, color=INK)
        for index, label in enumerate(series):
            offset = 0.26 * (index - (len(series) - 1) / 2)
            drawn = [
                (row + offset, interval)
                for row, name in enumerate(names)
                if (interval := panel.values[label].get(name))
            ]
            colour, marker = COLOURS[index % len(COLOURS)], _MARKERS[index % len(_MARKERS)]
            rows = [row for row, _ in drawn]
            axes.hlines(
                rows, [low for _, (_, low, _) in drawn], [high for _, (_, _, high) in drawn], colour, linewidth=1.4
            )
            axes.plot([mean for _, (mean, _, _) in drawn], rows, marker, color=colour, markersize=4, label=label)
            if differences:
                uncertain = [(mean, row) for row, (mean, low, high) in drawn if low <= 0.0 <= high]
                axes.plot(
                    [mean for mean, _ in uncertain], [row for _, row in uncertain], marker, color=PAPER, markersize=2.2
                )
        if differences:
            _around_zero(axes)
        else:
            axes.set_xlim(left=-0.03 * axes.get_xlim()[1])  # room for a mark at zero
            axes.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10], min_n_ticks=MIN_TICKS))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace("0.", ".", 1)))
        axes.grid(visible=True, axis="x")
        axes.grid(visible=False, axis="y")
        axes.tick_params(length=0)
        axes.tick_params(axis="y", labelcolor=INK)
        axes.spines["left"].set_visible(False)
    grid[0].set_yticks(range(len(names)), names)
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
    axes.xaxis.set_major_locator(FixedLocator(_difference_ticks(low, high)))
    axes.xaxis.set_minor_locator(NullLocator())


def _difference_ticks(low: float, high: float) -> list[float]:
    """Ticks of an axis of differences, at least ``MIN_TICKS``."""
    for ticks in (_TICKS, _MORE_TICKS):
        visible = [tick for tick in ticks if low <= tick <= high]
        if len(visible) >= MIN_TICKS:
            return visible
    return [float(tick) for tick in MaxNLocator(4, min_n_ticks=MIN_TICKS).tick_values(low, high)]  # drawn to scale


def reliability_diagram(
    figure: Figure, models: Mapping[str, Mapping[str, tuple[Sequence[Mapping[str, Any]], float]]]
) -> None:
    """Predicted against observed frequency, a panel a model, all on one scale.

    Args:
        figure: An empty figure.
        models: By name and series the bins, as in ``report.as_dict``, and the calibration error.
    """
    columns = _reliability_columns(len(models), figure.get_figwidth())
    grid = figure.subplots(-(-len(models) // columns), columns, sharex=True, sharey=True, squeeze=False)
    upper = max(
        max(part["said"], part["came"]) for each in models.values() for bins, _ in each.values() for part in bins
    )
    for index in range(len(models), grid.size):
        grid.flat[index].remove()
        grid.flat[index - columns].tick_params(labelbottom=True)
    for axes, (name, each) in zip(grid.flat, models.items(), strict=False):
        axes.set_title(name, fontsize=8, color=INK)
        axes.axline((0.0, 0.0), slope=1.0, color=MUTED, linewidth=1.0)
        for index, (label, (bins, error)) in enumerate(each.items()):
            axes.plot(
                [part["said"] for part in bins],
                [part["came"] for part in bins],
                marker=_MARKERS[index % len(_MARKERS)],
                markersize=3,
                linewidth=1.0,
                color=COLOURS[index % len(COLOURS)],
                label=f"{label}, error {error:.3f}".replace("0.", ".", 1),
            )
        axes.set_xlim(0.0, 1.05 * upper)
        axes.set_ylim(0.0, 1.05 * upper)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(nbins=5, min_n_ticks=MIN_TICKS))
        axes.legend(loc="lower right", fontsize=7, handlelength=1.2, borderaxespad=0.2)
    figure.supxlabel("predicted probability", fontsize=8, color=MUTED)
    figure.supylabel("share that was bought", fontsize=8, color=MUTED)


def reliability_height(models: int, width: float) -> float:
    """Height in inches of the reliability plots of so many models in a figure that is so wide."""
    return 1.0 + 2.4 * -(-models // _reliability_columns(models, width))


def _reliability_columns(models: int, width: float) -> int:
    return min(_RELIABILITY_COLUMNS if width > HALF[0] else 2, models)


def curves(figure: Figure, seeds: Mapping[str, Mapping[str, Sequence[float]]]) -> None:
    """Loss by epoch: a colour for each set of examples, a line for each seed."""
    axes = figure.subplots()
    for number, by_part in enumerate(seeds.values()):
        for index, (part, losses) in enumerate(by_part.items()):
            axes.plot(
                range(1, len(losses) + 1),
                losses,
                marker=_MARKERS[index % len(_MARKERS)],
                markersize=3.5,
                color=COLOURS[index % len(COLOURS)],
                alpha=1.0 if number == 0 else 0.45,
                label=part if number == 0 else None,
            )
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss")
    whole(axes.xaxis)
    axes.legend()
