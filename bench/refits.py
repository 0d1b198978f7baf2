"""What a real trainer brings: ``python -m bench.refits PATH 2011-11-09 2011-12-10 --every 7 [--models basket_lstm]``.

Every model is fitted on everything before each part of the span, ``--every`` days long, and stands still until the
next, as a worker serves it. Without ``--every`` it is fitted once. ``nextbasket evaluate`` fits the network once too,
but follows day by day what is fitted in moments; this says how far the one stands for the other.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from state.dates import DAY
from state.settings import load_settings
from stream.bars import Bars
from training.evaluation.measure import means, measure
from training.evaluation.prequential import Run, run
from training.evaluation.split import Span, check, span
from training.log import read_table
from training.models import make_model

METRICS = ("recall@10", "ndcg@10", "hit@1", "recall@20_new", "ece@20")


def joined(parts: Sequence[Run]) -> Run:
    """Runs of parts of a span, one after the other, as one."""
    rankings = {name: [ranking for part in parts for ranking in part.rankings[name]] for name in parts[0].rankings}
    return parts[-1]._replace(cases=[case for part in parts for case in part.cases], rankings=rankings)


def main(path: Path, judged: Span, every: int | None, models: Sequence[str]) -> None:
    """Print a row a model and moment."""
    settings = load_settings()
    log, _ = read_table(path, settings)
    check(log, judged)
    length = judged.end - judged.start if every is None else every * DAY
    parts = [Span(start, min(start + length, judged.end)) for start in range(judged.start, judged.end, length)]
    runs = []
    for number, part in enumerate(parts, start=1):
        with Bars() as stage:
            scorers = {
                name: make_model(name)
                .fit(
                    log,
                    until=part.start,
                    seed=settings.seed,
                    progress=stage(f"fitting {name}, part {number} of {len(parts)}"),
                )
                .scorer
                for name in models
            }
            runs.append(run(log, scorers, part, moment="both", progress=stage("judging")))
    print(f"{'moment':<10} {'model':<24} {'n':>6}" + "".join(f" {name:>14}" for name in METRICS))
    for when in ("visit", "emission"):
        whole = joined([each[when] for each in runs])
        table = means({name: measure(whole, name) for name in models})
        for name in models:
            figures = "".join(f" {table[name][metric]:>14.4f}" for metric in METRICS)
            print(f"{when:<10} {name:<24} {len(whole.cases):>6,}{figures}")


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
