"""What long commands show: progress bars one after the other, and tables; plain lines without a terminal."""

import sys
from types import TracebackType
from typing import Never, Self

import typer
from tqdm import tqdm


class StageProgress:
    """A bar a stage; ``with StageProgress() as stage: model.fit(…, progress=stage("fitting"))``.

    Called with a stage's name it ends the bar before and gives the function that moves the new one. Without a terminal
    on standard error a stage is one line, so that a log stays readable.
    """

    def __init__(self) -> None:
        self._bar: tqdm[Never] | None = None
        self._shown = sys.stderr.isatty()

    def __call__(self, stage: str) -> "StageBar":
        """Begin a stage."""
        self._end()
        if self._shown:
            bar: tqdm[Never] = tqdm(desc=stage, dynamic_ncols=True, leave=True)
            self._bar = bar
        else:
            typer.echo(f"{stage} …", err=True)
        return StageBar(self._bar)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end()

    def _end(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class StageBar:
    """Moves one bar, or nothing; it is what models and evaluation tell their progress to."""

    def __init__(self, bar: "tqdm[Never] | None") -> None:
        self._bar = bar

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """``done`` of ``total`` steps are finished; ``note`` is shown behind the bar."""
        if self._bar is None:
            return
        self._bar.total = total
        if note:
            self._bar.set_postfix_str(note, refresh=False)
        self._bar.update(done - self._bar.n)
