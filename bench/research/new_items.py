"""What the first 20 find and lose where some of them are given to items that the customer never bought.

    python -m bench.research.new_items PATH --from 2017-11-15 --to 2017-12-15 --models recent_g_topfreq,basket_lstm

Every model ranks each invoice of the span at the visit, as ``nextbasket evaluate`` does but without daily updates. With
n positions for new items, a list is the first 20 items of the ranking of which at most 20 − n were bought before: the
order stays, and the first 10 change only for n above 10. Prints a row for each model and n, and the 95 % interval of
what it finds more of the new items than the first model's plain list. Takes one fit of each model; of ``basket_lstm``
the bundle of a training whose data ends before the span may be given instead (``--bundle FOLDER``).
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from state.domain.ranking_metrics import ndcg_at, recall_at
from state.settings import load_settings
from training.data.log import read_table
from training.data.purchases import purchases_of
from training.data.walk import prediction_points, walk_points
from training.evaluation.cases import EvaluationCase, evaluation_cases
from training.evaluation.daily_update import EvaluationScorer, evaluation_scorer
from training.evaluation.intervals import Resampling
from training.evaluation.model_metrics import customer_indices
from training.evaluation.split import parse_span
from training.evaluation.variants import make_variant, parse_variants
from training.serving.basket_lstm.scorer import load

LIST = 20
DEPTH = 1_000
"""Length of the rankings that the lists are made of."""
RESERVED = (0, 2, 4, 6, 8, 10, 20)
METRICS = ("ndcg@10", "recall@10", "recall@20", "recall@20_repeat", "recall@20_new")
WINDOW = 100


def list_with_new(ranking: Sequence[str], known: frozenset[str], reserved: int) -> list[str]:
    """The first ``LIST`` items of a ranking of which at most ``LIST - reserved`` are known."""
    return list(_listed(ranking, known, LIST - reserved))[:LIST]


def _listed(ranking: Sequence[str], known: frozenset[str], room: int) -> Iterator[str]:
    for code in ranking:
        room -= code in known
        if room >= 0 or code not in known:
            yield code


def figures(case: EvaluationCase, shown: Sequence[str]) -> list[float]:
    """``METRICS`` of one list; NaN where the invoice has no such item."""
    of_repeat, of_new = (recall_at(shown, part, LIST) if part else np.nan for part in (case.repeat, case.new))
    bought = case.bought
    return [ndcg_at(shown, bought, 10), recall_at(shown, bought, 10), recall_at(shown, bought, LIST), of_repeat, of_new]


def main(path: Path, start: str, end: str, models: str, bundle: Path | None) -> None:
    """Fit, rank, and print the table."""
    settings = load_settings()
    span = parse_span(start, end, settings.timezone)
    log, _ = read_table(path, settings)
    variants = parse_variants(models)
    scorers: dict[str, EvaluationScorer] = {
        str(each): evaluation_scorer(make_variant(each).fit(log, until=span.start, seed=7), daily_updates=False)
        for each in variants
    }
    if bundle is not None:
        scorers["basket_lstm, given"] = load(bundle, "given")
    purchases = purchases_of(log)
    cases, known_items, _ = evaluation_cases(
        log, span, first_invoices=False, with_known_items=True, with_new_items=False, max_cases=None
    )
    points = prediction_points(purchases, moment="visit", start=span.start, end=span.end, first=False)
    points = points.of(np.isin(points.target, list(cases)))
    rows: dict[tuple[str, int], list[list[float]]] = {(name, n): [] for name in scorers for n in RESERVED}
    evaluated = []
    for point in walk_points(log, purchases, points, WINDOW):
        case, known = cases[point.position], known_items[point.position]
        evaluated.append(case)
        for name, scorer in scorers.items():
            (prediction,) = scorer.predict([point.history], point.items, point.now, DEPTH)
            ranking = [candidate.stock_code for candidate in prediction.candidates]
            for n in RESERVED:
                rows[name, n].append(figures(case, list_with_new(ranking, known, n)))
    values = {key: np.asarray(each) for key, each in rows.items()}
    has_new = np.asarray([bool(case.new) for case in evaluated])
    customers = Resampling(customer_indices(evaluated)[has_new], generator=np.random.default_rng(7))
    base = values[next(iter(values))][has_new, -1]
    print(f"{len(evaluated):,} invoices, {int(has_new.sum()):,} with an item new to the customer")
    print(f"{'model':40}{'new':>4}" + "".join(f"{name:>18}" for name in METRICS) + "   new, more than the first row")
    for (name, n), each in values.items():
        means = "".join(f"{mean:18.4f}" for mean in np.nanmean(each, axis=0))
        more = customers.interval(each[has_new, -1] - base)
        print(f"{name:40}{n:4}{means}   {more.mean:+.4f} [{more.low:+.4f}, {more.high:+.4f}]")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, help="a table that nextbasket train can read")
    parser.add_argument("--from", dest="start", required=True, help="first day of the span")
    parser.add_argument("--to", dest="end", required=True, help="its end, not included")
    parser.add_argument("--models", required=True, help="as nextbasket evaluate takes them; the first is compared with")
    parser.add_argument("--bundle", type=Path, help="a bundle of basket_lstm to rank with in addition")
    options = parser.parse_args()
    main(options.path, options.start, options.end, options.models, options.bundle)
