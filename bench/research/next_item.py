"""Print how often the next item is foreseen: ``python -m bench.research.next_item PATH 2011-11-09 2011-12-10``.

The task of the earlier approaches: given what a customer bought so far, line by line in the order of the log, which
item is on the next line? Most often that is another line of the same invoice, so this is no next basket.
"""

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
from training.models.item_lstm.sequences import Bought, most_bought, sequences
from training.serving.item_lstm.scorer import STEPS, ItemLstmScorer

MOST_LINES = 10_000
"""Lines that are judged, evenly spaced: a share of 10 % is then known to ± .6 %."""
READ_BATCH = 500
FREQUENT = (100, 500)

Scores = Callable[[Sequence[Sequence[str]]], NDArray[np.floating]]
"""Score of every known item as the next one after some sequences, ``[sequences, items]``."""


class Guesser(NamedTuple):
    """Something that foresees the next item: the items it knows, and its scores of them."""

    name: str
    codes: list[str]
    scores: Scores


class Line(NamedTuple):
    """The item of a line, and what the customer bought before it, oldest first."""

    item: str
    before: list[str]


def main(path: str, start: str, end: str) -> None:
    """Judge the item LSTMs, and what needs no training, on the lines from ``start`` to ``end`` (not included)."""
    settings = load_settings()
    log = invoices(clean(load(Path(path)), settings))
    judged = parse_span(start, end)
    guessers = simple(log, judged.start)
    for name in ("label_lstm", "frequent_lstm", "text_lstm"):
        scorer = make_model(name).fit(log, until=judged.start, seed=settings.seed).scorer
        assert isinstance(scorer, ItemLstmScorer)
        guessers.append(Guesser(name, scorer.codes, scorer.scores))
    show(guessers, log, judged)


def show(guessers: Sequence[Guesser], log: Sequence[Invoice], judged: Span) -> None:
    """Print a table: of the lines whose item is known, and of all lines, where an unknown item counts as missed."""
    bought = list(sequences(log, judged.end).values())
    everything = len(lines(bought, judged, None))
    print(f"{everything:,} lines whose customer bought before\n")
    print("| | items | top-1, its lines | HR@10, its lines | share of lines | top-1, all lines | HR@10, all lines |")
    print("|---|---|---|---|---|---|---|")
    for guesser in guessers:
        known = lines(bought, judged, set(guesser.codes))
        rank = ranks(guesser, known[:: -(-len(known) // MOST_LINES)])
        top, ten, share = float((rank == 0).mean()), float((rank < 10).mean()), len(known) / everything
        figures = " | ".join(f"{each:.3f}" for each in (top, ten, share, top * share, ten * share))
        print(f"| {guesser.name} | {len(guesser.codes):,} | {figures} |")


def lines(bought: Sequence[Sequence[Bought]], judged: Span, known: set[str] | None) -> list[Line]:
    """The lines of a span that follow an earlier one of the same customer; other items than ``known`` are dropped."""
    found = []
    for sequence in bought:
        kept = [item for item in sequence if known is None or item.stock_code in known]
        codes = [item.stock_code for item in kept]
        found += [
            Line(codes[number], codes[max(0, number - STEPS) : number])
            for number in range(1, len(kept))
            if kept[number].date >= judged.start
        ]
    return found


def ranks(guesser: Guesser, judged: Sequence[Line]) -> NDArray[np.int64]:
    """Number of items that were scored above the one that came (of equals, those that are listed first)."""
    place = {code: number for number, code in enumerate(guesser.codes)}
    found: list[NDArray[np.int64]] = []
    for first in range(0, len(judged), READ_BATCH):
        batch = judged[first : first + READ_BATCH]
        scores = guesser.scores([line.before for line in batch])
        came = np.asarray([place[line.item] for line in batch])
        mine = scores[np.arange(len(batch)), came][:, None]
        ahead = (scores > mine) | ((scores == mine) & (np.arange(scores.shape[1]) < came[:, None]))
        found.append(ahead.sum(axis=1))
    return np.concatenate(found)


def simple(log: Sequence[Invoice], until: int) -> list[Guesser]:
    """What sold most, and what most often came after the last item, over all items and over the frequent ones."""
    bought = sequences(log, until)
    everything = most_bought(bought.values(), sys.maxsize)
    guessers = [Guesser("what sold most", list(everything), _popularity(everything))]
    for most in (*FREQUENT, len(everything)):
        codes = list(everything)[:most]
        guessers.append(Guesser("what followed most", codes, _bigram(bought.values(), everything, codes)))
    return guessers


def _popularity(sold: dict[str, int]) -> Scores:
    row = np.asarray(list(sold.values()), np.float32)
    return lambda sequences: np.broadcast_to(row, (len(sequences), len(row)))


def _bigram(bought: Iterable[Sequence[Bought]], sold: dict[str, int], codes: list[str]) -> Scores:
    place = {code: number for number, code in enumerate(codes)}
    share = np.asarray([sold[code] for code in codes], np.float32) / sum(sold.values())
    followed = np.tile(share, (len(codes), 1))  # below 1: what sold most decides between equals only
    for sequence in bought:
        known = np.asarray([place[item.stock_code] for item in sequence if item.stock_code in place], np.int64)
        np.add.at(followed, (known[:-1], known[1:]), np.float32(1.0))
    return lambda sequences: followed[[place[each[-1]] for each in sequences]]


if __name__ == "__main__":
    main(*sys.argv[1:])
