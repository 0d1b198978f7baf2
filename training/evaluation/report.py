"""What people and programs read of a comparison: tables for the terminal, JSON, and the rankings as Parquet."""

import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from rich.table import Table

from training.evaluation.compare import Comparison
from training.evaluation.measure import LENGTHS, Figures, figures, resampling
from training.evaluation.split import day

SHOWN = (
    "recall@10",
    "ndcg@10",
    "hit@1",
    "hit@10",
    "recall@20",
    "recall@20_repeat",
    "recall@20_new",
    "coverage@10",
    "ece@20",
)
SHOWN_DISCOVER = ("recall@20", "ndcg@10", "hit@10", "recall@20_cold", "coverage@10", "ece@20")
"""Columns of the table in the terminal; JSON has every metric."""

GAINS = ("ndcg@10", "recall@10", "hit@1", "recall@20_new")
"""Metrics for which the distance to the best model is given with its interval."""

DECISIVE = "ndcg@10"
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

SEED = 0
"""Of the resampling: the same comparison has the same intervals."""


def as_dict(comparison: Comparison) -> dict[str, Any]:
    """A comparison as plain values for JSON; a figure that is defined nowhere is None.

    Keys: ``from``, ``to`` (half-open), ``task``, ``moment``, ``seeds``, ``invoices``, ``customers``; ``models``: by
    name ``mean``, ``interval`` (95 %, over customers) and ``by_length`` (earlier invoices); ``best``; ``gains``: by
    metric and name, how far the best model by ndcg@10 is above each other one, with its interval.
    """
    cases = comparison.cases
    draws = resampling(cases, seed=SEED)
    held = {name: figures(measured, cases, draws) for name, measured in comparison.measured.items()}
    best = max(held, key=lambda name: (_number(held[name].mean[DECISIVE]), name))
    gains: dict[str, dict[str, dict[str, float | None]]] = {metric: {} for metric in GAINS}
    for metric in GAINS:
        for name, measured in comparison.measured.items():
            if name != best:
                ahead = comparison.measured[best].values[metric] - measured.values[metric]
                gains[metric][name] = _finite(draws.interval(ahead)._asdict())
    return {
        "from": day(comparison.span.start),
        "to": day(comparison.span.end),
        "task": comparison.task,
        "moment": comparison.moment,
        "seeds": list(comparison.seeds),
        "invoices": len(cases),
        "customers": len({case.customer_id for case in cases}),
        "models": {name: _model(each) for name, each in held.items()},
        "best": best,
        "gains": gains,
    }


def _model(each: Figures) -> dict[str, Any]:
    return {
        "mean": _finite(each.mean),
        "interval": {metric: None if math.isnan(low) else [low, high] for metric, (low, high) in each.interval.items()},
        "by_length": {group: _finite(values) for group, values in each.by_length.items()},
    }


def _finite(values: dict[str, float]) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def _number(value: float) -> float:
    return value if math.isfinite(value) else -math.inf


def tables(report: dict[str, Any]) -> list[Table]:
    """Tables of what ``as_dict`` gave: the models, how far the best is ahead, and ndcg@10 by length of history."""
    columns = SHOWN_DISCOVER if report["task"] == "discover" else SHOWN
    seeds = len(report["seeds"])
    title = (
        f"{report['task']}, {report['from']} to {report['to']} (not included), {report['moment']}: "
        f"{report['invoices']:,} invoices of {report['customers']:,} customers, {seeds} seed{'s' if seeds > 1 else ''}"
    )
    main = Table(title=title, title_justify="left")
    main.add_column("model", no_wrap=True)
    for metric in columns:
        main.add_column(metric, justify="right")
    for name, model in report["models"].items():
        main.add_row(name, *(_written(model["mean"][metric]) for metric in columns))
    found = [main]
    if len(report["models"]) > 1:
        ahead = Table(title=f"{report['best']} is ahead of … by (95 % interval over customers)", title_justify="left")
        ahead.add_column("model", no_wrap=True)
        for metric in GAINS:
            ahead.add_column(metric, justify="right")
        for name in report["models"]:
            if name != report["best"]:
                ahead.add_row(name, *(_gain(report["gains"][metric][name]) for metric in GAINS))
        found.append(ahead)
    lengths = Table(title=f"{DECISIVE} by the number of earlier invoices", title_justify="left")
    lengths.add_column("model", no_wrap=True)
    sizes = next(iter(report["models"].values()))["by_length"]
    for group, _, _ in LENGTHS:
        lengths.add_column(f"{group} (n = {sizes[group]['n']:,.0f})", justify="right")
    for name, model in report["models"].items():
        lengths.add_row(name, *(_written(model["by_length"][group][DECISIVE]) for group, _, _ in LENGTHS))
    return [*found, lengths]


def _written(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}".replace("0.", ".", 1)


def _gain(gain: dict[str, float | None]) -> str:
    mean, low, high = gain["mean"], gain["low"], gain["high"]
    if mean is None or low is None or high is None:
        return "–"
    return f"{mean:+.4f} [{low:+.4f}, {high:+.4f}]".replace("0.", ".")


def write_rankings(comparison: Comparison, path: Path) -> int:
    """Write the rankings of the first seed as Parquet; returns the number of rows.

    Raises:
        OSError: The file cannot be written.
    """
    run = comparison.first
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
