"""From rankings to metrics: each one invoice by invoice, then its mean, with intervals and by length of history."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from state.domain.ranking_metrics import hit_at, ndcg_at, recall_at
from training.evaluation.cases import EvaluationCase
from training.evaluation.intervals import Interval, Resampling
from training.evaluation.metrics import coverage, expected_calibration_error
from training.evaluation.prequential import EvaluationRun, Ranking
from training.serving.scorer import CALIBRATION_DEPTH

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

COVERAGE_DEPTH = 10

HISTORY_LENGTHS: tuple[tuple[str, int, int], ...] = (
    *(("0", 0, 0), ("1", 1, 1), ("2", 2, 2)),
    *(("3-5", 3, 5), ("6+", 6, 1 << 30)),
)
"""Groups by the number of earlier purchase invoices: name, minimum, maximum. ``0`` exists only where first purchase
invoices are evaluated."""

PerInvoice = dict[str, NDArray[np.float64]]
"""Metric to one value a case ``[cases]``, NaN where it is not defined there."""


class ModelMetrics(NamedTuple):
    """The metrics of one model on one run.

    Attributes:
        per_invoice: Metrics with a value for each invoice.
        overall: Metrics that are only defined over all invoices (``coverage@10``, ``ece@20``).
        predicted: Probabilities of the first ``CALIBRATION_DEPTH`` items of all rankings ``[items]``.
        outcomes: 1 where that item was bought, else 0 ``[items]``.
    """

    per_invoice: PerInvoice
    overall: dict[str, float]
    predicted: NDArray[np.float64]
    outcomes: NDArray[np.float64]


class MetricSummary(NamedTuple):
    """What is reported of one model over ``n`` invoices: means, and 95 % intervals of the metrics per invoice."""

    n: int
    mean: dict[str, float]
    interval: dict[str, tuple[float, float]]


def model_metrics(run: EvaluationRun, model: str) -> ModelMetrics:
    """All metrics of one model on one run.

    For the task ``discover`` only new items count as bought; its rankings hold no items that the customer knows.
    """
    rankings = run.rankings[model]
    discover = run.task == "discover"
    baskets = [case.new if discover else case.bought for case in run.cases]
    rows = [_row(case, basket, ranked) for case, basket, ranked in zip(run.cases, baskets, rankings, strict=True)]
    columns = np.asarray(rows, np.float64).reshape(len(rows), len(METRICS_PER_INVOICE))
    per_invoice = {name: columns[:, index] for index, name in enumerate(METRICS_PER_INVOICE)}
    predicted = np.asarray([p for ranked in rankings for p in ranked.probabilities[:CALIBRATION_DEPTH]], np.float64)
    outcomes = np.asarray(
        [
            code in basket
            for basket, ranked in zip(baskets, rankings, strict=True)
            for code in ranked.stock_codes[:CALIBRATION_DEPTH]
        ],
        np.float64,
    )
    overall = {
        "coverage@10": coverage([ranked.stock_codes for ranked in rankings], run.catalogue_size, COVERAGE_DEPTH),
        "ece@20": expected_calibration_error(predicted, outcomes),
    }
    return ModelMetrics(per_invoice, overall, predicted, outcomes)


def _row(case: EvaluationCase, basket: frozenset[str], ranked: Ranking) -> list[float]:
    """The values of ``METRICS_PER_INVOICE``, in their order."""
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


def average_over_seeds(seeds: Sequence[ModelMetrics]) -> ModelMetrics:
    """The mean over seeds, value by value: all seeds have the same cases in the same order.

    Predictions are pooled, for a reliability plot of all of them; the calibration error is the mean of the seeds'.
    """
    first = seeds[0]
    per_invoice = {name: np.mean([each.per_invoice[name] for each in seeds], axis=0) for name in first.per_invoice}
    overall = {name: float(np.mean([each.overall[name] for each in seeds])) for name in first.overall}
    predicted = np.concatenate([each.predicted for each in seeds])
    outcomes = np.concatenate([each.outcomes for each in seeds])
    return ModelMetrics(per_invoice, overall, predicted, outcomes)


def metric_summaries(
    metrics: ModelMetrics, cases: Sequence[EvaluationCase], customers: Resampling
) -> dict[str, MetricSummary]:
    """Means with intervals over customers: of all invoices, and by length of history.

    Args:
        metrics: Of one model.
        cases: The cases they belong to, in the same order.
        customers: Resamples of the customers of these cases.

    Returns:
        By group: ``all``, which alone has the overall metrics, then those of ``HISTORY_LENGTHS``, ``0`` only where
        there are first purchase invoices.
    """
    earlier = np.asarray([case.earlier_invoices for case in cases], np.int64)
    groups = {"all": np.ones(len(cases), np.bool_)}
    groups.update(
        (group, (earlier >= minimum) & (earlier <= maximum))
        for group, minimum, maximum in HISTORY_LENGTHS
        if maximum > 0 or (earlier == 0).any()
    )
    names = list(metrics.per_invoice)
    columns = np.stack([metrics.per_invoice[name] for name in names], axis=1)
    masked = [np.where(members[:, None], columns, np.nan) for members in groups.values()]
    intervals = customers.intervals(np.concatenate(masked, axis=1))
    summaries: dict[str, MetricSummary] = {}
    for index, (group, members) in enumerate(groups.items()):
        of_group = dict(zip(names, intervals[index * len(names) : (index + 1) * len(names)], strict=True))
        mean = {name: interval.mean for name, interval in of_group.items()} | (
            metrics.overall if group == "all" else {}
        )
        ends = {name: (interval.low, interval.high) for name, interval in of_group.items()}
        summaries[group] = MetricSummary(int(members.sum()), mean, ends)
    return summaries


def metric_differences(model: ModelMetrics, other: ModelMetrics, customers: Resampling) -> dict[str, Interval]:
    """How far one model is above another by each of ``METRICS_PER_INVOICE``, invoice by invoice, with intervals."""
    differences = np.stack([model.per_invoice[name] - other.per_invoice[name] for name in model.per_invoice], axis=1)
    return dict(zip(model.per_invoice, customers.intervals(differences), strict=True))


def resampling(cases: Sequence[EvaluationCase], *, seed: int) -> Resampling:
    """Resamples of the customers of some cases; the same seed gives the same ones."""
    return Resampling(customer_indices(cases), generator=np.random.default_rng(seed))


def customer_indices(cases: Sequence[EvaluationCase]) -> NDArray[np.int64]:
    """A number for the customer of each case, int64 ``[cases]``."""
    numbers: dict[str, int] = {}
    return np.asarray([numbers.setdefault(case.customer_id, len(numbers)) for case in cases], np.int64)


def metric_means(metrics: Mapping[str, ModelMetrics]) -> dict[str, dict[str, float]]:
    """By model the mean of every metric, without intervals: what a manifest holds and the gate decides by.

    A metric that is defined nowhere is left out: JSON has no NaN.
    """
    table: dict[str, dict[str, float]] = {}
    for model, each in metrics.items():
        means = {name: _mean(values) for name, values in each.per_invoice.items()} | each.overall
        table[model] = {name: value for name, value in means.items() if np.isfinite(value)}
    return table


def _mean(values: NDArray[np.float64]) -> float:
    """The mean of what is not NaN; NaN where all is."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")
