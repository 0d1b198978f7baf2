"""What the first 20 find and lose where some of them are given to items that the customer never bought.

    python -m bench.research.new_items PATH --from 2017-11-15 --to 2017-12-15 --models recent_g_topfreq,basket_lstm

Every model ranks each invoice of the span at the visit, as ``nextbasket evaluate`` does but without daily updates. A
list has the first 20 items under the rule ``{"kind": "promote", "share": S, "slot": "discover"}``: at most 1 − S of it
were bought before. The order stays, and the first 10 change only for a share above one half. Prints a row for each
model and share, and the 95 % interval of what it finds more of the new items than the first model's plain list. Takes
one fit of each model; of ``basket_lstm`` the bundle of a training whose data ends before the span may be given instead
(``--bundle FOLDER``).
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from state.domain.history import CustomerHistory
from state.domain.ranking_metrics import ndcg_at, recall_at
from state.domain.rules import CompiledRules, Merchandising, RulesInForce
from state.domain.selection import DEPTH, select
from state.events.rules import Promote, Rules
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
from training.serving.scorer import Prediction, predict

LIST = 20
SHARES = (0.0, 0.1, 0.2, 0.25, 0.3, 0.4, 0.5, 1.0)
METRICS = ("ndcg@10", "recall@10", "recall@20", "recall@20_repeat", "recall@20_new")
WINDOW = 100


def rules_for(share: float) -> RulesInForce:
    """The rule that gives a share of a list to items that the customer never bought; none for a share of 0."""
    rules = (Promote(name="new", share=share, slot="discover"),) if share else ()
    return Merchandising(rules=CompiledRules(Rules(rules=rules))).at(0)


def list_under(rules: RulesInForce, prediction: Prediction, history: CustomerHistory) -> list[str]:
    """The list of ``LIST`` items that a shop with some rules shows."""
    ranking = [*prediction.candidates, *prediction.further]
    found = select(ranking, history, rules, LIST, unranked=lambda _: None)
    return [each.stock_code for each in found.items]


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
    cases, _, _ = evaluation_cases(
        log, span, first_invoices=False, with_known_items=False, with_new_items=False, max_cases=None
    )
    points = prediction_points(purchases, moment="visit", start=span.start, end=span.end, first=False)
    points = points.of(np.isin(points.target, list(cases)))
    rules = {share: rules_for(share) for share in SHARES}
    rows: dict[tuple[str, float], list[list[float]]] = {(name, share): [] for name in scorers for share in SHARES}
    evaluated = []
    for point in walk_points(log, purchases, points, WINDOW):
        case = cases[point.position]
        evaluated.append(case)
        for name, scorer in scorers.items():
            (prediction,) = predict(scorer, [point.history], point.items, point.now, DEPTH, further=True)
            for share, in_force in rules.items():
                rows[name, share].append(figures(case, list_under(in_force, prediction, point.history)))
    values = {key: np.asarray(each) for key, each in rows.items()}
    has_new = np.asarray([bool(case.new) for case in evaluated])
    customers = Resampling(customer_indices(evaluated)[has_new], generator=np.random.default_rng(7))
    base = values[next(iter(values))][has_new, -1]
    print(f"{len(evaluated):,} invoices, {int(has_new.sum()):,} with an item new to the customer")
    print(f"{'model':40}{'share':>6}" + "".join(f"{name:>18}" for name in METRICS) + "   new, more than the first row")
    for (name, share), each in values.items():
        means = "".join(f"{mean:18.4f}" for mean in np.nanmean(each, axis=0))
        more = customers.interval(each[has_new, -1] - base)
        print(f"{name:40}{share:6}{means}   {more.mean:+.4f} [{more.low:+.4f}, {more.high:+.4f}]")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, help="a table that nextbasket train can read")
    parser.add_argument("--from", dest="start", required=True, help="first day of the span")
    parser.add_argument("--to", dest="end", required=True, help="its end, not included")
    parser.add_argument("--models", required=True, help="as nextbasket evaluate takes them; the first is compared with")
    parser.add_argument("--bundle", type=Path, help="a bundle of basket_lstm to rank with in addition")
    options = parser.parse_args()
    main(options.path, options.start, options.end, options.models, options.bundle)
