"""Every served model, built without training: fitted parts are random."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tests.unit.features import test_two_tower_inputs
from tests.unit.serving import test_basket_scorer
from training.data.walk import StateReplay
from training.features.basket_lstm.global_statistics import GlobalStatistics
from training.features.item_table import ItemTable
from training.features.text import TermVectors, TextEncoder, terms
from training.features.two_tower.customer import KNOWN
from training.features.two_tower.inputs import NUMBERS, TIME_VARYING_INPUTS
from training.serving.baselines.ease import EaseWeights
from training.serving.baselines.formulas import FORMULAS
from training.serving.baselines.neighbours import METHODS, CustomerNeighbourhood
from training.serving.baselines.scorer import FITTED_SCORES, BaselineScorer, FittedScores
from training.serving.item_lstm.network import NumpyItemNetwork
from training.serving.item_lstm.scorer import ItemLstmScorer
from training.serving.return_time.gap_shares import GapShareCurves
from training.serving.scorer import Scorer
from training.serving.two_tower.network import NumpyTowers
from training.serving.two_tower.scorer import TwoTowerScorer

CODES = [f"{number:05d}" for number in range(40)]
"""The vocabulary: two thirds of the items of ``tests.unit.features.shop``."""
WIDTH = 6


def replayed() -> StateReplay:
    """Histories and items of the log that the models are fitted to."""
    replay = StateReplay(window=100)
    for invoice in test_basket_scorer.LOG:
        replay.apply(invoice)
    return replay


def _baseline(name: str) -> Scorer:
    return BaselineScorer(name, "v1", fitted=_fitted(name) if name in FITTED_SCORES else None)


def _fitted(name: str) -> FittedScores:
    if name in METHODS:
        replay = replayed()
        return CustomerNeighbourhood.fit(METHODS[name](neighbours=5), replay.histories.values(), replay.items)
    return EaseWeights(CODES, _normal(len(CODES), len(CODES)))


def _item_lstm(name: str) -> Scorer:
    cells = 5
    shapes = {
        "read": (len(CODES), WIDTH),
        "offered": (len(CODES), WIDTH),
        "popularity": (len(CODES),),
        "kernel": (WIDTH, 4 * cells),
        "recurrent": (cells, 4 * cells),
        "bias": (4 * cells,),
        "output": (cells, WIDTH),
    }
    return ItemLstmScorer(
        name,
        "v1",
        codes=CODES,
        network=NumpyItemNetwork({array: _normal(*shape) for array, shape in shapes.items()}),
        calibration=None,
        return_time=GapShareCurves.default(),
        text=text_encoder() if name == "text_lstm" else None,
    )


def text_encoder() -> TermVectors:
    """Knows the words of the shop's descriptions, "ITEM 7" and the like, and "MUG"."""
    known = sorted({term for number in range(60) for term in terms(f"ITEM {number}")} | set(terms("MUG")))
    return TermVectors(known, _normal(len(known), WIDTH))


def _two_tower(name: str) -> Scorer:
    encoding = test_two_tower_inputs.encoding(tuple(CODES))
    text, time_varying, tag_width = encoding.text.width, len(TIME_VARYING_INPUTS), 4
    identities = {
        "read": (len(CODES) + 1, WIDTH),
        "offered": (len(CODES) + 1, WIDTH),
        "identity_bias": (len(CODES) + 1,),
    }
    features = {
        "read_tags": (encoding.item_tag_count, tag_width),
        "item_tags": (encoding.item_tag_count, tag_width),
        "customer_tags": (encoding.customer_tag_count, tag_width),
        "feature_bias": (text + tag_width + time_varying,),
        "item_kernel_0": (text + tag_width + time_varying, WIDTH),
        "item_bias_0": (WIDTH,),
        "customer_kernel_0": (text + 2 * tag_width + len(NUMBERS), WIDTH),
        "customer_bias_0": (WIDTH,),
    }
    shapes: dict[str, tuple[int, ...]] = {"known": (len(KNOWN),)}
    shapes |= {} if name == "content" else identities
    shapes |= {} if name == "collaborative" else features
    return TwoTowerScorer(
        name,
        "v1",
        encoding=encoding,
        towers=NumpyTowers({array: _normal(*shape) for array, shape in shapes.items()}),
        calibration=None,
        return_time=GapShareCurves.default(),
    )


def _normal(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32) * np.float32(0.3)


def _basket_lstm(name: str) -> Scorer:
    scorer = test_basket_scorer.scorer()
    shared = scorer.statistics
    # Statistics cache what they know of a table: another scorer must not share that.
    statistics = GlobalStatistics(
        shared.codes, shared.neighbours, shared.item_statistics, shared.weeks, TermVectors(*_parts(shared.text))
    )
    return replace(scorer, statistics=statistics)


def _parts(text: TextEncoder) -> tuple[list[str], NDArray[np.float32]]:
    assert isinstance(text, TermVectors)
    return text.texts, text.vectors


SCORERS: dict[str, Callable[[str], Scorer]] = {
    **dict.fromkeys(FORMULAS, _baseline),
    **dict.fromkeys(("label_lstm", "frequent_lstm", "text_lstm"), _item_lstm),
    **dict.fromkeys(("hybrid", "content", "collaborative"), _two_tower),
    "basket_lstm": _basket_lstm,
}
"""Makes a scorer by the name of its model."""


def make_scorer(name: str) -> Scorer:
    """A scorer with the same random parts on every call."""
    return SCORERS[name](name)


def copied(items: ItemTable) -> dict[str, object]:
    """Everything that can be read of an item table, to compare with later."""
    now = test_basket_scorer.NOW
    columns = {name: getattr(items, name).tolist() for name in ("first", "last", "sold", "price")}
    rows = [(code, items.description(code), items.attributes(code)) for code in items.codes]
    return {**columns, "rows": rows, "demand": items.demand(now).tolist(), "shares": items.shares(now).tolist()}
