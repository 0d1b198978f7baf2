"""Figures of running processes, from their metrics: latency by stage, outages, what is in use."""

import math
import urllib.request
from collections.abc import Iterable, Mapping
from http.client import HTTPException
from typing import NamedTuple

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from stream.monitoring import NAMESPACE

TIMEOUT_S = 1.5
MAX_BYTES = 5_000_000

Labels = tuple[tuple[str, str], ...]


class Latency(NamedTuple):
    """Times of one kind: how many, and the bounds in seconds that half and 99 % of them do not exceed."""

    name: str
    times: int
    p50: float
    p99: float


class ProcessFigures(NamedTuple):
    """The figures of one process; ``problem`` is why there are none."""

    name: str
    problem: str | None = None
    latencies: tuple[Latency, ...] = ()
    outages: tuple[tuple[str, float], ...] = ()
    model: str | None = None
    events: int | None = None
    dead_letters: int | None = None


def process_figures(name: str, registry: CollectorRegistry) -> ProcessFigures:
    """The figures of this process."""
    return read_figures(name, generate_latest(registry).decode())


def fetch_figures(address: str) -> ProcessFigures:
    """The figures of the process whose metrics are at ``host:port``."""
    try:
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=TIMEOUT_S) as answer:
            return read_figures(address, answer.read(MAX_BYTES).decode())
    except (OSError, ValueError, HTTPException) as error:  # urllib.error.URLError is an OSError
        return ProcessFigures(address, f"Its metrics cannot be read ({getattr(error, 'reason', error)}).")


def read_figures(name: str, text: str) -> ProcessFigures:
    """The figures in metrics as text.

    Raises:
        ValueError: They are no metrics.
    """
    samples: dict[str, dict[Labels, float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = tuple(sorted((label, value) for label, value in sample.labels.items()))
            samples.setdefault(sample.name.removeprefix(f"{NAMESPACE}_"), {})[key] = sample.value
    models = [dict(labels) for labels, value in samples.get("model_info", {}).items() if value]
    events = samples.get("events_total", {})
    return ProcessFigures(
        name,
        latencies=tuple(
            latency
            for metric, label, unlabelled in (
                ("latency_seconds", "", "from the event to the confirmed recommendation"),
                ("stage_seconds", "stage", ""),
                ("http_request_seconds", "route", ""),
            )
            for latency in _latencies(samples.get(f"{metric}_bucket", {}), label, unlabelled)
            if latency.times and not latency.name.endswith("/stream")  # as long as somebody follows
        ),
        outages=tuple(
            (dict(labels)["service"], value) for labels, value in samples.get("outage_seconds_total", {}).items()
        ),
        model=f"{models[0]['name']} {models[0]['version']}" if models else None,
        events=int(sum(events.values())) if events else None,
        dead_letters=int(sum(samples.get("dead_letters_total", {}).values())) if events else None,
    )


def _latencies(buckets: Mapping[Labels, float], label: str, unlabelled: str) -> Iterable[Latency]:
    by_name: dict[str, dict[float, float]] = {}
    for labels, value in buckets.items():
        found = dict(labels)
        by_name.setdefault(found.get(label, unlabelled), {})[float(found["le"])] = value
    for name, counts in sorted(by_name.items()):
        yield Latency(name, int(counts[math.inf]), quantile(counts, 0.5), quantile(counts, 0.99))


def quantile(counts: Mapping[float, float], share: float) -> float:
    """The upper bound of the bucket in which a share of a histogram is reached; infinite in the last one.

    ``counts`` are cumulative, by upper bound.
    """
    bounds = sorted(counts)
    return next((bound for bound in bounds if counts[bound] >= share * counts[bounds[-1]]), math.inf)
