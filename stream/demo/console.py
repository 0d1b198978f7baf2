"""What the demo prints before the replay: sentences and progress bars."""

import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


class StepPrinter:
    """Prints sentences with the seconds since it was made in front of them."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = time.monotonic()

    def print(self, sentence: str) -> None:
        """Print one line."""
        self._console.print(
            f"[{time.monotonic() - self._began:4.0f} s] {sentence}", markup=False, highlight=False, soft_wrap=True
        )


def progress_bar(console: Console) -> Progress:
    """A progress bar on a terminal, one line at its end elsewhere."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=console.is_terminal,
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
