"""From rankings to figures: each metric invoice by invoice, then the mean, with intervals and by length of history."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.evaluation.intervals import Interval, Resampling
from training.evaluation.metrics import coverage, expected_calibration_error, hit_at, ndcg_at, recall_at
from training.evaluation.prequential import EvaluationCase, EvaluationRun, Ranking

METRICS_PER_INVOICE = (
    "hit@1",
    "recall@5",
    "ndcg@5",
    "recall@10",
    "ndcg@10",
    "hit@10",
    "recall@20",
    "ndcg@20",
    "hit@20",
    "recall@20_repeat",
    "recall@20_new",
    "recall@20_cold",
    "recall@20_rare",
)
"""Metrics with one value an invoice, in the order of the report."""

CALIBRATION_DEPTH = 20
"""Calibration is judged over this many first items of every ranking."""

COVERAGE_DEPTH = 10

HISTORY_LENGTHS: tuple[tuple[str, int, int], ...] = (
    *(("0", 0, 0), ("1", 1, 1), ("2", 2, 2)),
    *(("3-5", 3, 5), ("6+", 6, 1 << 30)),
)
"""Groups by the number of earlier purchase invoices: name, least, most; the first only where such are judged."""

Values = dict[str, NDArray[np.float64]]
"""Metric to one value a case ``[cases]``, NaN where it is not defined there."""


class ModelMetrics(NamedTuple):
    """One model on one run: values invoice by invoice, and what is only defined over all of them.

    ``said`` are the probabilities of the first items of every ranking and ``came``, 1 or 0, whether they were bought:
    ``[first items of all rankings]`` both.
    """

    values: Values
    overall: dict[str, float]
    said: NDArray[np.float64]
    came: NDArray[np.float64]


class MetricSummary(NamedTuple):
    """What is reported of one model over some invoices: their number, and means with 95 % intervals where they vary."""

    n: int
    mean: dict[str, float]
    interval: dict[str, tuple[float, float]]


def model_metrics(run: EvaluationRun, model: str) -> ModelMetrics:
    """All metrics of one model on one run.

    At the task ``discover`` what was wanted is what was new; known items are in no ranking.
    """
    rankings = run.rankings[model]
    discover = run.task == "discover"
    wanted = [case.new if discover else case.wanted for case in run.cases]
    rows = [_row(case, basket, ranked) for case, basket, ranked in zip(run.cases, wanted, rankings, strict=True)]
    columns = np.asarray(rows, np.float64).reshape(len(rows), len(METRICS_PER_INVOICE))
    values = {name: columns[:, place] for place, name in enumerate(METRICS_PER_INVOICE)}
    said = np.asarray([p for ranked in rankings for p in ranked.probabilities[:CALIBRATION_DEPTH]], np.float64)
    came = np.asarray(
        [
            code in basket
            for basket, ranked in zip(wanted, rankings, strict=True)
            for code in ranked.stock_codes[:CALIBRATION_DEPTH]
        ],
        np.float64,
    )
    overall = {
        "coverage@10": coverage([ranked.stock_codes for ranked in rankings], run.catalogue, COVERAGE_DEPTH),
        "ece@20": expected_calibration_error(said, came),
    }
    return ModelMetrics(values, overall, said, came)


def _row(case: EvaluationCase, basket: frozenset[str], ranked: Ranking) -> list[float]:
    codes = ranked.stock_codes
    return [
        hit_at(codes, basket, 1),
        recall_at(codes, basket, 5),
        ndcg_at(codes, basket, 5),
        recall_at(codes, basket, 10),
        ndcg_at(codes, basket, 10),
        hit_at(codes, basket, 10),
        recall_at(codes, basket, 20),
        ndcg_at(codes, basket, 20),
        hit_at(codes, basket, 20),
        recall_at(codes, case.repeat, 20),
        recall_at(codes, case.new, 20),
        recall_at(codes, case.cold, 20),
        recall_at(codes, case.rare & basket, 20),
    ]


def average_over_seeds(measured: Sequence[ModelMetrics]) -> ModelMetrics:
    """The mean over seeds, value by value: all seeds met the same cases in the same order.

    Predictions are pooled, for a reliability plot of all of them; the calibration error is the mean of the seeds'.
    """
    first = measured[0]
    values = {name: np.mean([each.values[name] for each in measured], axis=0) for name in first.values}
    overall = {name: float(np.mean([each.overall[name] for each in measured])) for name in first.overall}
    said, came = ([getattr(each, part) for each in measured] for part in ("said", "came"))
    return ModelMetrics(values, overall, np.concatenate(said), np.concatenate(came))


def metric_summaries(
    measured: ModelMetrics, cases: Sequence[EvaluationCase], draws: Resampling
) -> dict[str, MetricSummary]:
    """Means with intervals over customers: of all invoices, and by length of history.

    Args:
        measured: The values of one model.
        cases: The cases they belong to, in the same order.
        draws: Of the customers of these cases.

    Returns:
        By group: ``all``, which alone has what is only defined over all invoices, then those of ``HISTORY_LENGTHS``,
        ``0`` only where there are first purchase invoices.
    """
    earlier = np.asarray([case.earlier for case in cases], np.int64)
    groups = {"all": np.ones(len(cases), np.bool_)}
    groups.update(
        (group, (earlier >= least) & (earlier <= most))
        for group, least, most in HISTORY_LENGTHS
        if most > 0 or (earlier == 0).any()
    )
    names = list(measured.values)
    columns = np.stack([measured.values[name] for name in names], axis=1)
    parts = [np.where(inside[:, None], columns, np.nan) for inside in groups.values()]
    drawn = draws.intervals(np.concatenate(parts, axis=1))
    held: dict[str, MetricSummary] = {}
    for place, (group, inside) in enumerate(groups.items()):
        own = dict(zip(names, drawn[place * len(names) : (place + 1) * len(names)], strict=True))
        mean = {name: interval.mean for name, interval in own.items()} | (measured.overall if group == "all" else {})
        ends = {name: (interval.low, interval.high) for name, interval in own.items()}
        held[group] = MetricSummary(int(inside.sum()), mean, ends)
    return held


def metric_differences(of: ModelMetrics, to: ModelMetrics, draws: Resampling) -> dict[str, Interval]:
    """How far one model is above another by each of ``METRICS_PER_INVOICE``, invoice by invoice, with intervals."""
    ahead = np.stack([of.values[name] - to.values[name] for name in of.values], axis=1)
    return dict(zip(of.values, draws.intervals(ahead), strict=True))


def resampling(cases: Sequence[EvaluationCase], *, seed: int) -> Resampling:
    """Draws of the customers of some cases; the same seed draws the same."""
    return Resampling(customer_indices(cases), generator=np.random.default_rng(seed))


def customer_indices(cases: Sequence[EvaluationCase]) -> NDArray[np.int64]:
    """A number for the customer of each case, int64 ``[cases]``."""
    numbers: dict[str, int] = {}
    return np.asarray([numbers.setdefault(case.customer_id, len(numbers)) for case in cases], np.int64)


def metric_means(measured: Mapping[str, ModelMetrics]) -> dict[str, dict[str, float]]:
    """By model the mean of every metric, without intervals: what a manifest holds and the gate decides by.

    A metric that is defined nowhere is left out: JSON knows no NaN.
    """
    table: dict[str, dict[str, float]] = {}
    for model, each in measured.items():
        held = {name: _mean(values) for name, values in each.values.items()} | each.overall
        table[model] = {name: value for name, value in held.items() if np.isfinite(value)}
    return table


def _mean(values: NDArray[np.float64]) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")
