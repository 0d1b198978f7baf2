"""Print what two models' lists are worth together.

    python -m bench.research.rank_fusion TABLE PREDICTIONS FROM TO ONE OTHER

``PREDICTIONS`` is what ``nextbasket evaluate --task discover --predictions-out`` wrote of both models. The lists are
joined by reciprocal ranks (Cormack, Clarke and Buettcher, SIGIR 2009, with 20 for their 60, since 20 items are shown)
and by the weighted logs of the probabilities, and set against the first model's alone, invoice by invoice.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from state.settings import load_settings
from training.data.log import read_table
from training.evaluation.cases import evaluation_cases
from training.evaluation.model_metrics import metric_differences, model_metrics, resampling
from training.evaluation.prequential import EvaluationRun, Ranking
from training.evaluation.split import parse_span

SHARES = (0.2, 0.35, 0.5)
"""Of the second model."""
DAMPING = 20
SHOWN = ("recall@20", "recall@20_cold", "ndcg@10", "hit@10")


def by_rank(one: Ranking, other: Ranking, share: float) -> list[str]:
    """Items of both lists by the weighted sum of 1 / (20 + rank)."""
    score: dict[str, float] = {}
    for ranked, weight in ((one, 1.0 - share), (other, share)):
        for rank, code in enumerate(ranked.stock_codes):
            score[code] = score.get(code, 0.0) + weight / (DAMPING + rank)
    return sorted(score, key=lambda code: -score[code])


def by_chance(one: Ranking, other: Ranking, share: float) -> list[str]:
    """Items of both lists by the weighted sum of log probabilities; one that a list lacks is less than its least."""
    score: dict[str, float] = {}
    lists = [
        dict(zip(ranked.stock_codes, np.log(np.maximum(ranked.probabilities, 1e-9)), strict=True))
        for ranked in (one, other)
    ]
    for chances, weight in zip(lists, (1.0 - share, share), strict=True):
        least = min(chances.values(), default=0.0) - 0.5
        for code in lists[0].keys() | lists[1].keys():
            score[code] = score.get(code, 0.0) + weight * float(chances.get(code, least))
    return sorted(score, key=lambda code: (-score[code], code))


def main(table: str, predictions: str, start: str, end: str, one: str, other: str) -> None:
    """Print means of every way, and how far it is from the first model alone, with 95 % intervals over customers."""
    log, _ = read_table(Path(table), load_settings())
    cases, _, catalogue_size = evaluation_cases(log, parse_span(start, end))
    rows = pd.read_parquet(predictions)
    columns = [rows[name].to_list() for name in ("model", "invoice_no", "stock_codes", "probabilities")]
    ranked = {
        (model, invoice_no): Ranking(list(codes), list(chances))
        for model, invoice_no, codes, chances in zip(*columns, strict=True)
    }
    judged = [case for case in cases.values() if (one, case.invoice_no) in ranked]
    alone = {name: [ranked[name, case.invoice_no] for case in judged] for name in (one, other)}
    pairs = list(zip(alone[one], alone[other], strict=True))
    ways = dict(alone)
    for name, way in (("ranks", by_rank), ("chances", by_chance)):
        for share in SHARES:
            joined = [way(first, second, share) for first, second in pairs]
            ways[f"{name}, {share:g} {other}"] = [Ranking(codes, [0.5] * len(codes)) for codes in joined]
    run = EvaluationRun("visit", "discover", judged, ways, catalogue_size)
    measured = {name: model_metrics(run, name) for name in ways}
    draws = resampling(judged, seed=7)
    print(f"{len(judged):>5,} invoices      " + "".join(f"{name:>32}" for name in SHOWN))
    for name, each in measured.items():
        ahead = metric_differences(each, measured[one], draws)
        cells = [
            f"{np.nanmean(each.per_invoice[metric]):.4f} {gain.mean:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]"
            for metric in SHOWN
            for gain in (ahead[metric],)
        ]
        print(f"{name:20}" + "".join(f"{cell:>32}" for cell in cells))


if __name__ == "__main__":
    if len(sys.argv) != 7:
        sys.exit(__doc__)
    main(*sys.argv[1:])
