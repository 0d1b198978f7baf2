"""Time by stage, from the metrics of a worker."""

import re
import urllib.request

from bench.stream.variant import WorkerVariant

Stages = dict[str, tuple[float, float]]
"""Seconds, and how often, by stage."""

_SAMPLE = re.compile(r'nextbasket_stage_seconds_(sum|count)\{stage="(\w+)"\} (\S+)')


def stages(variant: WorkerVariant) -> Stages:
    """The stages so far; {} for a worker without metrics."""
    if not variant.metrics_port:
        return {}
    text = metrics_text(variant.metrics_port)
    found: dict[str, dict[str, float]] = {}
    for kind, stage, value in _SAMPLE.findall(text):
        found.setdefault(stage, {})[kind] = float(value)
    return {stage: (values["sum"], values["count"]) for stage, values in found.items()}


def metrics_text(port: int) -> str:
    """What a worker's port for metrics shows."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as response:
        return str(response.read().decode())


def sample(text: str, name: str) -> float:
    """A sample of the metrics by its name and labels as they are printed; 0 where there is none."""
    start = f"{name} "
    return next((float(line[len(start) :]) for line in text.splitlines() if line.startswith(start)), 0.0)


def between(before: Stages, after: Stages) -> Stages:
    """What was spent since."""
    spent = {}
    for stage, (seconds, times) in after.items():
        seconds_before, times_before = before.get(stage, (0.0, 0.0))
        if times > times_before:
            spent[stage] = (seconds - seconds_before, times - times_before)
    return spent
