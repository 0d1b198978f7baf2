"""Accuracy of a model that is fitted anew each week and constant in between, as a worker serves it.

    python -m bench.research.weekly_training PATH 2011-11-09 2011-12-10 --every 7 [--models basket_lstm]

Every model is fitted again after each ``--every`` days of the span, on everything before; without ``--every`` it is
fitted once. Each list is made by the newest fit of its date, lists from before the span by the first. For comparison:
``nextbasket evaluate`` fits the network once, and updates the statistics, which take seconds to fit, day by day.
Emissions are also shown in two groups: those made in the span, as by a worker, and older ones, which precede the model
that makes their lists. ``expected`` and ``bought`` are the expected and the actual number
of bought items among a list's first 20. A month of UCI Online Retail takes 25 minutes of processor time.
"""

import argparse
import math
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path

from state.events.dates import DAY
from state.events.invoice import Invoice
from state.settings import load_settings
from stream.cli.progress import show_progress
from training import progress
from training.data.log import read_table
from training.evaluation.cases import EvaluationCase
from training.evaluation.daily_update import evaluation_scorer
from training.evaluation.model_metrics import metric_means, model_metrics
from training.evaluation.prequential import EvaluationRun, Ranking, evaluate
from training.evaluation.split import Span, parse_span, require_data_around
from training.models import make_model

METRICS = ("recall@10", "ndcg@10", "hit@1", "recall@20_new", "ece@20")
COLUMNS = (*METRICS, "expected", "bought")
DEPTH = 20
"""Length of the lists."""


def list_dates(log: Sequence[Invoice]) -> dict[tuple[str, str], dict[str, int]]:
    """The dates of the lists for each invoice and customer: of the visit, and of the emission before it."""
    last: dict[str, int] = {}
    dates: dict[tuple[str, str], dict[str, int]] = {}
    for invoice in log:
        if invoice.customer_id is not None and invoice.is_purchase:
            previous = last.get(invoice.customer_id, invoice.date)
            dates[invoice.invoice_no, invoice.customer_id] = {"visit": invoice.date, "emission": previous}
            last[invoice.customer_id] = invoice.date
    return dates


def figures(run: EvaluationRun, name: str) -> dict[str, float]:
    """The figures of a row, NaN where no list was made."""
    if not run.cases:
        return dict.fromkeys(COLUMNS, math.nan)
    lists = run.rankings[name]
    bought = [len(case.bought.intersection(ranked.stock_codes)) for case, ranked in zip(run.cases, lists, strict=True)]
    return {
        **metric_means({name: model_metrics(run, name)})[name],
        "expected": sum(sum(ranked.probabilities) for ranked in lists) / len(lists),
        "bought": sum(bought) / len(lists),
    }


def main(path: Path, evaluated: Span, every: int | None, models: Sequence[str]) -> None:
    """Print one row for each moment and model."""
    settings = load_settings()
    log, _ = read_table(path, settings)
    require_data_around(log, evaluated)
    made = list_dates(log)
    starts = list(
        range(evaluated.start, evaluated.end, evaluated.end - evaluated.start if every is None else every * DAY)
    )
    print(f"{'moment':<10} {'model':<24} {'n':>6}" + "".join(f" {name:>14}" for name in COLUMNS))
    rows: dict[str, list[str]] = {name: [] for name in ("visit", "emission", "made in it", "older")}
    for name in models:
        chosen: dict[str, list[tuple[EvaluationCase, Ranking]]] = {when: [] for when in rows}
        for number, start in enumerate(starts):
            with show_progress():
                progress.stage(f"fitting {name}, {number + 1} of {len(starts)}")
                fitted = make_model(name).fit(log, until=start, seed=settings.seed)
                rest = Span(start, evaluated.end)
                progress.stage("evaluating")
                runs = evaluate(
                    log, {name: evaluation_scorer(fitted, daily_updates=False)}, rest, moment="both", depth=DEPTH
                )
            for when, each in runs.items():
                for case, ranking in zip(each.cases, each.rankings[name], strict=True):
                    date = made[case.invoice_no, case.customer_id][when]
                    if max(bisect_right(starts, date) - 1, 0) == number:
                        chosen[when].append((case, ranking))
                        if when == "emission":
                            chosen["older" if date < evaluated.start else "made in it"].append((case, ranking))
        for shown, cases in chosen.items():
            each = runs["visit" if shown == "visit" else "emission"]
            run = each._replace(cases=[case for case, _ in cases], rankings={name: [ranked for _, ranked in cases]})
            values = figures(run, name)
            row = "".join(f" {values[column]:>14.4f}" for column in COLUMNS)
            rows[shown].append(f"{shown:<10} {name:<24} {len(cases):>6,}{row}")
    print("\n".join(row for each in rows.values() for row in each))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, help="a table that nextbasket train can read")
    parser.add_argument("start", help="first day of the span")
    parser.add_argument("end", help="the day after the last one")
    parser.add_argument("--every", type=int, help="days of the span between two fits")
    parser.add_argument("--models", default="basket_lstm", help="names as for nextbasket evaluate, with commas between")
    options = parser.parse_args()
    if options.every is not None and options.every < 1:
        parser.error("--every takes a number of days, at least 1")
    main(options.path, parse_span(options.start, options.end), options.every, options.models.split(","))
