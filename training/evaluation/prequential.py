"""Prequential evaluation: every invoice of a span is predicted from what was known before it, then becomes known.

Every model is asked through its scorer, along the walk that also makes training examples: the code that is evaluated is
the code that serves. One pass serves any number of models. The term is from Dawid, "Statistical theory: the
prequential approach", 1984.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from state.events.dates import DAY
from state.events.invoice import Invoice
from training import progress
from training.data.purchases import purchases_of
from training.data.walk import Moment, prediction_points, walk_points
from training.evaluation.cases import EvaluationCase, evaluation_cases
from training.evaluation.daily_update import DailyUpdated, EvaluationScorer
from training.evaluation.split import Span

Task = Literal["next-basket", "discover"]
"""Rank the whole catalogue, or only what the customer never bought (over invoices that hold such an item)."""

RANKING_DEPTH = 100
"""Length of the rankings."""


class Ranking(NamedTuple):
    """What a model predicted for a case: stock codes, best first, and the probability of each."""

    stock_codes: list[str]
    probabilities: list[float]


class EvaluationRun(NamedTuple):
    """The rankings of some models at one moment.

    Attributes:
        moment: Visit or emission.
        task: What was ranked.
        cases: In the order of the walk.
        rankings: By model, one a case.
        catalogue_size: Number of items sold before the end of the span.
    """

    moment: Moment
    task: Task
    cases: list[EvaluationCase]
    rankings: dict[str, list[Ranking]]
    catalogue_size: int


def evaluate(
    invoices: Sequence[Invoice],
    scorers: Mapping[str, EvaluationScorer],
    span: Span,
    *,
    moment: Moment | Literal["both"] = "visit",
    task: Task = "next-basket",
    window: int = 100,
    depth: int = RANKING_DEPTH,
    first_invoices: bool = False,
    max_cases: int | None = None,
) -> dict[Moment, EvaluationRun]:
    """Rank before every invoice of a span with every scorer.

    Args:
        invoices: The whole log from its beginning, sorted by (date, invoice number); returns included.
        scorers: By the name under which a model is reported. They must not have been fitted on the span. Those that are
            ``DailyUpdated`` are updated before the first prediction of a day (UTC) with what is dated before that day.
        span: The invoices to predict.
        moment: Just before the invoice (visit), right after the customer's previous one (emission), or both.
        task: What is ranked.
        window: Number of invoices that a history holds, as in the stream.
        depth: Length of the rankings.
        first_invoices: Whether customers' first purchase invoices are predicted too, at the visit: see ``walk``.
        max_cases: Of more invoices than this, evenly spaced ones are predicted; all become known.

    Returns:
        One run a moment, visit first.
    """
    purchases = purchases_of(invoices)
    cases, known_items, catalogue_size = evaluation_cases(
        invoices,
        span,
        first_invoices=first_invoices,
        with_known_items=task == "discover",
        with_new_items=task == "discover",
        max_cases=max_cases,
    )
    moments: tuple[Moment, ...] = ("visit", "emission") if moment == "both" else (moment,)
    runs = {each: EvaluationRun(each, task, [], {name: [] for name in scorers}, catalogue_size) for each in moments}
    n_emissions = sum(case.earlier_invoices > 0 for case in cases.values())  # a first invoice has no emission before it
    total = sum(len(cases) if each == "visit" else n_emissions for each in moments)
    updated, today = [scorer for scorer in scorers.values() if isinstance(scorer, DailyUpdated)], -1
    # One customer a call: the item table is valid only until the walk's next step, and every invoice changes it.
    points = prediction_points(purchases, moment=moment, start=span.start, end=span.end, first=first_invoices)
    points = points.of(np.isin(points.target, list(cases)))
    for number, point in enumerate(walk_points(invoices, purchases, points, window)):
        case = cases[point.position]
        if point.now // DAY != today:
            today = point.now // DAY
            for each in updated:
                each.update(invoices, today * DAY)
        run = runs[point.moment]
        run.cases.append(case)
        hidden = known_items.get(point.position, frozenset())
        for name, scorer in scorers.items():
            candidates = scorer.predict([point.history], point.items, point.now, depth + len(hidden))[0].candidates
            shown = [candidate for candidate in candidates if candidate.stock_code not in hidden][:depth]
            run.rankings[name].append(Ranking([c.stock_code for c in shown], [c.probability for c in shown]))
        progress.update(number + 1, total)
    return runs
