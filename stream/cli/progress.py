"""The progress of long commands: bars on a terminal, plain lines elsewhere."""

import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Never

from tqdm import tqdm

from stream.cli.console import echo
from training.progress import shown_by


@contextmanager
def show_progress(on_progress: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Show the progress of the work inside on standard error; ``on_progress`` is called whenever there is some."""
    with closing(TerminalProgress(on_progress)) as terminal, shown_by(terminal):
        yield


class TerminalProgress:
    """A ``training.progress.Reporter`` with one bar per stage on a terminal, and one line per stage elsewhere."""

    def __init__(self, on_progress: Callable[[], None] = lambda: None) -> None:
        self._on_progress = on_progress
        self._bar: tqdm[Never] | None = None
        self._is_terminal = sys.stderr.isatty()

    def stage(self, name: str) -> None:
        """End the last bar and begin another."""
        self._on_progress()
        self.close()
        if self._is_terminal:
            self._bar = tqdm(desc=name, dynamic_ncols=True, leave=True)
        else:
            echo(f"{name} …", err=True)

    def update(self, done: int, total: int, note: str = "") -> None:
        """Move the bar; ``note`` is shown behind it."""
        self._on_progress()
        if self._bar is None:
            return
        self._bar.total = total
        if note:
            self._bar.set_postfix_str(note, refresh=False)
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        """End the last bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
