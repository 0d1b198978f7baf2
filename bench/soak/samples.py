"""What is sampled every second, and what a run adds up to."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

WINDOW_SECONDS = 10
"""Span of the answers whose median and 99th percentile are one point of the picture."""


@dataclass(frozen=True)
class Sample:
    """One second: memory and disk in MB, ``lag`` in events, processor time as shares of a core."""

    second: float
    sent: int
    processed: int
    lag: int
    worker_mb: float
    redis_mb: float
    kafka_disk_mb: float
    redis_disk_mb: float
    worker_cpu: float
    redis_cpu: float
    kafka_cpu: float


@dataclass(frozen=True)
class Window:
    """The ages in ms of the answers that arrived in a window, which begins at ``second``."""

    second: float
    answers: int
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True)
class Summary:
    """A run: what was processed, and how memory, lag and latency behaved.

    ``growth_mb`` is by how much the memory of the worker differs between the second and the last quarter of the run,
    each by its median.
    """

    events: int
    processed: int
    dead_letters: int
    answers: int
    seconds: float
    rate: float
    worker_mb: float
    growth_mb: float
    redis_mb: float
    redis_growth_mb: float
    max_lag: int
    p50_ms: float
    p99_ms: float
    p999_ms: float
    worst_window_p99_ms: float
    worker_cpu_us: float
    redis_cpu_us: float
    kafka_cpu_us: float


def windows(at: Sequence[float], ages: Sequence[float], start: float) -> list[Window]:
    """Answers by window, those with at least two; ``at`` are times of arrival, and ``start`` is that of the run."""
    by_window: dict[int, list[float]] = {}
    for arrived, age in zip(at, ages, strict=True):
        by_window.setdefault(int((arrived - start) // WINDOW_SECONDS), []).append(age)
    return [
        Window(float(number * WINDOW_SECONDS), len(found), *quantiles(found, 0.5, 0.99))
        for number, found in sorted(by_window.items())
        if len(found) > 1
    ]


def quantiles(values: Sequence[float], *shares: float) -> list[float]:
    """Quantiles of at least two values."""
    cuts = statistics.quantiles(values, n=1_000, method="inclusive")
    return [cuts[round(share * 1_000) - 1] for share in shares]


def growth(values: Sequence[float]) -> float:
    """The median of the last quarter minus that of the second one, when a process has warmed up."""
    quarter = max(1, len(values) // 4)
    return statistics.median(values[-quarter:]) - statistics.median(values[quarter : 2 * quarter] or values[:1])
