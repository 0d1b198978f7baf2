"""Gate: whether a candidate may serve. It must beat every baseline and not fall behind the champion."""

import math
from collections.abc import Mapping

import msgspec

Metrics = Mapping[str, float]
"""Metric name, as in the manifest (``ndcg@10``), to value."""

GATE_METRIC = "ndcg@10"
"""The metric that decides; the others are reported beside it."""


class Decision(msgspec.Struct, frozen=True):
    """Whether the candidate is promoted, and why, as one sentence for the operator.

    ``fallback`` names the baseline that is to serve where there is no champion and the candidate did not beat it.
    """

    promote: bool
    reason: str
    fallback: str | None = None


def decide(candidate: Metrics, champion: Metrics | None, baselines: Mapping[str, Metrics]) -> Decision:
    """Decide on a candidate. All metrics are means over the same moments.

    The candidate is promoted when its ``ndcg@10`` is above that of the best baseline and not below the champion's.
    Where there is no champion, the better of candidate and baselines becomes it; of equals, the baseline, which is
    simpler. A value that is missing or not a number is never good enough.

    Args:
        candidate: Of the model that was just fitted.
        champion: Of the model that serves; None where there is none.
        baselines: By the baseline's name.
    """
    reached = _value(candidate)
    if reached is None:
        return Decision(
            False, f"The candidate has no {GATE_METRIC}.", _best(baselines)[0] if champion is None else None
        )
    rival, mark = _best(baselines)
    if rival is not None and reached <= mark:
        reason = f"The candidate's {GATE_METRIC} of {reached:.4f} does not beat the {mark:.4f} of {rival}."
        return Decision(False, reason, rival if champion is None else None)
    beats = f"beats the {mark:.4f} of {rival}, the best baseline" if rival is not None else "meets no baseline"
    if champion is None:
        return Decision(True, f"The candidate's {GATE_METRIC} of {reached:.4f} {beats}; there is no champion yet.")
    held = _value(champion)
    if held is not None and reached < held:
        return Decision(False, f"The candidate's {GATE_METRIC} of {reached:.4f} is below the champion's {held:.4f}.")
    against = f"is not below the champion's {held:.4f}" if held is not None else "meets a champion without one"
    return Decision(True, f"The candidate's {GATE_METRIC} of {reached:.4f} {beats}, and {against}.")


def _best(baselines: Mapping[str, Metrics]) -> tuple[str | None, float]:
    """The baseline with the highest value, by name among equals; (None, -inf) where none has a value."""
    values = {name: value for name, metrics in baselines.items() if (value := _value(metrics)) is not None}
    if not values:
        return None, -math.inf
    best = min(values, key=lambda name: (-values[name], name))
    return best, values[best]


def _value(metrics: Metrics) -> float | None:
    value = metrics.get(GATE_METRIC, math.nan)
    return value if math.isfinite(value) else None
