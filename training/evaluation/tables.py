"""A comparison as tables of text, for the terminal and for the page alike."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from state.wording import count
from training.registry.gate import GATE_METRIC

SHOWN = (
    "recall@5",
    "ndcg@5",
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
SHOWN_DISCOVER = ("recall@20", "ndcg@10", "hit@10", "recall@20_cold", "recall@20_rare", "coverage@10", "ece@20")
"""Columns of the table; JSON has every metric."""

GAINS = ("ndcg@10", "recall@10", "hit@1", "recall@20_new")
ABLATED = (*GAINS, "recall@20_rare")
"""Metrics whose differences are shown."""


class Cells(NamedTuple):
    """A table: a sentence, headings, and rows that begin with a model's name."""

    caption: str
    columns: list[str]
    rows: list[list[str]]


def tables(report: Mapping[str, Any], moment: str) -> list[Cells]:
    """All tables of one moment of what ``report.as_dict`` gave."""
    result = report["moments"][moment]
    found = [means(report, moment)]
    if result["gains"]:
        found.append(gains(report, moment))
    found.append(lengths(report, moment))
    if result["ablations"]:
        found.append(ablations(report, moment))
    return found


def means(report: Mapping[str, Any], moment: str) -> Cells:
    """The models and their metrics."""
    metrics = SHOWN_DISCOVER if report["task"] == "discover" else SHOWN
    caption = (
        f"{report['task']}, {report['from']} to {report['to']} (not included), {moment}: "
        f"{count(report['invoices'], 'invoice')} of {count(report['customers'], 'customer')}, "
        f"{count(len(report['seeds']), 'seed')}"
    )
    models = report["moments"][moment]["models"]
    rows = [[name, *(format_metric(model["mean"][metric]) for metric in metrics)] for name, model in models.items()]
    return Cells(caption, ["model", *metrics], rows)


def gains(report: Mapping[str, Any], moment: str) -> Cells:
    """How far the best model is ahead of every other one."""
    result = report["moments"][moment]
    return _differences(f"At the {moment} {result['best']} is ahead of … by (95 % interval)", GAINS, result["gains"])


def lengths(report: Mapping[str, Any], moment: str) -> Cells:
    """The gate's metric by length of history."""
    models = report["moments"][moment]["models"]
    sizes = next(iter(models.values()))["by_length"]
    columns = ["model", *(f"{group} (n = {size['n']:,})" for group, size in sizes.items())]
    rows = [
        [name, *(format_metric(model["by_length"][group]["mean"][GATE_METRIC]) for group in sizes)]
        for name, model in models.items()
    ]
    return Cells(f"{GATE_METRIC} at the {moment} by the number of earlier invoices", columns, rows)


def ablations(report: Mapping[str, Any], moment: str) -> Cells:
    """How far every variant is above its base (``variants.base_variant``)."""
    differences = report["moments"][moment]["ablations"]
    return _differences(f"At the {moment} a variant is above its base by (95 % interval)", ABLATED, differences)


def _differences(caption: str, metrics: Sequence[str], by_metric: Mapping[str, Any]) -> Cells:
    rows = [
        [name, *(format_difference(by_metric[metric][name]) for metric in metrics)] for name in by_metric[metrics[0]]
    ]
    return Cells(caption, ["model", *metrics], rows)


def format_metric(value: float | None) -> str:
    """A value between 0 and 1 as in docs/explanation/evaluation.md: four digits, no zero before the point."""
    return "–" if value is None else f"{value:.4f}".replace("0.", ".", 1)


def format_difference(gain: Mapping[str, float | None]) -> str:
    """A difference with its interval: ``+.0101 [+.0068, +.0143]``."""
    mean, low, high = gain["mean"], gain["low"], gain["high"]
    if mean is None or low is None or high is None:
        return "–"
    return f"{mean:+.4f} [{low:+.4f}, {high:+.4f}]".replace("0.", ".")
