"""One round of training: fit, evaluate with champion and baselines, publish, and promote if the gate allows it."""

import logging
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from state.errors import DialectDiffers
from state.events.dates import DAY, to_datetime, to_iso
from state.events.invoice import Invoice
from state.events.shop_dialect import ShopDialect
from training import progress
from training.data.cleaning.ledger import Ledger
from training.data.log import invoices_before
from training.data.purchases import purchases_of
from training.data.walk import Moment, customer_purchase_dates
from training.errors import TooLittleData
from training.evaluation.cases import MIN_CASES, case_positions
from training.evaluation.daily_update import EvaluationScorer, evaluation_scorer
from training.evaluation.model_metrics import metric_means, model_metrics
from training.evaluation.prequential import evaluate
from training.evaluation.split import Span, format_day, require_repeat_customers
from training.evaluation.variants import make_with_options
from training.models.base import Fitted
from training.models.baselines.model import fit_all
from training.registry import DataWindow, Decision, Registry, RegistryError, decide, verify
from training.registry.bundle import EVALUATED, MANIFEST, describe
from training.serving.scorer import CALIBRATION_DEPTH, Scorer

logger = logging.getLogger(__name__)

CHAMPION = "champion"
"""Name of the model that serves, among the metrics of a round."""

LEDGER = "ledger.json"
"""File in a bundle: what the cleaning of its table removed and changed."""

EMISSION_PREFIX = "emission "
"""Before the name of a metric at the emission; a metric without it is at the visit."""

MAX_CASES = 10_000
"""Of more cases evenly spaced ones are evaluated: enough for the gate, and its time and memory do not grow with the
shop."""

Metrics = dict[str, dict[str, float]]
"""By model, metric to mean."""


@dataclass(frozen=True)
class TrainingPlan:
    """What a round is to do.

    Attributes:
        model: Name of the model to train.
        options: Options of the model, as ``make_with_options`` takes them (``epochs``).
        seed: The same seed and data give the same metrics.
        window: Number of invoices that a history holds, as in the stream.
        evaluation_days: Models are evaluated on the last days of the data, this many, at most a quarter of it.
        baselines: The models that the candidate must beat.
        refit: Whether a promoted candidate is fitted once more, with the evaluation span.
    """

    model: str = "basket_lstm"
    options: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 7
    window: int = 100
    evaluation_days: int = 28
    baselines: tuple[str, ...] = ("recent_g_topfreq", "gp_topfreq", "count_demand", "ease_count_demand")
    refit: bool = True


class RoundResult(NamedTuple):
    """The result of a round.

    Attributes:
        model: Name of the candidate.
        version: The candidate's version in the registry.
        promoted: The version that serves from now on; None where the champion stays current.
        decision: Of the gate.
        evaluation_span: The days that models were evaluated on.
        n_cases: Number of invoices that were predicted.
        metrics: Of candidate, champion and baselines.
        notes: Sentences for the operator.
    """

    model: str
    version: str
    promoted: str | None
    decision: Decision
    evaluation_span: Span
    n_cases: int
    metrics: Metrics
    notes: list[str]


OTHER_DIALECT = (
    "the champion was trained in another dialect, whose workers refuse this model. If the shop's dialect has changed, "
    "`nextbasket models promote VERSION` makes it the champion."
)
"""Why a candidate is not promoted over such a champion, and what to do."""


class _Champion(NamedTuple):
    """The model that serves, None where there is none to compare with, and notes on it.

    ``other_dialect``: it was trained in another dialect, which is why it cannot be compared.
    """

    scorer: Scorer | None
    notes: list[str]
    other_dialect: bool = False


def train(
    invoices: Sequence[Invoice],
    registry: Registry,
    load: Callable[[Path], Scorer],
    plan: TrainingPlan,
    *,
    until: int,
    clock: datetime,
    ledger: Ledger | None = None,
    dialect: ShopDialect | None = None,
) -> RoundResult:
    """Do one round.

    Args:
        invoices: The log, sorted by (date, invoice number), sales and returns.
        registry: Where the champion is and the candidate goes.
        load: Makes a scorer of a bundle's folder.
        plan: What to do.
        until: End, not included, of the data that may be used, seconds since 1970.
        clock: The time that is recorded in bundles and promotions.
        ledger: The ledger of the table's cleaning, stored in the bundle.
        dialect: In which the invoices were read, stored in the bundle.

    Raises:
        TrainingError: There is too little data, or no such model.
        RegistryError: The registry cannot be used.
    """
    log = invoices_before(invoices, until)
    span = evaluation_span(log, until, plan.evaluation_days)
    baseline_names = [name for name in plan.baselines if name != plan.model]
    candidate = _fit(plan, log, span.start)
    progress.stage("fitting baselines")
    progress.update(0, 1)
    baselines = fit_all(baseline_names, log, until=span.start, window=plan.window, calibrate=False)
    progress.update(1, 1)
    champion, notes, other_dialect = _load_champion(registry, load, span)
    fitted = {plan.model: candidate, **baselines}
    scorers: dict[str, EvaluationScorer] = {
        name: evaluation_scorer(each, daily_updates=False) for name, each in fitted.items()
    }
    if champion is not None:
        scorers[CHAMPION] = champion
    by_moment, n_cases = _evaluate(log, scorers, span, plan.window)
    decision = decide_for_both_moments(plan.model, by_moment, baseline_names)
    if other_dialect:
        decision = Decision(False, f"{decision.reason} It is not promoted, because {OTHER_DIALECT}")
    metrics = _flat_metrics(by_moment)
    publisher = _Publisher(registry, log, metrics, clock, ledger, dialect)
    promoted = None
    if decision.promote and plan.refit:
        final = _fit(plan, log, until)
        version = promoted = publisher.publish(plan.model, final, until, evaluated=(candidate, span.start))
    elif decision.promote:
        version = promoted = publisher.publish(plan.model, candidate, span.start)
    else:
        version = publisher.publish(plan.model, candidate, span.start)
        if decision.fallback is not None:
            fallback = fit_all([decision.fallback], log, until=until, window=plan.window)[decision.fallback]
            promoted = publisher.publish(decision.fallback, fallback, until)
    if promoted is not None:
        registry.promote(promoted, at=clock)
    logger.info("%s %s: %s", plan.model, version, decision.reason)
    return RoundResult(plan.model, version, promoted, decision, span, n_cases, metrics, notes)


def evaluation_span(log: Sequence[Invoice], until: int, days: int) -> Span:
    """The last days before ``until``, at most a quarter of the log.

    Raises:
        TooLittleData: There is one customer only, nobody bought twice, or too little to fit and to evaluate on.
    """
    since = next((date for _, date in customer_purchase_dates(log)), None)
    if since is None:
        raise TooLittleData(f"Nothing was bought before {to_iso(until)}: give --data that reaches further back.")
    require_repeat_customers(log)
    span = Span(max(until - days * DAY, until - (until - since) // 4), until)
    n_cases = len(case_positions(purchases_of(log), span))
    if n_cases < MIN_CASES:
        raise TooLittleData(
            f"Too few purchases from {format_day(span.start)} on are of customers who had bought before: {n_cases}; "
            f"at least {MIN_CASES} are needed to evaluate a model. Give --data with more customers or a longer time."
        )
    return span


def _fit(plan: TrainingPlan, log: Sequence[Invoice], until: int) -> Fitted:
    model = make_with_options(plan.model, plan.options)
    progress.stage(f"fitting {plan.model} to {format_day(until)}")
    return model.fit(log, until=until, seed=plan.seed)


def _load_champion(registry: Registry, load: Callable[[Path], Scorer], span: Span) -> _Champion:
    """The model that serves, as it was fitted before the evaluation span if its bundle holds that."""
    version = registry.current()
    if version is None:
        return _Champion(None, [])
    try:
        folder = registry.open(version)
        until = registry.manifest(version).data.until
        if until > to_iso(span.start) and (folder / EVALUATED / MANIFEST).exists():
            folder = folder / EVALUATED
            until = verify(folder).data.until
        notes = []
        if until > to_iso(span.start):
            notes = [
                f"The champion {version} was fitted on a part of the days it is evaluated on, so its metrics are too "
                "good."
            ]
        return _Champion(load(folder), notes)
    except (RegistryError, DialectDiffers) as error:
        logger.warning("the champion %s cannot be evaluated: %s", version, error)
        note = f"The champion {version} cannot be evaluated and is not compared: {error}"
        return _Champion(None, [note], other_dialect=isinstance(error, DialectDiffers))


def _evaluate(
    log: Sequence[Invoice], scorers: Mapping[str, EvaluationScorer], span: Span, window: int
) -> tuple[dict[Moment, Metrics], int]:
    """Metrics of every scorer by moment, and the number of cases."""
    progress.stage("evaluating")
    runs = evaluate(
        log,
        scorers,
        span,
        moment="both",
        window=window,
        depth=CALIBRATION_DEPTH,  # no metric needs more, and the rankings take most of the memory
        max_cases=MAX_CASES,
    )
    metrics = {
        moment: metric_means({name: model_metrics(run, name) for name in scorers}) for moment, run in runs.items()
    }
    return metrics, len(runs["visit"].cases)


def decide_for_both_moments(model: str, by_moment: Mapping[Moment, Metrics], baselines: Sequence[str]) -> Decision:
    """The gate's decision on both moments together: one model serves both, so it must pass at both.

    Where it does not and there is no champion, the fallback is that of the first moment at which it failed.
    """
    decisions = {
        moment: decide(metrics[model], metrics.get(CHAMPION), {name: metrics[name] for name in baselines})
        for moment, metrics in by_moment.items()
    }
    failed = [decision for decision in decisions.values() if not decision.promote]
    reason = " ".join(f"At the {moment}: {decision.reason}" for moment, decision in decisions.items())
    return Decision(not failed, reason, failed[0].fallback if failed else None)


def _flat_metrics(by_moment: Mapping[Moment, Metrics]) -> Metrics:
    """Metrics of both moments in one table, those at the emission with ``EMISSION_PREFIX``."""
    flat: Metrics = {}
    for moment, metrics in by_moment.items():
        prefix = EMISSION_PREFIX if moment == "emission" else ""
        for model, values in metrics.items():
            flat.setdefault(model, {}).update((prefix + name, value) for name, value in values.items())
    return flat


class _Publisher:
    """Publishes the fitted models of one round as bundles."""

    def __init__(
        self,
        registry: Registry,
        log: Sequence[Invoice],
        metrics: Metrics,
        clock: datetime,
        ledger: Ledger | None,
        dialect: ShopDialect | None,
    ) -> None:
        self._registry = registry
        self._since = to_datetime(log[0].date)
        self._metrics = metrics
        self._clock = clock
        self._ledger = ledger
        self._dialect = dialect

    def publish(self, name: str, fitted: Fitted, until: int, *, evaluated: tuple[Fitted, int] | None = None) -> str:
        """Publish a model; returns its version.

        Args:
            name: Of the model.
            fitted: The model that is to serve.
            until: End of the data that it was fitted on.
            evaluated: The same model as it was evaluated, with the end of its data, stored in the bundle too.
        """
        with tempfile.TemporaryDirectory(prefix="nextbasket-bundle-") as temporary:
            folder = Path(temporary)
            fitted.save(folder)
            if self._ledger is not None:
                (folder / LEDGER).write_bytes(msgspec.json.encode(self._ledger))
            if evaluated is not None:
                self._save_evaluated(folder / EVALUATED, name, *evaluated)
            return self._registry.publish(
                folder,
                name=name,
                data_from=self._since,
                data_until=to_datetime(until),
                metrics=self._metrics,
                created=self._clock,
                dialect=self._dialect,
            )

    def _save_evaluated(self, folder: Path, name: str, fitted: Fitted, until: int) -> None:
        """Write a model with a manifest into a subfolder of a bundle."""
        folder.mkdir()
        fitted.save(folder)
        manifest = describe(
            folder,
            name=name,
            version=EVALUATED,
            created=to_iso(int(self._clock.timestamp())),
            data=DataWindow(since=to_iso(int(self._since.timestamp())), until=to_iso(until)),
            metrics=self._metrics,
            dialect=self._dialect,
        )
        (folder / MANIFEST).write_bytes(msgspec.json.encode(manifest))
