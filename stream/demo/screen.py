"""What the demo shows during the replay: a live table on a terminal, plain lines elsewhere."""

from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from state.domain.recommendation import Item, Reason, Recommendation
from stream.demo.statistics import Quality, ReplayStatistics, Summary


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
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def show(self, statistics: ReplayStatistics) -> None:
        """Redraw."""
        self._live.update(render_screen(statistics), refresh=True)


class PlainScreen:
    """A new line each time."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def show(self, statistics: ReplayStatistics) -> None:
        """Print one line of figures and the newest recommendation."""
        summary = statistics.summary()
        line = f"{summary.sent}/{summary.total} invoices  {summary_text(summary)}"
        if latest := statistics.latest():
            newest = latest[0]
            line += f"  | {newest.customer_id}: {item_text(newest.items[0])}"
        self._console.print(line, soft_wrap=True, markup=False, highlight=False)


def render_screen(statistics: ReplayStatistics) -> Panel:
    """The whole screen: progress, figures, and the latest recommendations."""
    summary = statistics.summary()
    table = Table(expand=True, box=None, pad_edge=False)
    table.add_column("customer", style="bold cyan", no_wrap=True)
    table.add_column("back by", no_wrap=True)
    table.add_column("next basket", ratio=1)
    for recommendation in statistics.latest():
        table.add_row(recommendation.customer_id, _due(recommendation), _items(recommendation))
    # A progress bar ends without a line break of its own; a row of a grid has one.
    bar = Table.grid(expand=True)
    bar.add_row(ProgressBar(total=max(summary.total, 1), completed=summary.sent))
    return Panel(
        Group(bar, Text(_speed(summary)), Text(_quality(summary)), Text(""), table),
        title="invoices in, next baskets out",
        subtitle="Ctrl-C ends it cleanly",
    )


def summary_text(summary: Summary) -> str:
    """The summary in one line."""
    return " · ".join(filter(None, (_speed(summary), _quality(summary))))


def _speed(summary: Summary) -> str:
    parts = [f"{summary.events_per_second:.0f} invoices/s", f"{summary.recommendations} recommendations"]
    if summary.p50_ms is not None and summary.p99_ms is not None:
        parts.append(f"event to recommendation: p50 {summary.p50_ms:.0f} ms, p99 {summary.p99_ms:.0f} ms")
    if summary.dead_letters:
        parts.append(f"{summary.dead_letters} dead letters")
    return " · ".join(parts)


def _quality(summary: Summary) -> str:
    if not summary.model or not summary.baseline:
        return ""
    return (
        f"the same {summary.model.invoices} invoices, ranked beforehand: nextbasket {quality_text(summary.model)}, "
        f"GP-TopFreq {quality_text(summary.baseline)}"
    )


def quality_text(quality: Quality) -> str:
    """Hit rate and recall, short."""
    return f"hit@10 {quality.hit:.3f} recall@10 {quality.recall:.3f}"


def item_text(item: Item) -> str:
    """An item with its description, slot, probability and reason."""
    name = (item.description or item.stock_code).title()
    return f"{name} [{item.slot}, {item.probability:.0%}, {reason_text(item.reason)}]"


def reason_text(reason: Reason) -> str:
    """A reason in words."""
    evidence = reason.evidence
    match reason.code:
        case "bought_regularly":
            return f"bought {evidence.get('times')} times"
        case "bought_before":
            return "bought before"
        case "bought_together":
            return f"goes with {str(evidence.get('description') or evidence.get('with')).title()}"
        case "in_demand":
            return "in demand"
        case other:
            return other.replace("_", " ")


def _items(recommendation: Recommendation) -> Text:
    """The most probable item, and the most probable new one, or the second where no item is new to the customer."""
    first, *others = recommendation.items
    new = next((item for item in others if item.slot == "discover"), None)
    text = Text(overflow="ellipsis")
    for rank, item in enumerate([first, *([new] if new else others[:1])]):
        text.append("\n" if rank else "")
        text.append(f"{item.probability:4.0%} ", style="bold green")
        text.append((item.description or item.stock_code).title())
        text.append(f"  {item.slot}", style="magenta" if item.slot == "discover" else "blue")
        text.append(f"  {reason_text(item.reason)}", style="dim")
    return text


def _due(recommendation: Recommendation) -> str:
    return recommendation.next_purchase.median or "uncertain"
