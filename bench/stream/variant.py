"""A worker to measure."""

import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

Event = tuple[bytes, bytes]
"""Key and value."""


@dataclass(frozen=True)
class WorkerVariant:
    """A worker to measure.

    ``identify`` returns the event that an answer is for: ("id", n) or ("at", partition, offset).
    ``flood`` events are sent at once, after ``warm_up`` events. ``rate`` is that of a steady stream; 0: none.
    ``search``: the rate that it can hold is searched. ``folder`` is where its code is.
    """

    letter: str
    title: str
    command: Sequence[str]
    environment: dict[str, str]
    folder: str
    group: str
    topics: tuple[str, str]
    metrics_port: int
    identify: Callable[[dict[str, Any]], tuple[Any, ...] | None]
    flood: int
    warm_up: int
    rate: float = 0.0
    search: bool = True


@contextmanager
def running(variant: WorkerVariant, log: Any) -> Iterator[subprocess.Popen[bytes]]:
    """The process of a variant, which writes to ``log`` and is ended with the context."""
    process = subprocess.Popen(variant.command, env=variant.environment, cwd=variant.folder, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
