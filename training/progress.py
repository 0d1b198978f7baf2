"""Progress of long work: one reporter for all that runs inside ``shown_by``, so that no signature carries a callback.

    with shown_by(RecordedProgress()) as shown:
        stage("fitting")
        update(3, 10, "epoch 1/6")

Without a reporter nothing is shown. A reporter is seen in the thread (and the asyncio task) that set it: a new thread
begins without one, and another process has to send its progress over a pipe, as ``basket_lstm.subprocess_fit`` does.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol, TypeVar


class Reporter(Protocol):
    """Shows the progress of work, one stage after the other."""

    def stage(self, name: str) -> None:
        """Begin a stage; the one before is over."""
        ...

    def update(self, done: int, total: int, note: str = "") -> None:
        """``done`` of ``total`` steps of the stage are finished; ``note`` is a few words (a loss, a model's name)."""
        ...


class _SilentProgress:
    """A ``Reporter`` that shows nothing."""

    def stage(self, name: str) -> None:
        pass

    def update(self, done: int, total: int, note: str = "") -> None:
        pass


class RecordedProgress:
    """A ``Reporter`` that keeps what it was given, for tests: names of ``stages``, and ``updates`` of all of them."""

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.updates: list[tuple[int, int, str]] = []

    def stage(self, name: str) -> None:
        """Append a stage."""
        self.stages.append(name)

    def update(self, done: int, total: int, note: str = "") -> None:
        """Append an update."""
        self.updates.append((done, total, note))


class _Part:
    """Maps the steps of a piece of work onto a part of the stage it belongs to; stages inside it are not shown."""

    def __init__(self, whole: Reporter, start: int, end: int, of: int) -> None:
        self._whole = whole
        self._start = start
        self._end = end
        self._of = of

    def stage(self, name: str) -> None:
        pass

    def update(self, done: int, total: int, note: str = "") -> None:
        share = (self._end - self._start) * min(done, total) // max(total, 1)
        self._whole.update(self._start + share, self._of, note)


_SILENT = _SilentProgress()
_reporter: ContextVar[Reporter] = ContextVar("reporter", default=_SILENT)

AnyReporter = TypeVar("AnyReporter", bound=Reporter)


@contextmanager
def shown_by(reporter: AnyReporter) -> Iterator[AnyReporter]:
    """Report the progress of the work inside to ``reporter``."""
    token = _reporter.set(reporter)
    try:
        yield reporter
    finally:
        _reporter.reset(token)


@contextmanager
def part(start: int, end: int, *, of: int) -> Iterator[None]:
    """The work inside takes the stage from ``start`` to ``end`` of ``of`` steps, whatever it counts itself."""
    with shown_by(_Part(_reporter.get(), start, end, of)):
        yield


def stage(name: str) -> None:
    """Begin a stage of the work."""
    _reporter.get().stage(name)


def update(done: int, total: int, note: str = "") -> None:
    """``done`` of ``total`` steps of the stage are finished; ``note`` is a few words (a loss, a model's name)."""
    _reporter.get().update(done, total, note)
