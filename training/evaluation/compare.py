"""Compare models: fit each on the invoices before a span, evaluate all of them on it, average over seeds."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from state.events.invoice import Invoice
from training import progress
from training.data.walk import Moment
from training.errors import TooLittleData
from training.evaluation.cases import EvaluationCase
from training.evaluation.daily_update import evaluation_scorer
from training.evaluation.model_metrics import ModelMetrics, average_over_seeds, model_metrics
from training.evaluation.prequential import RANKING_DEPTH, EvaluationRun, Task, evaluate
from training.evaluation.split import Span, format_day, require_data_around, require_repeat_customers
from training.evaluation.variants import Variant, make_variant
from training.models import BASELINES
from training.models.base import Curves, Fitted, FittedInEpochs, Model
from training.models.baselines.model import fit_all


class MomentResult(NamedTuple):
    """The metrics of every model at one moment, on the same cases.

    ``metrics`` are means over seeds; ``first_run`` is the run of the first seed, with its rankings.
    """

    cases: Sequence[EvaluationCase]
    metrics: dict[str, ModelMetrics]
    first_run: EvaluationRun


class Comparison(NamedTuple):
    """The result of a comparison.

    Attributes:
        span: The invoices that were predicted.
        task: What was ranked.
        seeds: Over which metrics are averaged.
        variants: What was compared, by the name that it has in ``metrics``.
        moments: Result by moment, visit first.
        curves: Losses by epoch of the models trained in epochs, by name and seed.
    """

    span: Span
    task: Task
    seeds: tuple[int, ...]
    variants: dict[str, Variant]
    moments: dict[Moment, MomentResult]
    curves: dict[str, dict[int, Curves]]


def compare(
    invoices: Sequence[Invoice],
    variants: Sequence[Variant],
    span: Span,
    *,
    moment: Moment | Literal["both"] = "visit",
    task: Task = "next-basket",
    seeds: Sequence[int] = (7,),
    window: int = 100,
    depth: int = RANKING_DEPTH,
    epochs: int | None = None,
    first_invoices: bool = False,
) -> Comparison:
    """Fit and evaluate models side by side.

    Args:
        invoices: The whole log, sorted by (date, invoice number); returns included.
        variants: The models. Each is fitted on the invoices before the span, once a seed if it depends on the seed.
        span: The invoices to predict.
        moment: When they are predicted; for both moments a model is fitted once, and one walk serves both.
        task: What is ranked.
        seeds: Metrics are averaged over them.
        window: Number of invoices that a history holds, as in the stream.
        depth: Length of the rankings.
        epochs: Passes over the data, for models trained in epochs; their default unless given.
        first_invoices: Whether customers' first purchase invoices are predicted too, at the visit.

    Raises:
        SplitError: The data lies on one side of the span.
        TooLittleData: There is nothing to learn from, one customer only, or nobody in the span bought before.
        UnknownModel: No model has such a name, or takes such an option.
    """
    require_data_around(invoices, span)
    require_repeat_customers(invoices)
    models = {str(variant): make_variant(variant, epochs=epochs) for variant in variants}
    by_seed: dict[Moment, dict[str, list[ModelMetrics]]] = {}
    first_runs: dict[Moment, EvaluationRun] = {}
    curves: dict[str, dict[int, Curves]] = {}
    for seed in seeds:
        fitting = {name: model for name, model in models.items() if model.seeded or not first_runs}
        if not fitting:
            break
        fitted = _fit(fitting, invoices, span.start, seed, window)
        scorers = {name: evaluation_scorer(each, daily_updates=True) for name, each in fitted.items()}
        progress.stage("evaluating")
        runs = evaluate(
            invoices,
            scorers,
            span,
            moment=moment,
            task=task,
            window=window,
            depth=depth,
            first_invoices=first_invoices,
        )
        for when, run in runs.items():
            if not run.cases:
                raise TooLittleData(
                    f"Nobody who bought between {format_day(span.start)} and {format_day(span.end)} had bought before: "
                    "there is no next basket to predict. Give a longer span."
                )
            first_runs.setdefault(when, run)
            for name in fitting:
                by_seed.setdefault(when, {}).setdefault(name, []).append(model_metrics(run, name))
        for name, each in fitted.items():
            if isinstance(each, FittedInEpochs):
                curves.setdefault(name, {})[seed] = each.curves
    moments = {
        when: MomentResult(run.cases, {name: average_over_seeds(by_seed[when][name]) for name in models}, run)
        for when, run in first_runs.items()
    }
    return Comparison(span, task, tuple(seeds), {str(each): each for each in variants}, moments, curves)


def _fit(
    models: dict[str, Model], invoices: Sequence[Invoice], until: int, seed: int, window: int
) -> dict[str, Fitted]:
    """Fit baselines together, since they share most of their work, the others one by one; by name, in their order."""
    baselines = [name for name in models if name in BASELINES]
    fitted: dict[str, Fitted] = {}
    if baselines:
        progress.stage("fitting baselines")
        progress.update(0, 1)
        fitted.update(fit_all(baselines, invoices, until=until, window=window))
        progress.update(1, 1)
    for name, model in models.items():
        if name not in fitted:
            progress.stage(f"fitting {name}, seed {seed}")
            fitted[name] = model.fit(invoices, until=until, seed=seed)
    return {name: fitted[name] for name in models}
