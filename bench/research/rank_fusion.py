"""Accuracy of the fused lists of two models, against the first model's alone.

    python -m bench.research.rank_fusion TABLE PREDICTIONS FROM TO ONE OTHER

``PREDICTIONS`` is the output of ``nextbasket evaluate --task discover --predictions-out`` with both models. The lists
are fused by reciprocal ranks (Cormack, Clarke and Buettcher, SIGIR 2009, with a constant of 20, not 60, since 20 items
are shown) and by the weighted logarithms of the probabilities. Differences are over the same invoices. Takes a minute.
"""

import argparse
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
"""Weights of the second model."""
DAMPING = 20
SHOWN = ("recall@20", "recall@20_cold", "ndcg@10", "hit@10")


def by_rank(one: Ranking, other: Ranking, share: float) -> list[str]:
    """Items of both lists by the weighted sum of 1 / (20 + rank), best first."""
    score: dict[str, float] = {}
    for ranked, weight in ((one, 1.0 - share), (other, share)):
        for rank, code in enumerate(ranked.stock_codes):
            score[code] = score.get(code, 0.0) + weight / (DAMPING + rank)
    return sorted(score, key=lambda code: -score[code])


def by_probability(one: Ranking, other: Ranking, share: float) -> list[str]:
    """Items of both lists by the weighted sum of log probabilities; a missing item is below the list's minimum."""
    score: dict[str, float] = {}
    lists = [
        dict(zip(ranked.stock_codes, np.log(np.maximum(ranked.probabilities, 1e-9)), strict=True))
        for ranked in (one, other)
    ]
    for logs, weight in zip(lists, (1.0 - share, share), strict=True):
        lowest = min(logs.values(), default=0.0) - 0.5
        for code in lists[0].keys() | lists[1].keys():
            score[code] = score.get(code, 0.0) + weight * float(logs.get(code, lowest))
    return sorted(score, key=lambda code: (-score[code], code))


def main(table: str, predictions: str, start: str, end: str, one: str, other: str) -> None:
    """Print the means of each fusion, and their differences from the first model with 95 % intervals over customers."""
    log, _ = read_table(Path(table), load_settings())
    cases, _, catalogue_size = evaluation_cases(log, parse_span(start, end))
    rows = pd.read_parquet(predictions)
    columns = [rows[name].to_list() for name in ("model", "invoice_no", "stock_codes", "probabilities")]
    ranked = {
        (model, invoice_no): Ranking(list(codes), list(probabilities))
        for model, invoice_no, codes, probabilities in zip(*columns, strict=True)
    }
    evaluated = [case for case in cases.values() if (one, case.invoice_no) in ranked]
    alone = {name: [ranked[name, case.invoice_no] for case in evaluated] for name in (one, other)}
    pairs = list(zip(alone[one], alone[other], strict=True))
    lists_by_fusion = dict(alone)
    for name, fuse in (("ranks", by_rank), ("chances", by_probability)):
        for share in SHARES:
            fused = [fuse(first, second, share) for first, second in pairs]
            lists_by_fusion[f"{name}, {share:g} {other}"] = [Ranking(codes, [0.5] * len(codes)) for codes in fused]
    run = EvaluationRun("visit", "discover", evaluated, lists_by_fusion, catalogue_size)
    measured = {name: model_metrics(run, name) for name in lists_by_fusion}
    draws = resampling(evaluated, seed=7)
    print(f"{len(evaluated):>5,} invoices      " + "".join(f"{name:>32}" for name in SHOWN))
    for name, each in measured.items():
        ahead = metric_differences(each, measured[one], draws)
        cells = [
            f"{np.nanmean(each.per_invoice[metric]):.4f} {gain.mean:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]"
            for metric in SHOWN
            for gain in (ahead[metric],)
        ]
        print(f"{name:20}" + "".join(f"{cell:>32}" for cell in cells))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("table", "predictions", "start", "end", "one", "other"):
        parser.add_argument(name)
    main(**vars(parser.parse_args()))
