"""What the demo shows during the replay: a live table on a terminal, plain lines elsewhere."""

from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self

from rich.cells import cell_len
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from state.domain.recommendation import Item, Reason, Recommendation
from state.events.control_characters import escape_control
from stream.demo.statistics import Quality, ReplayStatistics, Summary

_BETWEEN = " · "
"""Between two phrases of a line."""
NOTHING_ALLOWED = "nothing: the rules allow no item"
_DATE_WIDTH = 10
_GAP = 2
"""Blanks between two columns."""


class Screen(Protocol):
    """Shows a replay while it runs."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def show(self, statistics: ReplayStatistics) -> None:
        """Show the statistics so far."""
        ...


class LiveScreen:
    """A table that is redrawn in place."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._height = 0

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def show(self, statistics: ReplayStatistics) -> None:
        """Redraw; the table may grow and does not shrink, since a border that jumps is hard to read."""
        width, height = self._console.size
        screen = render_screen(statistics, width, height - 1)
        self._height = screen.height = min(height - 1, max(self._height, screen.height or 0))
        self._live.update(screen, refresh=True)


class PlainScreen:
    """A new line each time that there is something new."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def show(self, statistics: ReplayStatistics) -> None:
        """Print one line of figures and the newest recommendation."""
        summary = statistics.summary()
        line = f"{summary.sent}/{summary.total} invoices  {_BETWEEN.join(summary_parts(summary))}"
        if latest := statistics.latest():
            newest = latest[0]
            line += f"  | {newest.customer_id}: {item_text(newest.items[0]) if newest.items else NOTHING_ALLOWED}"
        if line != self._shown:
            self._console.print(escape_control(line), soft_wrap=True, markup=False, highlight=False)
            self._shown = line


def render_screen(statistics: ReplayStatistics, width: int, height: int, *, ended: bool = False) -> Panel:
    """The whole screen: progress, figures, and as many of the latest recommendations as fit.

    Args:
        statistics: What is shown.
        width: Columns of the terminal.
        height: Lines that the panel may have.
        ended: Whether the replay is over: then the figures are left to the summary below the panel.
    """
    summary = statistics.summary()
    inside = width - 4  # borders and blanks at both sides
    bar = Table.grid(expand=True, padding=(0, 1, 0, 0))
    bar.add_column(ratio=1)
    bar.add_column(justify="right", no_wrap=True)
    bar.add_row(ProgressBar(total=max(summary.total, 1), completed=summary.sent), f"{summary.sent}/{summary.total}")
    figures = [] if ended else [*join_parts(_speed(summary), inside), *join_parts(_quality(summary), inside)]
    table, lines = _recommendations(statistics.latest(), inside, height - len(figures) - 4)
    return Panel(
        Group(bar, *[Text(line, overflow="ellipsis", no_wrap=True) for line in figures], Text(""), table),
        title="invoices in, next baskets out",
        subtitle=None if ended else "Ctrl-C ends it cleanly",
        width=width,
        height=len(figures) + 4 + lines,
    )


def summary_parts(summary: Summary) -> list[str]:
    """The summary as short phrases."""
    return [*_speed(summary), *_quality(summary)]


def join_parts(parts: Sequence[str], width: int) -> list[str]:
    """Phrases in lines of at most ``width`` columns; a line ends between two phrases, a longer phrase has its own."""
    lines: list[str] = []
    for part in parts:
        if lines and cell_len(lines[-1]) + cell_len(_BETWEEN) + cell_len(part) <= width:
            lines[-1] += _BETWEEN + part
        else:
            lines.append(part)
    return lines


def _speed(summary: Summary) -> list[str]:
    parts = [f"{summary.events_per_second:.0f} invoices/s", f"{summary.recommendations} recommendations"]
    if summary.dead_letters:
        parts.append(f"{summary.dead_letters} dead letters")
    if summary.p50_ms is not None and summary.p99_ms is not None:
        parts.append(f"event to recommendation: p50 {summary.p50_ms:.0f} ms, p99 {summary.p99_ms:.0f} ms")
    return parts


def _quality(summary: Summary) -> list[str]:
    if not summary.model or not summary.baseline:
        return []
    return [
        f"{summary.model.invoices} invoices ranked beforehand",
        f"nextbasket {quality_text(summary.model)}",
        f"GP-TopFreq {quality_text(summary.baseline)}",
    ]


def quality_text(quality: Quality) -> str:
    """Hit rate and recall, short."""
    return f"hit@10 {quality.hit:.3f} recall@10 {quality.recall:.3f}"


def _name(item: Item) -> str:
    return escape_control(item.description or item.stock_code).title()


def item_text(item: Item) -> str:
    """An item with its description, slot, probability and reason."""
    return f"{_name(item)} [{item.slot}, {item.probability:.0%}, {reason_text(item.reason)}]"


def reason_text(reason: Reason) -> str:
    """A reason in words."""
    evidence = reason.evidence
    match reason.code:
        case "bought_regularly":
            return f"bought {evidence.get('times')} times"
        case "bought_before":
            return "bought before"
        case "bought_together":
            return f"goes with {escape_control(str(evidence.get('description') or evidence.get('with'))).title()}"
        case "in_demand":
            return "in demand"
        case other:
            return other.replace("_", " ")


def _recommendations(recommendations: Sequence[Recommendation], width: int, height: int) -> tuple[Table, int]:
    """A table of the first recommendations that fit into ``height`` lines with its heading, and its lines."""
    longest = max((cell_len(each.customer_id) for each in recommendations), default=0)
    customer_width = max(len("customer"), min(longest, width // 6))
    items_width = width - customer_width - _DATE_WIDTH - 2 * _GAP
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0))
    table.add_column("customer", style="bold cyan", no_wrap=True, width=customer_width)
    table.add_column("back by", no_wrap=True, width=_DATE_WIDTH)
    table.add_column("next basket", no_wrap=True, width=items_width)
    lines = 1
    for recommendation in recommendations:
        items = [line for item in _shown_items(recommendation) for line in _item_lines(item, items_width)]
        items = items or [Text(NOTHING_ALLOWED, style="dim", overflow="ellipsis")]
        if lines + len(items) > height:
            break
        table.add_row(Text(escape_control(recommendation.customer_id)), _due(recommendation), Text("\n").join(items))
        lines += len(items)
    return table, lines


def _shown_items(recommendation: Recommendation) -> list[Item]:
    """The first item, and the first new one, or the second where no item is new to the customer; of none, none."""
    if not recommendation.items:
        return []
    first, *others = recommendation.items
    new = next((item for item in others if item.slot == "discover"), None)
    return [first, *([new] if new else others[:1])]


def _item_lines(item: Item, width: int) -> list[Text]:
    """An item in one line, or with its reason in a second one. ``replenish`` goes first where there is no room."""
    name = Text.assemble((f"{item.probability:4.0%} ", "bold green"), _name(item))
    slot = Text(item.slot, style="magenta" if item.slot == "discover" else "blue")
    reason = Text(reason_text(item.reason), style="dim")
    without_slot = [] if item.slot == "discover" else [_phrases(name, reason)]
    one_line = next((line for line in (_phrases(name, slot, reason), *without_slot) if line.cell_len <= width), None)
    if one_line is not None:
        return [one_line]
    margin = Text(" " * 5)
    if (named := _phrases(name, slot)).cell_len <= width:
        lines = [named, margin + reason]
    else:
        lines = [name, margin + (reason if without_slot else _phrases(slot, reason))]
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return lines


def _phrases(*parts: Text) -> Text:
    return Text("  ").join(parts)


def _due(recommendation: Recommendation) -> str:
    return recommendation.next_purchase.median or "uncertain"
