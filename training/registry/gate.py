"""Gate: whether a candidate may serve. It must beat every baseline and be no worse than the champion."""

import math
from collections.abc import Mapping

import msgspec

Metrics = Mapping[str, float]
"""Metric name, as in the manifest (``ndcg@10``), to value."""

GATE_METRIC = "ndcg@10"
"""The metric that the gate compares; models are ordered by it in reports too."""


class Decision(msgspec.Struct, frozen=True):
    """Whether the candidate is promoted, and the reason, as one sentence for the operator.

    ``fallback`` names the baseline to promote where there is no champion and the candidate does not beat it.
    """

    promote: bool
    reason: str
    fallback: str | None = None


def decide(candidate: Metrics, champion: Metrics | None, baselines: Mapping[str, Metrics]) -> Decision:
    """Decide on a candidate. All metrics are means over the same cases.

    The candidate is promoted when its ``ndcg@10`` is above that of the best baseline and not below the champion's.
    Where there is no champion, the better of candidate and baselines becomes it; of equals, the baseline, which is
    simpler. A value that is missing or not finite is never good enough.

    Args:
        candidate: Of the model that was just fitted.
        champion: Of the model that serves; None where there is none.
        baselines: By the baseline's name.
    """
    value = _value(candidate)
    baseline, to_beat = _best(baselines)
    if value is None:
        return Decision(False, f"The candidate has no {GATE_METRIC}.", baseline if champion is None else None)
    if baseline is not None and value <= to_beat:
        reason = f"The candidate's {GATE_METRIC} of {value:.4f} does not beat the {to_beat:.4f} of {baseline}."
        return Decision(False, reason, baseline if champion is None else None)
    beats = "beats no baseline, since none was given"
    if baseline is not None:
        beats = f"beats the {to_beat:.4f} of {baseline}, the best baseline"
    if champion is None:
        return Decision(True, f"The candidate's {GATE_METRIC} of {value:.4f} {beats}; there is no champion yet.")
    of_champion = _value(champion)
    if of_champion is None:
        reason = f"The candidate's {GATE_METRIC} of {value:.4f} {beats}; the champion has no {GATE_METRIC}."
        return Decision(True, reason)
    if value < of_champion:
        return Decision(
            False, f"The candidate's {GATE_METRIC} of {value:.4f} is below the champion's {of_champion:.4f}."
        )
    return Decision(
        True,
        f"The candidate's {GATE_METRIC} of {value:.4f} {beats}, and is not below the champion's {of_champion:.4f}.",
    )


def _best(baselines: Mapping[str, Metrics]) -> tuple[str | None, float]:
    """The baseline with the highest value, by name among equals; (None, -inf) where none has a value."""
    values = {name: value for name, metrics in baselines.items() if (value := _value(metrics)) is not None}
    if not values:
        return None, -math.inf
    best = min(values, key=lambda name: (-values[name], name))
    return best, values[best]


def _value(metrics: Metrics) -> float | None:
    """The gate's metric; None where it is missing or not finite."""
    value = metrics.get(GATE_METRIC, math.nan)
    return value if math.isfinite(value) else None
