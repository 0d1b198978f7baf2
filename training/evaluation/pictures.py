"""The figures of a report, drawn from what ``report.as_dict`` gives: intervals, reliability and learning curves."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from training.report.style import COLOURS, INK, MUTED, whole

Ends = tuple[float, float, float]
"""A mean and the ends of its interval."""

_MARKERS = ("o", "s", "^", "D")
"""Series differ by mark as well as by colour."""

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

    Args:
        figure: An empty figure.
        names: Of the rows.
        panels: Side by side. Their series, the same in all, stand below each other in a row.
        differences: Whether zero is what is to be told from, and gets a line.
    """
    grid = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    series = list(panels[0].values)
    for axes, panel in zip(grid, panels, strict=True):
        axes.set_title(panel.title, fontsize=9, color=INK)
        if differences:
            axes.axvline(0.0, color=MUTED, linewidth=1.0)
        for place, label in enumerate(series):
            offset = 0.26 * (place - (len(series) - 1) / 2)
            drawn = [(row + offset, ends) for row, name in enumerate(names) if (ends := panel.values[label].get(name))]
            axes.errorbar(
                [mean for _, (mean, _, _) in drawn],
                [row for row, _ in drawn],
                xerr=[[mean - low for _, (mean, low, _) in drawn], [high - mean for _, (mean, _, high) in drawn]],
                fmt=_MARKERS[place % len(_MARKERS)],
                color=COLOURS[place % len(COLOURS)],
                markersize=4,
                elinewidth=1.4,
                label=label,
            )
        axes.xaxis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 2.5, 5, 10]))
        axes.grid(visible=True, axis="x")
        axes.grid(visible=False, axis="y")
        axes.tick_params(length=0)
        axes.spines["left"].set_visible(False)
    grid[0].set_yticks(range(len(names)), names, color=INK)
    grid[0].set_ylim(len(names) - 0.5, -0.5)
    if len(series) > 1:
        figure.legend(*grid[0].get_legend_handles_labels(), loc="outside lower right", ncols=len(series))


def reliability(figure: Figure, models: Mapping[str, Mapping[str, tuple[Sequence[Mapping[str, Any]], float]]]) -> None:
    """What was promised against what happened, a panel a model, all on one scale.

    Args:
        figure: An empty figure.
        models: By name and series the bins (``said``, ``came``) and the calibration error.
    """
    columns = min(_RELIABILITY_COLUMNS, len(models))
    grid = figure.subplots(-(-len(models) // columns), columns, sharex=True, sharey=True, squeeze=False)
    most = max(part[end] for each in models.values() for bins, _ in each.values() for part in bins for end in part)
    for axes, (name, each) in zip(_used(grid.flat, len(models)), models.items(), strict=False):
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
                label=f"{label}: {error:.3f}".replace("0.", "."),
            )
        axes.set_xlim(0.0, 1.05 * most)
        axes.set_ylim(0.0, 1.05 * most)
        axes.legend(loc="upper left", fontsize=7, handlelength=1.2, borderaxespad=0.2)
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


def _used(grid: Iterator[Axes], number: int) -> Iterator[Axes]:
    """The first axes of a grid; what is left over is taken away."""
    for place, axes in enumerate(grid):
        if place < number:
            yield axes
        else:
            axes.remove()
