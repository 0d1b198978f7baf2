"""What a real trainer brings: ``python -m bench.refits PATH 2011-11-09 2011-12-10 --every 7 [--models basket_lstm]``.

Every model is fitted anew every so many days of the span, on everything before, and stands still in between, as a
worker serves it; each list is made by the newest fit of its moment, those from before the span by the first. Without
``--every`` it is fitted once. ``nextbasket evaluate`` fits the network once too, but follows day by day what is fitted
in moments; this says how far the one stands for the other.
"""

import argparse
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path

from state.dates import DAY
from state.invoice import Invoice
from state.settings import load_settings
from stream.bars import Bars
from training.data.walk import is_purchase
from training.evaluation.measure import means, measure
from training.evaluation.prequential import Case, Ranking, run
from training.evaluation.split import Span, check, span
from training.log import read_table
from training.models import make_model

METRICS = ("recall@10", "ndcg@10", "hit@1", "recall@20_new", "ece@20")


def moments(log: Sequence[Invoice]) -> dict[tuple[str, str], dict[str, int]]:
    """By invoice and customer, the dates of the lists made for it: of the visit, and of the emission before it."""
    last: dict[str, int] = {}
    dates: dict[tuple[str, str], dict[str, int]] = {}
    for invoice in log:
        if invoice.customer_id is not None and is_purchase(invoice):
            before = last.get(invoice.customer_id, invoice.date)
            dates[invoice.invoice_no, invoice.customer_id] = {"visit": invoice.date, "emission": before}
            last[invoice.customer_id] = invoice.date
    return dates


def main(path: Path, judged: Span, every: int | None, models: Sequence[str]) -> None:
    """Print a row a moment and model."""
    settings = load_settings()
    log, _ = read_table(path, settings)
    check(log, judged)
    made = moments(log)
    starts = list(range(judged.start, judged.end, judged.end - judged.start if every is None else every * DAY))
    print(f"{'moment':<10} {'model':<24} {'n':>6}" + "".join(f" {name:>14}" for name in METRICS))
    rows: dict[str, list[str]] = {"visit": [], "emission": []}
    for name in models:
        chosen: dict[str, list[tuple[Case, Ranking]]] = {when: [] for when in rows}
        for number, start in enumerate(starts):
            with Bars() as stage:
                fitting = stage(f"fitting {name}, {number + 1} of {len(starts)}")
                scorer = make_model(name).fit(log, until=start, seed=settings.seed, progress=fitting).scorer
                rest = Span(start, judged.end)
                runs = run(log, {name: scorer}, rest, moment="both", depth=20, progress=stage("judging"))
            for when, each in runs.items():
                for case, ranking in zip(each.cases, each.rankings[name], strict=True):
                    date = made[case.invoice_no, case.customer_id][when]
                    if max(bisect_right(starts, date) - 1, 0) == number:
                        chosen[when].append((case, ranking))
        for when, each in runs.items():
            cases = [case for case, _ in chosen[when]]
            whole = each._replace(cases=cases, rankings={name: [ranking for _, ranking in chosen[when]]})
            figures = means({name: measure(whole, name)})[name]
            shown = "".join(f" {figures[metric]:>14.4f}" for metric in METRICS)
            rows[when].append(f"{when:<10} {name:<24} {len(cases):>6,}{shown}")
    print("\n".join(rows["visit"] + rows["emission"]))


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
    main(options.path, span(options.start, options.end), options.every, options.models.split(","))
