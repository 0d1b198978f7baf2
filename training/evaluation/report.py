"""What programs read of a comparison: every figure as plain values for JSON, and the rankings as Parquet."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from training.evaluation.compare import Comparison, MomentResult
from training.evaluation.intervals import Interval
from training.evaluation.metrics import reliability
from training.evaluation.model_metrics import MetricSummary, metric_differences, metric_summaries, resampling
from training.evaluation.prequential import EvaluationRun
from training.evaluation.split import format_day
from training.evaluation.variants import Variant, base_variant

GATE_METRIC = "ndcg@10"
"""The best model is the best by this."""

RANKINGS = pa.schema(
    [
        ("model", pa.string()),
        ("invoice_no", pa.string()),
        ("customer_id", pa.string()),
        ("stock_codes", pa.list_(pa.string())),
        ("probabilities", pa.list_(pa.float64())),
    ]
)
"""Columns of ``--predictions-out``: one row a model and invoice, both lists best first."""

KINDS = ("repeat", "new", "cold", "rare")
"""Items of a case that have a recall of their own."""

SEED = 0
"""Of the resampling: the same comparison has the same intervals."""

Gains = dict[str, dict[str, dict[str, float | None]]]
"""By metric and model ``mean``, ``low`` and ``high`` of a difference."""


def as_dict(comparison: Comparison) -> dict[str, Any]:
    """A comparison as plain values for JSON; a figure that is defined nowhere is None.

    Keys: ``from``, ``to`` (half-open), ``task``, ``seeds``, ``invoices``, ``customers``; ``holding``: how many invoices
    hold items of a kind (``repeat``, ``new``, ``cold``, ``rare``); ``curves``: by model, seed and name one loss an
    epoch; ``moments``: by ``visit`` and ``emission``

    - ``models``: by name ``n``, ``mean`` and ``interval`` (95 %, over customers); ``by_length``: the same by the number
      of earlier invoices; ``reliability``: bins of equal mass of the first 20 items with ``said``, ``came`` and ``n``;
    - ``best`` by ndcg@10, and ``gains``: by metric and name, how far it is above each other one, with the interval;
    - ``ablations``: by metric and name, how far a variant (``basket_lstm:without=text``) is above what it
      is one of (``variants.base_variant``).
    """
    some = next(iter(comparison.moments.values()))
    wanted = [case.new if comparison.task == "discover" else case.wanted for case in some.cases]
    return {
        "from": format_day(comparison.span.start),
        "to": format_day(comparison.span.end),
        "task": comparison.task,
        "seeds": list(comparison.seeds),
        "invoices": len(some.cases),
        "customers": len({case.customer_id for case in some.cases}),
        "holding": {
            kind: sum(bool(getattr(case, kind) & basket) for case, basket in zip(some.cases, wanted, strict=True))
            for kind in KINDS
        },
        "curves": {
            name: {str(seed): {part: list(values) for part, values in curves.items()} for seed, curves in each.items()}
            for name, each in comparison.curves.items()
        },
        "moments": {when: _judged(each, comparison.variants) for when, each in comparison.moments.items()},
    }


def _judged(judged: MomentResult, variants: Mapping[str, Variant]) -> dict[str, Any]:
    draws = resampling(judged.cases, seed=SEED)
    held = {name: metric_summaries(measured, judged.cases, draws) for name, measured in judged.measured.items()}
    best = max(held, key=lambda name: (_number(held[name]["all"].mean[GATE_METRIC]), name))
    ahead = {
        name: metric_differences(judged.measured[best], measured, draws)
        for name, measured in judged.measured.items()
        if name != best
    }
    bases = {name: base_variant(variant, list(variants.values())) for name, variant in variants.items()}
    ablated = {
        name: metric_differences(judged.measured[name], judged.measured[str(other)], draws)
        for name, other in bases.items()
        if other is not None
    }
    return {
        "best": best,
        "models": {
            name: {
                **_figures(each["all"]),
                "by_length": {group: _figures(part) for group, part in each.items() if group != "all"},
                "reliability": [
                    part._asdict() for part in reliability(judged.measured[name].said, judged.measured[name].came)
                ],
            }
            for name, each in held.items()
        },
        "gains": _by_metric(ahead),
        "ablations": _by_metric(ablated),
    }


def _figures(each: MetricSummary) -> dict[str, Any]:
    return {
        "n": each.n,
        "mean": _finite(each.mean),
        "interval": {metric: None if math.isnan(low) else [low, high] for metric, (low, high) in each.interval.items()},
    }


def _by_metric(differences: Mapping[str, Mapping[str, Interval]]) -> Gains:
    turned: Gains = {}
    for name, by_metric in differences.items():
        for metric, interval in by_metric.items():
            turned.setdefault(metric, {})[name] = _finite(interval._asdict())
    return turned


def _finite(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def _number(value: float) -> float:
    return value if math.isfinite(value) else -math.inf


def write_rankings(run: EvaluationRun, path: Path) -> int:
    """Write the rankings of a run as Parquet; returns the number of rows.

    Raises:
        OSError: The file cannot be written.
    """
    rows = [
        {
            "model": name,
            "invoice_no": case.invoice_no,
            "customer_id": case.customer_id,
            "stock_codes": ranking.stock_codes,
            "probabilities": ranking.probabilities,
        }
        for name, rankings in run.rankings.items()
        for case, ranking in zip(run.cases, rankings, strict=True)
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=RANKINGS), path)
    return len(rows)
