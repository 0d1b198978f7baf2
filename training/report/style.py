"""The style of all figures, which leaves no global state in Matplotlib.

The colours are safe for colour-blind readers (Okabe and Ito 2008). An SVG also holds its colours for dark pages, so
that it follows the reader's scheme wherever it is shown.
"""

import io
import math
import re
import textwrap
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.rcsetup import cycler
from matplotlib.ticker import FuncFormatter, MaxNLocator

WIDE = (10.0, 4.2)
"""Size in inches of a figure as wide as the page."""
STRIP = (10.0, 2.4)
"""Size of a wide, low figure."""
HALF = (4.9, 3.7)
"""Size of a figure that takes half the width of the page."""

PAPER = "#ffffff"
INK = "#24292f"
MUTED = "#656d76"
GRID = "#d8dee4"
BLUE = "#0072b2"
VERMILION = "#d55e00"
GREEN = "#009e73"
PURPLE = "#aa4499"
ORANGE = "#b8860b"
SKY = "#56b4e9"
COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
"""For series, in this order; a single series is blue, its highlights vermilion."""

DARK = {
    PAPER: "#161b22",
    INK: "#e6edf3",
    MUTED: "#9198a1",
    GRID: "#30363d",
    BLUE: "#58a6d8",
    VERMILION: "#f08a4b",
    GREEN: "#2fbf97",
    PURPLE: "#d48ac8",
    ORANGE: "#dcae3d",
}
"""Colour on a dark page by colour on a light one; all others are the same on both."""

HEAT = LinearSegmentedColormap.from_list("heat", ["#eaf3f9", "#7fb8da", "#0072b2", "#00395a"])
"""For the cells of a matrix, from few to many."""

TITLE_CHARACTERS = 9
"""Characters of a title that fit into an inch."""

MIN_TICKS = 3
"""Minimum number of ticks of an axis of numbers, without which its scale cannot be read."""

FEWEST = 4
"""Minimum number of bars that a figure has room for, so that a single bar is not too thick."""

_STYLE: Any = {
    "font.family": "DejaVu Sans",  # comes with Matplotlib: the same picture on every machine
    "font.size": 9,
    "text.color": INK,
    "text.parse_math": False,  # a description may hold a dollar sign
    "figure.facecolor": PAPER,
    "axes.facecolor": "none",
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": cycler(color=COLOURS),
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.6,
    "patch.linewidth": 0,
    "svg.fonttype": "path",
    "svg.hashsalt": "nextbasket",  # the same figure gives the same bytes
}


@dataclass(frozen=True)
class Picture:
    """A drawn figure: the bytes of an SVG or PNG file, and its size in inches.

    ``narrow`` is the same figure arranged for a phone, whose width makes the text of a wide figure too small to read;
    None for a figure that is narrow already.
    """

    content: bytes
    kind: Literal["svg", "png"]
    size: tuple[float, float]
    narrow: bytes | None = None


def draw(
    title: str,
    paint: Callable[[Figure], None],
    *,
    size: tuple[float, float] = WIDE,
    narrow_height: float | None = None,
    kind: Literal["svg", "png"] = "svg",
) -> Picture:
    """Draw a figure in the style of the reports; one wider than ``HALF`` is drawn a second time, for phones.

    Args:
        title: Text above the figure.
        paint: Draws into an empty figure (``axes = figure.subplots()``, then plot), in the style. It may arrange the
            figure by its width.
        size: ``WIDE``, ``STRIP`` or ``HALF``.
        narrow_height: Height in inches of the figure for phones; unless given, that of the figure, at most ``HALF``'s.
        kind: ``png`` for a figure of very many marks; it does not follow a dark page.
    """
    content = _drawn(title, paint, size, kind)
    if size[0] <= HALF[0]:
        return Picture(content, kind, size)
    return Picture(content, kind, size, _drawn(title, paint, (HALF[0], narrow_height or min(size[1], HALF[1])), kind))


def _drawn(
    title: str, paint: Callable[[Figure], None], size: tuple[float, float], kind: Literal["svg", "png"]
) -> bytes:
    """The file of a figure."""
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # it is drawn as a box
        figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.06))
        FigureCanvasAgg(figure)
        paint(figure)
        lines = textwrap.wrap(title, int(size[0] * TITLE_CHARACTERS))
        figure.suptitle("\n".join(lines), x=0.01, ha="left", fontsize=11, fontweight="bold", color=INK)
        buffer = io.BytesIO()
        if kind == "svg":
            figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Title": title})
            return _follow_scheme(buffer.getvalue())
        figure.savefig(buffer, format="png", dpi=160, metadata={"Software": None})
        return buffer.getvalue()


def _follow_scheme(svg: bytes) -> bytes:
    """Add dark colours to an SVG: rules that override the ``style`` attributes that Matplotlib writes."""
    rules = "".join(
        f'[style*="{use}: {light}"]{{{use}:{dark} !important}}'
        for light, dark in DARK.items()
        for use in ("fill", "stroke")
    )
    style = f"<style>@media screen and (prefers-color-scheme: dark){{{rules}}}</style>"
    return re.sub(rb"(<svg [^>]*>)", lambda found: found[1] + style.encode(), svg, count=1)


def thousands(axis: Axis, unit: str = "") -> None:
    """Whole numbers with separators on an axis, large ones as 1.2 M; ``unit`` is put before them (``£``)."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{unit}{short(value)}"))


def percent(axis: Axis) -> None:
    """Shares of 1 as percentages on an axis."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value * 100:.3g}%"))


def whole(axis: Axis) -> None:
    """Only whole numbers on an axis that begins at 0 or 1; it is long enough for ``MIN_TICKS`` of them."""
    low, high = axis.get_view_interval()
    if high - low < MIN_TICKS:
        limits = "xlim" if axis is axis.axes.xaxis else "ylim"
        axis.axes.set(**{limits: (low, low + MIN_TICKS)})
    axis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=MIN_TICKS))


def log_ticks(low: float, high: float) -> list[float]:
    """Ticks of a logarithmic axis: powers of 10, and as many numbers between them as ``MIN_TICKS`` needs."""
    powers = [10.0**power for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]
    for factors in ((1,), (1, 3), (1, 2, 5)):
        ticks = [tick for power in powers for factor in factors if low <= (tick := factor * power) <= high]
        if len(ticks) >= MIN_TICKS:
            return ticks
    return [float(tick) for tick in MaxNLocator(5, min_n_ticks=MIN_TICKS).tick_values(low, high) if low <= tick <= high]


def short(value: float) -> str:
    """A short form of a number: 950, 12,300, 1.2 M; two significant digits below 10."""
    for size, letter in ((1e9, " bn"), (1e6, " M")):
        if abs(value) >= size:
            return f"{value / size:,.2f}".rstrip("0").rstrip(".") + letter
    if abs(value) >= 10 or float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:.2g}"


def bars(
    figure: Figure,
    names: Sequence[str],
    values: Sequence[float],
    *,
    labels: Sequence[str] = (),
    colour: str = BLUE,
    room: float = 0.2,
) -> None:
    """Horizontal bars, the first on top, each with a label at its end instead of an axis.

    Args:
        figure: An empty figure.
        names: Text left of each bar.
        values: Lengths.
        labels: Text right of each bar; the values unless given.
        colour: Of all bars.
        room: Space for labels right of the longest bar, as a share of its length.
    """
    axes = figure.subplots()
    positions = range(len(values))
    axes.barh(positions, values, color=colour, height=0.72)
    axes.set_yticks(positions, names, color=INK)
    axes.grid(visible=False)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines["bottom"].set_visible(False)
    axes.spines["left"].set_visible(False)
    for position, value, label in zip(positions, values, labels or [short(value) for value in values], strict=True):
        axes.annotate(label, (max(value, 0), position), (4, 0), textcoords="offset points", va="center", fontsize=8)
    axes.margins(x=room)
    axes.set_ylim(max(len(values), FEWEST) - 0.5, -0.6)
    axes.set_xlim(left=min(0, *values) if values else 0)
