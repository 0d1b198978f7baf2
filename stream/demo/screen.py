"""What the demo shows: a live table on a terminal, plain lines where there is none."""

from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from state.domain.recommendation import Item, Reason, Recommendation
from stream.demo.tally import Quality, Summary, Tally


class Screen(Protocol):
    """Somewhere to show a replay while it runs."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def show(self, tally: Tally) -> None:
        """Show the tally as it stands now."""
        ...


class LiveScreen:
    """A table that redraws itself in place."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def show(self, tally: Tally) -> None:
        """Redraw."""
        self._live.update(picture(tally), refresh=True)


class PlainScreen:
    """One line each time it is shown."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def show(self, tally: Tally) -> None:
        """Print one line of figures and the newest recommendation."""
        now = tally.summary()
        line = f"{now.sent}/{now.total} invoices  {figures(now)}"
        if latest := tally.latest():
            newest = latest[0]
            line += f"  | {newest.customer_id}: {item_text(newest.items[0])}"
        self._console.print(line, soft_wrap=True, markup=False, highlight=False)


def picture(tally: Tally) -> Panel:
    """The whole screen: progress, figures, and the latest recommendations."""
    now = tally.summary()
    table = Table(expand=True, box=None, pad_edge=False)
    table.add_column("customer", style="bold cyan", no_wrap=True)
    table.add_column("back by", no_wrap=True)
    table.add_column("next basket", ratio=1)
    for recommendation in tally.latest():
        table.add_row(recommendation.customer_id, _due(recommendation), _items(recommendation))
    # A progress bar ends without a line break of its own; a row of a grid has one.
    bar = Table.grid(expand=True)
    bar.add_row(ProgressBar(total=max(now.total, 1), completed=now.sent))
    return Panel(
        Group(bar, Text(_speed(now)), Text(_quality(now)), Text(""), table),
        title="invoices in, next baskets out",
        subtitle="Ctrl-C ends it cleanly",
    )


def figures(now: Summary) -> str:
    """The summary in one line."""
    return " · ".join(filter(None, (_speed(now), _quality(now))))


def _speed(now: Summary) -> str:
    parts = [f"{now.events_per_second:.0f} invoices/s", f"{now.answered} recommendations"]
    if now.p50_ms is not None and now.p99_ms is not None:
        parts.append(f"event to recommendation: p50 {now.p50_ms:.0f} ms, p99 {now.p99_ms:.0f} ms")
    if now.dead_letters:
        parts.append(f"{now.dead_letters} dead letters")
    return " · ".join(parts)


def _quality(now: Summary) -> str:
    if not now.ours or not now.baseline:
        return ""
    return (
        f"the same {now.ours.invoices} invoices, ranked beforehand: nextbasket {quality_text(now.ours)}, "
        f"GP-TopFreq {quality_text(now.baseline)}"
    )


def quality_text(quality: Quality) -> str:
    """Two figures of merit, short."""
    return f"hit@10 {quality.hit:.3f} recall@10 {quality.recall:.3f}"


def item_text(item: Item) -> str:
    """An item with its description, slot, chance and reason."""
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
    """The likeliest item, and the likeliest that is new to the customer, or else the second."""
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
    due = recommendation.next_purchase
    return due.median or "uncertain"
