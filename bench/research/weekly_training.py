"""What a real trainer brings.

    python -m bench.research.weekly_training PATH 2011-11-09 2011-12-10 --every 7 [--models basket_lstm]

Every model is fitted anew every so many days of the span, on everything before, and stands still in between, as a
worker serves it; each list is made by the newest fit of its moment, those from before the span by the first. Without
``--every`` it is fitted once. ``nextbasket evaluate`` fits the network once too, but follows day by day what is fitted
in moments; this says how far the one stands for the other. Emissions are shown by themselves too where they were made
in the span, as a worker makes them, and where they are older than the model that is asked for them. ``promised`` is
how many of a list's first twenty were expected to be bought, ``came`` how many were.
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
from training.evaluation.model_metrics import metric_means, model_metrics
from training.evaluation.prequential import EvaluationRun, Ranking, evaluate
from training.evaluation.split import Span, parse_span, require_data_around
from training.models import make_model

METRICS = ("recall@10", "ndcg@10", "hit@1", "recall@20_new", "ece@20")
COLUMNS = (*METRICS, "promised", "came")
DEPTH = 20
"""Length of the lists."""


def moments(log: Sequence[Invoice]) -> dict[tuple[str, str], dict[str, int]]:
    """By invoice and customer, the dates of the lists made for it: of the visit, and of the emission before it."""
    last: dict[str, int] = {}
    dates: dict[tuple[str, str], dict[str, int]] = {}
    for invoice in log:
        if invoice.customer_id is not None and invoice.is_purchase:
            before = last.get(invoice.customer_id, invoice.date)
            dates[invoice.invoice_no, invoice.customer_id] = {"visit": invoice.date, "emission": before}
            last[invoice.customer_id] = invoice.date
    return dates


def figures(whole: EvaluationRun, name: str) -> dict[str, float]:
    """The figures of a row; none is a number where no list was made."""
    if not whole.cases:
        return dict.fromkeys(COLUMNS, math.nan)
    lists = whole.rankings[name]
    came = [len(case.bought.intersection(said.stock_codes)) for case, said in zip(whole.cases, lists, strict=True)]
    return {
        **metric_means({name: model_metrics(whole, name)})[name],
        "promised": sum(sum(said.probabilities) for said in lists) / len(lists),
        "came": sum(came) / len(lists),
    }


def main(path: Path, judged: Span, every: int | None, models: Sequence[str]) -> None:
    """Print a row a moment and model."""
    settings = load_settings()
    log, _ = read_table(path, settings)
    require_data_around(log, judged)
    made = moments(log)
    starts = list(range(judged.start, judged.end, judged.end - judged.start if every is None else every * DAY))
    print(f"{'moment':<10} {'model':<24} {'n':>6}" + "".join(f" {name:>14}" for name in COLUMNS))
    rows: dict[str, list[str]] = {name: [] for name in ("visit", "emission", "made in it", "older")}
    for name in models:
        chosen: dict[str, list[tuple[EvaluationCase, Ranking]]] = {when: [] for when in rows}
        for number, start in enumerate(starts):
            with show_progress():
                progress.stage(f"fitting {name}, {number + 1} of {len(starts)}")
                scorer = make_model(name).fit(log, until=start, seed=settings.seed).scorer
                rest = Span(start, judged.end)
                progress.stage("judging")
                runs = evaluate(log, {name: scorer}, rest, moment="both", depth=DEPTH)
            for when, each in runs.items():
                for case, ranking in zip(each.cases, each.rankings[name], strict=True):
                    date = made[case.invoice_no, case.customer_id][when]
                    if max(bisect_right(starts, date) - 1, 0) == number:
                        chosen[when].append((case, ranking))
                        if when == "emission":
                            chosen["older" if date < judged.start else "made in it"].append((case, ranking))
        for shown, cases in chosen.items():
            each = runs["visit" if shown == "visit" else "emission"]
            whole = each._replace(cases=[case for case, _ in cases], rankings={name: [said for _, said in cases]})
            found = figures(whole, name)
            row = "".join(f" {found[column]:>14.4f}" for column in COLUMNS)
            rows[shown].append(f"{shown:<10} {name:<24} {len(cases):>6,}{row}")
    print("\n".join(row for each in rows.values() for row in each))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, help="a table that nextbasket train can read")
    parser.add_argument("start", help="first day that is judged")
    parser.add_argument("end", help="the day after the last one")
    parser.add_argument("--every", type=int, help="fit anew after so many days of the span")
    parser.add_argument("--models", default="basket_lstm", help="names as for nextbasket evaluate, with commas between")
    options = parser.parse_args()
    if options.every is not None and options.every < 1:
        parser.error("--every takes a number of days, at least 1")
    main(options.path, parse_span(options.start, options.end), options.every, options.models.split(","))
