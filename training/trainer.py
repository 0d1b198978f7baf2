"""One round of training: fit, judge beside champion and baselines, publish, and promote when the gate says so."""

import logging
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from state.events.dates import DAY, to_datetime, to_iso
from state.events.invoice import Invoice
from training import progress
from training.data.cleaning.ledger import Ledger
from training.data.log import invoices_before
from training.data.walk import Moment
from training.errors import TooLittleData
from training.evaluation.cases import evaluation_cases
from training.evaluation.model_metrics import CALIBRATION_DEPTH, metric_means, model_metrics
from training.evaluation.prequential import evaluate
from training.evaluation.split import Span, format_day, require_repeat_customers
from training.models import make_model
from training.models.base import Fitted
from training.models.baselines.model import fit_all
from training.registry import DataWindow, Decision, Registry, RegistryError, decide, verify
from training.registry.bundle import MANIFEST, describe
from training.serving.scorer import Scorer

logger = logging.getLogger(__name__)

CHAMPION = "champion"
"""What the model that serves is called among the metrics."""

JUDGED = "judged"
"""Folder in a bundle: the same model fitted without the weeks that it was judged on, so that the next round can judge
it on weeks it has not seen."""

LEDGER = "ledger.json"
"""File in a bundle: what the cleaning of its table removed and changed."""

EMISSION = "emission "
"""Before the name of a metric at the emission; without it a metric is at the visit."""

MIN_CASES = 10
"""Fewer predictions tell nothing about a model."""

MAX_CASES = 10_000
"""Of more predictions evenly spaced ones are judged: the gate decides by no finer difference, and its time and memory
do not grow with the shop."""

Metrics = dict[str, dict[str, float]]


@dataclass(frozen=True)
class TrainingPlan:
    """What a round is to do.

    Attributes:
        model: Name of the model to train.
        options: Keywords for its making (``epochs``).
        seed: The same seed and data end in the same metrics.
        window: Number of invoices that a history holds, as in the stream.
        judge_days: Models are judged on the last days of the data, this many, at most a quarter of it.
        baselines: What the candidate must beat.
        refit: Whether a promoted candidate is fitted once more, with the weeks it was judged on.
    """

    model: str = "basket_lstm"
    options: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 7
    window: int = 100
    evaluation_days: int = 28
    baselines: tuple[str, ...] = ("recent_g_topfreq", "gp_topfreq", "count_demand", "ease_count_demand")
    refit: bool = True


class RoundResult(NamedTuple):
    """What a round came to.

    ``version`` is the candidate's; ``promoted`` the version that serves from now on, None where the old one serves on.
    ``metrics`` are those of candidate, champion and baselines on the ``invoices`` invoices of ``judged``; ``notes``
    are sentences for the operator.
    """

    model: str
    version: str
    promoted: str | None
    decision: Decision
    judged: Span
    invoices: int
    metrics: Metrics
    notes: list[str]


def train(
    invoices: Sequence[Invoice],
    registry: Registry,
    load: Callable[[Path], Scorer],
    plan: TrainingPlan,
    *,
    until: int,
    clock: datetime,
    ledger: Ledger | None = None,
) -> RoundResult:
    """Do one round.

    Args:
        invoices: The log, sorted by (date, invoice number), sales and returns.
        registry: Where the champion is and the candidate goes.
        load: Makes a scorer of a bundle's folder.
        plan: What to do.
        until: End, not included, of the data that may be used, seconds since 1970.
        clock: For the record.
        ledger: The account of the table's cleaning, kept in the bundle.

    Raises:
        TrainingError: There is too little data, or no such model.
        RegistryError: The registry cannot be used.
    """
    log = invoices_before(invoices, until)
    judged, _ = evaluation_span(log, until, plan.evaluation_days)
    names = [name for name in plan.baselines if name != plan.model]
    candidate = _fit(plan, log, judged.start)
    progress.stage("fitting baselines")
    progress.update(0, 1)
    rivals = fit_all(names, log, until=judged.start, window=plan.window, calibrate=False)
    progress.update(1, 1)
    champion, notes = _champion(registry, load, judged)
    scorers = {plan.model: candidate.scorer, **{name: fitted.scorer for name, fitted in rivals.items()}}
    if champion is not None:
        scorers[CHAMPION] = champion
    by_moment, n_cases = _judge(log, scorers, judged, plan.window)
    decision = decide_for_both_moments(plan.model, by_moment, names)
    metrics = _flat_metrics(by_moment)
    bundles = _Publisher(registry, log, metrics, clock, ledger)
    if not decision.promote:
        version = bundles.publish(plan.model, candidate, judged.start, None)
        promoted = None
        if decision.fallback is not None:
            stand_in = fit_all([decision.fallback], log, until=until, window=plan.window)[decision.fallback]
            promoted = bundles.publish(decision.fallback, stand_in, until, None)
    elif plan.refit:
        final = _fit(plan, log, until)
        version = promoted = bundles.publish(plan.model, final, until, (candidate, judged.start))
    else:
        version = promoted = bundles.publish(plan.model, candidate, judged.start, None)
    if promoted is not None:
        registry.promote(promoted, at=clock)
    logger.info("%s %s: %s", plan.model, version, decision.reason)
    return RoundResult(plan.model, version, promoted, decision, judged, n_cases, metrics, notes)


def evaluation_span(log: Sequence[Invoice], until: int, days: int) -> tuple[Span, int]:
    """The last days before ``until`` and the number of invoices in them that can be predicted.

    Raises:
        TooLittleData: There is one customer only, nobody bought twice, or too little to fit and to judge on.
    """
    since = next((each.date for each in log if each.customer_id is not None and each.is_purchase), None)
    if since is None:
        raise TooLittleData(f"Nothing was bought before {to_iso(until)}: give --data that reaches further back.")
    require_repeat_customers(log)
    start = max(until - days * DAY, until - (until - since) // 4)
    judged = Span(start, until)
    n_cases = len(evaluation_cases(log, judged).by_position)
    if n_cases < MIN_CASES:
        raise TooLittleData(
            f"From {format_day(start)} on only {n_cases} purchases are of customers who had bought before; at least "
            f"{MIN_CASES} are needed to judge a model by. Give --data with more customers or a longer time."
        )
    return judged, n_cases


def _fit(plan: TrainingPlan, log: Sequence[Invoice], until: int) -> Fitted:
    model = make_model(plan.model, **plan.options)
    progress.stage(f"fitting {plan.model} to {format_day(until)}")
    return model.fit(log, until=until, seed=plan.seed)


def _champion(registry: Registry, load: Callable[[Path], Scorer], judged: Span) -> tuple[Scorer | None, list[str]]:
    """The model that serves, as it was before the judged weeks where that can be had, and what is to be said of it."""
    version = registry.current()
    if version is None:
        return None, []
    try:
        folder = registry.open(version)
        until = registry.manifest(version).data.until
        if until > to_iso(judged.start) and (folder / JUDGED / MANIFEST).exists():
            folder = folder / JUDGED
            until = verify(folder).data.until
        notes = []
        if until > to_iso(judged.start):
            notes = [f"The champion {version} was fitted on a part of the weeks it is judged by, which flatters it."]
        return load(folder), notes
    except RegistryError as error:
        logger.warning("the champion %s cannot be judged: %s", version, error)
        return None, [f"The champion {version} cannot be judged and counts for nothing: {error}"]


def _judge(
    log: Sequence[Invoice], scorers: Mapping[str, Scorer], judged: Span, window: int
) -> tuple[dict[Moment, Metrics], int]:
    """Metrics of every scorer by moment, and the number of invoices they are of."""
    progress.stage("judging")
    runs = evaluate(
        log,
        scorers,
        judged,
        moment="both",
        window=window,
        depth=CALIBRATION_DEPTH,  # no metric looks deeper, and rankings are what judging keeps in memory
        max_cases=MAX_CASES,
    )
    metrics = {
        when: metric_means({name: model_metrics(result, name) for name in scorers}) for when, result in runs.items()
    }
    return metrics, len(runs["visit"].cases)


def decide_for_both_moments(model: str, by_moment: Mapping[Moment, Metrics], baselines: Sequence[str]) -> Decision:
    """What the gate says of both moments together: one net serves both, so it must pass at both.

    Where it does not and there is no champion, the baseline of the first moment that it failed at stands in.
    """
    verdicts = {
        when: decide(metrics[model], metrics.get(CHAMPION), {name: metrics[name] for name in baselines})
        for when, metrics in by_moment.items()
    }
    failed = [verdict for verdict in verdicts.values() if not verdict.promote]
    reason = " ".join(f"At the {when}: {verdict.reason}" for when, verdict in verdicts.items())
    return Decision(not failed, reason, failed[0].fallback if failed else None)


def _flat_metrics(by_moment: Mapping[Moment, Metrics]) -> Metrics:
    joined: Metrics = {}
    for when, metrics in by_moment.items():
        prefix = EMISSION if when == "emission" else ""
        for model, values in metrics.items():
            joined.setdefault(model, {}).update((prefix + name, value) for name, value in values.items())
    return joined


class _Publisher:
    """Writes fitted models as bundles of one round."""

    def __init__(
        self,
        registry: Registry,
        log: Sequence[Invoice],
        metrics: Metrics,
        clock: datetime,
        ledger: Ledger | None,
    ) -> None:
        self._registry = registry
        self._since = to_datetime(log[0].date)
        self._metrics = metrics
        self._clock = clock
        self._ledger = ledger

    def publish(self, name: str, fitted: Fitted, until: int, judged: tuple[Fitted, int] | None) -> str:
        """Publish a model, and in it the same one as it was judged, with the end of its data."""
        with tempfile.TemporaryDirectory(prefix="nextbasket-bundle-") as place:
            folder = Path(place)
            fitted.save(folder)
            if self._ledger is not None:
                (folder / LEDGER).write_bytes(msgspec.json.encode(self._ledger))
            if judged is not None:
                twin, its_until = judged
                (folder / JUDGED).mkdir()
                twin.save(folder / JUDGED)
                manifest = describe(
                    folder / JUDGED,
                    name=name,
                    version=JUDGED,
                    created=to_iso(int(self._clock.timestamp())),
                    data=DataWindow(since=to_iso(int(self._since.timestamp())), until=to_iso(its_until)),
                    metrics=self._metrics,
                )
                (folder / JUDGED / MANIFEST).write_bytes(msgspec.json.encode(manifest))
            return self._registry.publish(
                folder,
                name=name,
                data_from=self._since,
                data_until=to_datetime(until),
                metrics=self._metrics,
                created=self._clock,
            )
