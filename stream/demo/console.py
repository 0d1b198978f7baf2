"""What the demo prints before the replay: sentences and progress bars."""

import textwrap
import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Column

_WIDE = 100
"""Columns from which on there is room for a long bar."""


def print_wrapped(console: Console, sentence: str, indent: str = "") -> None:
    """Print a sentence: wrapped between words on a terminal, later lines after ``indent``; as one line elsewhere."""
    if console.is_terminal:
        sentence = textwrap.fill(
            sentence, console.width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
        )
    console.print(sentence, markup=False, highlight=False, soft_wrap=True)


class StepPrinter:
    """Prints sentences with the seconds since it was made in front of them."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since it was made."""
        return time.monotonic() - self._began

    def print(self, sentence: str) -> None:
        """Print one sentence."""
        print_wrapped(self._console, f"[{self.seconds:4.0f} s] {sentence}", indent=" " * 9)


def progress_bar(console: Console) -> Progress:
    """A progress bar on a terminal, one line at its end elsewhere; a description that is too long is cut."""
    return Progress(
        TextColumn("{task.description}", table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)),
        BarColumn(bar_width=30 if console.width >= _WIDE else 10),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=console.is_terminal,
        expand=True,
    )


class TaskProgress:
    """A ``training.progress.Reporter`` that shows the work, whatever its stages, as one task of a progress bar."""

    def __init__(self, bar: Progress, name: str) -> None:
        self._bar = bar
        self._name = name
        self._task = bar.add_task(name, total=None)

    def stage(self, name: str) -> None:
        """Nothing: there is one task."""

    def update(self, done: int, total: int, note: str = "") -> None:
        """Move the bar; ``note`` is shown behind the name."""
        self._bar.update(self._task, completed=done, total=total, description=f"{self._name} {note}".strip())
