"""Completing a basket from its first half: the ranking for a cart against item-to-item alone and what is in demand.

    python -m bench.research.cart PATH 2011-11-09 2011-12-10

The cart is the first half of an invoice's stock codes in the order of its lines; the other half is to be found among
all items that are not in the cart. Fits ``basket_lstm`` shortly on the invoices before the span. The weight of the
cart is chosen on the first half of the evaluated invoices; the table is of the second half. About ten minutes.
"""

import argparse
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from state.domain.history import CustomerHistory
from state.domain.items import HALF_LIVES
from state.domain.ranking_metrics import hit_at, ndcg_at, recall_at
from state.settings import load_settings
from stream.api.cart import WEIGHT, rank_for_cart
from training.data.cleaning.clean import clean
from training.data.cleaning.invoices import invoices
from training.data.tables.invoice_table import load
from training.data.walk import StateReplay
from training.evaluation.split import parse_span
from training.models import make_model
from training.serving.scorer import Candidate, ItemToItem, Scorer

MIN_ITEMS = 4
"""Stock codes of an invoice that is evaluated."""
MAX_CASES = 1_000
"""Invoices that are evaluated, evenly spaced."""
EPOCHS, EXAMPLES = 3, 12_000
"""Of the short training; the full one takes an hour and ranks better without a cart."""
WEIGHTS = (0.0, 2.0, 4.0, 8.0, 12.0, 16.0, 24.0, 32.0)

Together = dict[str, dict[str, float]]


class Case(NamedTuple):
    """A basket: the cart, the items to find, the model's ranking, and other rankings by name.

    ``visitor``: "customer" for one with a history, else "stranger".
    """

    visitor: str
    cart: tuple[str, ...]
    found: frozenset[str]
    candidates: list[Candidate]
    together: Together
    demand: list[str]


def main(path: str, start: str, end: str) -> None:
    """Print how well each ranking completes the baskets of the span."""
    settings = load_settings()
    log = invoices(clean(load(Path(path)), settings))
    span = parse_span(start, end)
    fitted = make_model("basket_lstm", epochs=EPOCHS, max_examples=EXAMPLES, whole=False)
    scorer = fitted.fit(log, until=span.start, seed=settings.seed).scorer
    wanted = [
        index
        for index, invoice in enumerate(log)
        if span.start <= invoice.date < span.end and len(invoice.purchased_codes) >= MIN_ITEMS
    ]
    chosen = frozenset(wanted[:: -(-len(wanted) // MAX_CASES)])
    replay = StateReplay(settings.window)
    cases: list[Case] = []
    with threadpool_limits(1):
        for index, invoice in enumerate(log):
            if index in chosen:
                history = replay.histories.get(invoice.customer_id or "")
                cases += make_cases(history, invoice.purchased_codes_in_order, replay, scorer, invoice.date)
            replay.apply(invoice)
    half = len(cases) // 2
    show(cases[:half], cases[half:])


def make_cases(
    history: CustomerHistory | None, codes: Sequence[str], replay: StateReplay, scorer: Scorer, now: int
) -> Iterator[Case]:
    """The basket as one of its customer, where they have a history, and as one of a stranger."""
    assert isinstance(scorer, ItemToItem)
    cart, found = tuple(codes[: len(codes) // 2]), frozenset(codes[len(codes) // 2 :])
    items = replay.items
    weekly = items.demand(now)[:, HALF_LIVES.index(7.0)]
    demand = [items.codes[row] for row in np.argsort(-weekly, kind="stable").tolist()]
    together = {code: scorer.bought_together([code]) for code in cart}
    visitors = {"stranger": CustomerHistory("")}
    if history is not None and history.purchase_dates:
        visitors["customer"] = history
    predictions = scorer.predict(list(visitors.values()), items, now, len(items) + 100)
    for visitor, prediction in zip(visitors, predictions, strict=True):
        yield Case(visitor, cart, found, prediction.candidates, together, demand)


def show(choosing: Sequence[Case], reported: Sequence[Case]) -> None:
    """Print the weights on the first cases, then every ranking on the others."""
    for visitor in ("customer", "stranger"):
        print(f"\n{visitor}, ndcg@10 by weight, {sum(case.visitor == visitor for case in choosing):,} baskets")
        for weight in WEIGHTS:
            figure = mean(
                [ndcg_at(with_cart(case, weight), case.found, 10) for case in choosing if case.visitor == visitor]
            )
            print(f"  {weight:4g}  {figure:.4f}{'   in service' if weight == WEIGHT else ''}")
    print("\n| visitor | ranking | recall@10 | ndcg@10 | hit@10 |\n|---|---|---|---|---|")
    for visitor in ("customer", "stranger"):
        cases = [case for case in reported if case.visitor == visitor]
        rankings = {
            "in demand": [without_cart(case.demand, case) for case in cases],
            "item-to-item alone": [by_cart_alone(case) for case in cases],
            "model, cart left out": [with_cart(case, 0.0) for case in cases],
            f"model and cart, weight {WEIGHT:g}": [with_cart(case, WEIGHT) for case in cases],
        }
        for name, ranked in rankings.items():
            pairs = list(zip(ranked, cases, strict=True))
            recall = mean([recall_at(ranking, case.found, 10) for ranking, case in pairs])
            ndcg = mean([ndcg_at(ranking, case.found, 10) for ranking, case in pairs])
            hit = mean([hit_at(ranking, case.found, 10) for ranking, case in pairs])
            print(f"| {visitor} ({len(cases):,}) | {name} | {recall:.4f} | {ndcg:.4f} | {hit:.4f} |")


def with_cart(case: Case, weight: float) -> list[str]:
    """The first items of the model's ranking for the cart, at a weight."""
    return [each.stock_code for each in rank_for_cart(case.candidates, case.together, weight)[:10]]


def by_cart_alone(case: Case) -> list[str]:
    """Items by the score of the cart, then by demand."""
    scores: dict[str, float] = {}
    for found in case.together.values():
        for code, score in found.items():
            scores[code] = scores.get(code, 0.0) + score
    order = {code: position for position, code in enumerate(case.demand)}
    return without_cart(sorted(order, key=lambda code: (-scores.get(code, 0.0), order[code])), case)


def without_cart(ranking: Sequence[str], case: Case) -> list[str]:
    """A ranking without what is in the cart."""
    cart = frozenset(case.cart)
    return [code for code in ranking[: 10 + len(cart)] if code not in cart]


def mean(figures: Sequence[float]) -> float:
    """The mean of some figures, NaN for none."""
    return math.fsum(figures) / len(figures) if figures else math.nan


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", help="a table that nextbasket train can read")
    parser.add_argument("start", help="first day of the evaluated span")
    parser.add_argument("end", help="day after its last day")
    main(**vars(parser.parse_args()))
