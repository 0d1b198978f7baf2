"""A comparison for other programs: every metric as plain values for JSON, and the rankings as Parquet."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from state.wording import count
from training.evaluation.cases import MIN_CASES
from training.evaluation.compare import Comparison, MomentResult
from training.evaluation.intervals import Interval
from training.evaluation.metrics import reliability
from training.evaluation.model_metrics import (
    MetricSummary,
    ModelMetrics,
    metric_differences,
    metric_summaries,
    resampling,
)
from training.evaluation.prequential import EvaluationRun
from training.evaluation.split import format_day
from training.evaluation.variants import Variant, base_variant
from training.registry.gate import GATE_METRIC

RANKINGS = pa.schema(
    [
        ("model", pa.string()),
        ("moment", pa.string()),
        ("invoice_no", pa.string()),
        ("customer_id", pa.string()),
        ("stock_codes", pa.list_(pa.string())),
        ("probabilities", pa.list_(pa.float64())),
    ]
)
"""Columns of ``--predictions-out``: one row a model, moment and invoice, both lists best first."""

KINDS = ("repeat", "new", "cold", "rare")
"""Kinds of items with a separate recall."""

SEED = 0
"""Of the resampling: the same comparison has the same intervals."""

Gains = dict[str, dict[str, dict[str, float | None]]]
"""By metric and model ``mean``, ``low`` and ``high`` of a difference."""


def as_dict(comparison: Comparison) -> dict[str, Any]:
    """A comparison as plain values for JSON; a metric that is defined nowhere is None.

    Keys: ``warning``: why the figures mean nothing, else None; ``from``, ``to`` (half-open), ``task``, ``seeds``,
    ``invoices``, ``customers``; ``holding``: how many invoices hold items of a kind (``repeat``, ``new``, ``cold``,
    ``rare``); ``curves``: by model, seed and name one loss an epoch; ``moments``: by ``visit`` and ``emission``

    - ``models``: by name ``n``, ``mean`` and ``interval`` (95 %, over customers); ``by_length``: the same by the number
      of earlier invoices; ``reliability``: bins of equal mass of the first 20 items with the mean predicted
      probability (``said``), the share that was bought (``came``) and ``n``;
    - ``best`` by ndcg@10, and ``gains``: by metric and name, how far it is above each other one, with the interval;
    - ``ablations``: by metric and name, how far a variant (``basket_lstm:epochs=3``) is above its base
      (``variants.base_variant``).
    """
    result = next(iter(comparison.moments.values()))
    baskets = [case.new if comparison.task == "discover" else case.bought for case in result.cases]
    customers = len({case.customer_id for case in result.cases})
    return {
        "warning": _warning(len(result.cases), customers),
        "from": format_day(comparison.span.start),
        "to": format_day(comparison.span.end),
        "task": comparison.task,
        "seeds": list(comparison.seeds),
        "invoices": len(result.cases),
        "customers": customers,
        "holding": {
            kind: sum(bool(getattr(case, kind) & basket) for case, basket in zip(result.cases, baskets, strict=True))
            for kind in KINDS
        },
        "curves": {
            name: {str(seed): {part: list(values) for part, values in curves.items()} for seed, curves in each.items()}
            for name, each in comparison.curves.items()
        },
        "moments": {moment: _moment(each, comparison.variants) for moment, each in comparison.moments.items()},
    }


def _warning(cases: int, customers: int) -> str | None:
    """A sentence where there are too few invoices, or customers to resample, for a figure to mean anything."""
    if min(cases, customers) >= MIN_CASES:
        return None
    return (
        f"These figures and intervals mean nothing: only {count(cases, 'invoice')} of {count(customers, 'customer')} "
        f"could be predicted, and chance decides with fewer than {MIN_CASES} of either (nextbasket train refuses fewer "
        f"than {MIN_CASES} invoices). Choose a longer span or give --data with more customers."
    )


def _moment(result: MomentResult, variants: Mapping[str, Variant]) -> dict[str, Any]:
    customers = resampling(result.cases, seed=SEED)
    summaries = {name: metric_summaries(metrics, result.cases, customers) for name, metrics in result.metrics.items()}
    best = max(summaries, key=lambda name: (_sortable(summaries[name]["all"].mean[GATE_METRIC]), name))
    gains = {
        name: metric_differences(result.metrics[best], metrics, customers)
        for name, metrics in result.metrics.items()
        if name != best
    }
    bases = {name: base_variant(variant, list(variants.values())) for name, variant in variants.items()}
    ablations = {
        name: metric_differences(result.metrics[name], result.metrics[str(base)], customers)
        for name, base in bases.items()
        if base is not None
    }
    return {
        "best": best,
        "models": {
            name: {
                **_summary(groups["all"]),
                "by_length": {group: _summary(each) for group, each in groups.items() if group != "all"},
                "reliability": _reliability(result.metrics[name]),
            }
            for name, groups in summaries.items()
        },
        "gains": _by_metric(gains),
        "ablations": _by_metric(ablations),
    }


def _reliability(metrics: ModelMetrics) -> list[dict[str, float]]:
    bins = reliability(metrics.predicted, metrics.outcomes)
    return [{"said": each.predicted, "came": each.observed, "n": each.n} for each in bins]


def _summary(each: MetricSummary) -> dict[str, Any]:
    return {
        "n": each.n,
        "mean": _finite(each.mean),
        "interval": {metric: None if math.isnan(low) else [low, high] for metric, (low, high) in each.interval.items()},
    }


def _by_metric(differences: Mapping[str, Mapping[str, Interval]]) -> Gains:
    """Differences by model and metric, turned into those by metric and model."""
    by_metric: Gains = {}
    for name, intervals in differences.items():
        for metric, interval in intervals.items():
            by_metric.setdefault(metric, {})[name] = _finite(interval._asdict())
    return by_metric


def _finite(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def _sortable(value: float) -> float:
    return value if math.isfinite(value) else -math.inf


def write_rankings(runs: Sequence[EvaluationRun], path: Path) -> int:
    """Write the rankings of runs, one a moment, as Parquet; returns the number of rows.

    Raises:
        OSError: The file cannot be written.
    """
    rows = [
        {
            "model": name,
            "moment": run.moment,
            "invoice_no": case.invoice_no,
            "customer_id": case.customer_id,
            "stock_codes": ranking.stock_codes,
            "probabilities": ranking.probabilities,
        }
        for run in runs
        for name, rankings in run.rankings.items()
        for case, ranking in zip(run.cases, rankings, strict=True)
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=RANKINGS), path)
    return len(rows)
