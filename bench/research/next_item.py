"""Accuracy of predicting the next item, the task of earlier models.

    python -m bench.research.next_item PATH 2011-11-09 2011-12-10

Given what a customer bought so far, line by line in the order of the log: which item is on the next line? It is mostly
on another line of the same invoice, so this is not the next basket. Fits the three item LSTMs: about 30 minutes.
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from state.events.invoice import Invoice
from state.settings import load_settings
from training.data.cleaning.clean import clean
from training.data.cleaning.invoices import invoices
from training.data.tables.invoice_table import load
from training.evaluation.split import Span, parse_span
from training.models import make_model
from training.models.item_lstm.sequences import Purchase, item_sequences, most_purchased
from training.serving.item_lstm.scorer import SEQUENCE_LENGTH, ItemLstmScorer

MAX_LINES = 10_000
"""Lines that are evaluated, evenly spaced; the standard error of a share of 10 % is then .3 %."""
BATCH = 500
FREQUENT = (100, 500)

Scores = Callable[[Sequence[Sequence[str]]], NDArray[np.floating]]
"""Score of every known item as the next one after some sequences, ``[sequences, items]``."""


class NextItemModel(NamedTuple):
    """A model of the next item: the items it knows, and its scores of them."""

    name: str
    codes: list[str]
    scores: Scores


class NextItemCase(NamedTuple):
    """The item of a line, and the stock codes that the customer bought before it, oldest first."""

    item: str
    before: list[str]


def main(path: str, start: str, end: str) -> None:
    """Evaluate the item LSTMs and the baselines on the lines from ``start`` to ``end`` (excluded)."""
    settings = load_settings()
    log = invoices(clean(load(Path(path)), settings))
    evaluated = parse_span(start, end)
    models = baselines(log, evaluated.start)
    for name in ("label_lstm", "frequent_lstm", "text_lstm"):
        scorer = make_model(name).fit(log, until=evaluated.start, seed=settings.seed).scorer
        assert isinstance(scorer, ItemLstmScorer)
        models.append(NextItemModel(name, scorer.codes, scorer.scores))
    show(models, log, evaluated)


def show(models: Sequence[NextItemModel], log: Sequence[Invoice], evaluated: Span) -> None:
    """Print accuracy on the lines whose item is known, and on all lines, where an unknown item is a miss."""
    bought = list(item_sequences(log, evaluated.end).values())
    everything = len(lines(bought, evaluated, None))
    print(f"{everything:,} lines whose customer bought before\n")
    print("| | items | top-1, its lines | HR@10, its lines | share of lines | top-1, all lines | HR@10, all lines |")
    print("|---|---|---|---|---|---|---|")
    for model in models:
        known = lines(bought, evaluated, set(model.codes))
        rank = ranks(model, known[:: -(-len(known) // MAX_LINES)])
        top, ten, share = float((rank == 0).mean()), float((rank < 10).mean()), len(known) / everything
        figures = " | ".join(f"{each:.3f}" for each in (top, ten, share, top * share, ten * share))
        print(f"| {model.name} | {len(model.codes):,} | {figures} |")


def lines(bought: Sequence[Sequence[Purchase]], evaluated: Span, known: set[str] | None) -> list[NextItemCase]:
    """The lines of a span after an earlier line of the same customer; items that are not ``known`` are left out."""
    found = []
    for sequence in bought:
        known_items = [item for item in sequence if known is None or item.stock_code in known]
        codes = [item.stock_code for item in known_items]
        found += [
            NextItemCase(codes[number], codes[max(0, number - SEQUENCE_LENGTH) : number])
            for number in range(1, len(known_items))
            if known_items[number].date >= evaluated.start
        ]
    return found


def ranks(model: NextItemModel, evaluated: Sequence[NextItemCase]) -> NDArray[np.int64]:
    """Rank of the item of each line: the number of items with a higher score, and of equal ones listed before it."""
    index = {code: number for number, code in enumerate(model.codes)}
    found: list[NDArray[np.int64]] = []
    for first in range(0, len(evaluated), BATCH):
        batch = evaluated[first : first + BATCH]
        scores = model.scores([line.before for line in batch])
        target = np.asarray([index[line.item] for line in batch])
        own_score = scores[np.arange(len(batch)), target][:, None]
        before = (scores > own_score) | ((scores == own_score) & (np.arange(scores.shape[1]) < target[:, None]))
        found.append(before.sum(axis=1))
    return np.concatenate(found)


def baselines(log: Sequence[Invoice], until: int) -> list[NextItemModel]:
    """Popularity, and the most frequent followers of the last item, over all items and over the frequent ones."""
    bought = item_sequences(log, until)
    everything = most_purchased(bought.values(), sys.maxsize)
    models = [NextItemModel("what sold most", list(everything), _popularity(everything))]
    for number in (*FREQUENT, len(everything)):
        codes = list(everything)[:number]
        models.append(NextItemModel("what followed most", codes, _bigram(bought.values(), everything, codes)))
    return models


def _popularity(sold: dict[str, int]) -> Scores:
    row = np.asarray(list(sold.values()), np.float32)
    return lambda sequences: np.broadcast_to(row, (len(sequences), len(row)))


def _bigram(bought: Iterable[Sequence[Purchase]], sold: dict[str, int], codes: list[str]) -> Scores:
    index = {code: number for number, code in enumerate(codes)}
    share = np.asarray([sold[code] for code in codes], np.float32) / sum(sold.values())
    followed = np.tile(share, (len(codes), 1))  # below 1: popularity decides between equals only
    for sequence in bought:
        known = np.asarray([index[item.stock_code] for item in sequence if item.stock_code in index], np.int64)
        np.add.at(followed, (known[:-1], known[1:]), np.float32(1.0))
    return lambda sequences: followed[[index[each[-1]] for each in sequences]]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", help="a table that nextbasket train can read")
    parser.add_argument("start", help="first day of the span")
    parser.add_argument("end", help="the day after the last one")
    main(**vars(parser.parse_args()))
