"""Compare models: fit each from scratch on what lies before a span, let all of them rank along it, measure."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from state.invoice import Invoice
from training.data.walk import When
from training.errors import TooLittleData
from training.evaluation.measure import Measured, average, measure
from training.evaluation.prequential import DEPTH, Case, Run, Task, run
from training.evaluation.split import Span, check, day
from training.models import BASELINES, make_model
from training.models.baselines import fit_all
from training.models.model import Progress, quiet
from training.serving.scorer import Scorer

Stage = Callable[[str], Progress]
"""Announces a stage of the work by name and gives what to tell its progress to."""


def silent(stage: str) -> Progress:
    """A ``Stage`` that shows nothing."""
    return quiet


class Comparison(NamedTuple):
    """What came out: the measured values of every model on the same cases.

    ``measured`` are means over seeds; ``first`` is the run of the first seed, for those who want its rankings.
    """

    span: Span
    task: Task
    moment: When
    seeds: tuple[int, ...]
    cases: Sequence[Case]
    measured: dict[str, Measured]
    first: Run


def compare(
    invoices: Sequence[Invoice],
    models: Sequence[str],
    span: Span,
    *,
    moment: When = "visit",
    task: Task = "next-basket",
    seeds: Sequence[int] = (7,),
    window: int = 100,
    depth: int = DEPTH,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    stage: Stage = silent,
) -> Comparison:
    """Fit and judge models side by side.

    Args:
        invoices: The whole log, sorted by (date, invoice number); returns included.
        models: Their names. Each is fitted on what lies before the span, once a seed where a seed changes anything.
        span: The invoices to predict.
        moment: When they are predicted.
        task: What is ranked.
        seeds: Metrics are averaged over them.
        window: Number of invoices that a history holds, as in the stream.
        depth: Length of the rankings.
        options: Keywords for the making of a model, by its name.
        stage: Told of what is going on.

    Raises:
        SplitError: The data lies on one side of the span.
        TooLittleData: There is nothing to learn from, or nobody in the span bought before.
        UnknownModel: No model has such a name.
    """
    check(invoices, span)
    chosen = {name: make_model(name, **(options or {}).get(name, {})) for name in models}
    found: dict[str, list[Measured]] = {name: [] for name in chosen}
    first: Run | None = None
    for seed in seeds:
        again = first is not None
        fitting = [name for name, model in chosen.items() if model.seeded or not again]
        if not fitting:
            break
        scorers = _fit(fitting, chosen, invoices, span.start, seed, window, stage)
        telling = stage("judging")
        result = run(invoices, scorers, span, moment=moment, task=task, window=window, depth=depth, progress=telling)[
            moment
        ]
        if not result.cases:
            raise TooLittleData(
                f"Nobody who bought between {day(span.start)} and {day(span.end)} had bought before: "
                "there is no next basket to judge by."
            )
        for name in fitting:
            found[name].append(measure(result, name))
        first = first or result
    assert first is not None
    measured = {name: average(each) for name, each in found.items()}
    return Comparison(span, task, moment, tuple(seeds), first.cases, measured, first)


def _fit(
    names: Sequence[str],
    models: Mapping[str, Any],
    invoices: Sequence[Invoice],
    until: int,
    seed: int,
    window: int,
    stage: Stage,
) -> dict[str, Scorer]:
    """Baselines together, since they share most of their work; the order of the names is kept."""
    simple = [name for name in names if name in BASELINES]
    scorers: dict[str, Scorer] = {}
    if simple:
        telling = stage("fitting baselines")
        telling(0, 1)
        scorers.update(
            (name, each.scorer) for name, each in fit_all(simple, invoices, until=until, window=window).items()
        )
        telling(1, 1)
    for name in names:
        if name not in scorers:
            telling = stage(f"fitting {name}, seed {seed}")
            scorers[name] = models[name].fit(invoices, until=until, seed=seed, progress=telling).scorer
    return {name: scorers[name] for name in names}
