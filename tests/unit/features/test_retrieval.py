"""Retrieval: what is scored is what is learnt from, and candidates are the own items and the best of the others."""

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from state.domain.history import CustomerHistory
from state.events.dates import DAY
from tests.unit.features.shop import history, shop_log
from training.data.walk import StateReplay
from training.features.basket_lstm import retrieval as module
from training.features.basket_lstm.candidates import RELATED_INPUTS, directions, each_customer
from training.features.basket_lstm.customer_items import customer_items
from training.features.basket_lstm.flat_histories import flatten
from training.features.basket_lstm.retrieval import RETRIEVAL_INPUTS, Retrieval, RetrievalIndex, largest
from training.features.basket_lstm.view import View, build_view
from training.features.item_inputs import ITEM_STATE_INPUTS, ItemSnapshot
from training.models.global_statistics import fit_global_statistics

LOG = shop_log(200)
NOW = LOG[-1].date + DAY
KNOWLEDGE = fit_global_statistics(LOG, NOW)


@pytest.fixture(scope="module")
def replay() -> StateReplay:
    replay = StateReplay(window=100)
    for invoice in LOG:
        replay.apply(invoice)
    return replay


def weights(**given: float) -> tuple[float, ...]:
    assert given.keys() <= set(RETRIEVAL_INPUTS)
    return tuple(given.get(name, 0.0) for name in RETRIEVAL_INPUTS)


def codes(view: View, replay: StateReplay, *, known: bool) -> list[str]:
    found = [replay.items.codes[row] for row in view.row[view.known == known]]
    return sorted(found)


def test_a_score_is_the_inputs_by_their_weights(replay: StateReplay) -> None:
    drawn = np.random.default_rng(1).normal(size=len(RETRIEVAL_INPUTS)).astype(np.float32)
    histories = list(replay.histories.values())[:5]
    flat = flatten(histories, replay.items)
    shop = ItemSnapshot.at(replay.items, NOW, 0)
    binding = KNOWLEDGE.bind(replay.items)
    shelf = RetrievalIndex.of(shop, binding.place_of_row, binding.vectors, drawn)

    own = customer_items(flat, NOW, shop.size)
    alike = directions(own, 5, binding.vectors) @ shelf.vectors.T
    assert (alike.max(axis=1) > 0.3).all()
    checked = 0
    for one, similarity in zip(each_customer(flat, own, binding.place_of_row, KNOWLEDGE), alike, strict=True):
        said = one.said[: len(RELATED_INPUTS)]
        inputs = shelf.inputs(shop, said, similarity)
        assert inputs.shape == (len(replay.items), len(RETRIEVAL_INPUTS))
        np.testing.assert_allclose(shelf.scores(said, similarity, drawn), inputs @ drawn, rtol=1e-4, atol=1e-3)
        assert all(inputs[:, column].any() for column in range(5))
        checked += 1
    assert checked == 5


@pytest.mark.parametrize("new", [0, 7, 1_000])
def test_candidates_are_the_own_items_and_the_best_new_ones(new: int, replay: StateReplay) -> None:
    mine = next(iter(replay.histories.values()))
    retrieval = Retrieval(weights(demand_3=1.0), new=new)
    view = build_view([mine], replay.items, NOW, KNOWLEDGE, retrieval)

    demand = ItemSnapshot.at(replay.items, NOW, 0).fixed[:, ITEM_STATE_INPUTS.index("demand_3")]
    own = codes(view, replay, known=True)
    others = [row for row in np.argsort(-demand, kind="stable") if replay.items.codes[row] not in own]
    assert set(own) == {code for code in replay.items.codes if code in _kept(mine)}
    assert codes(view, replay, known=False) == sorted(replay.items.codes[row] for row in others[:new])


def _kept(mine: CustomerHistory) -> set[str]:
    net: dict[str, int] = {}
    for invoice in mine.invoices:
        for line in invoice.lines:
            net[line.stock_code] = net.get(line.stock_code, 0) + line.quantity
    return {code for code, quantity in net.items() if quantity > 0}


def test_of_the_own_items_the_newest_are_kept(replay: StateReplay) -> None:
    mine = history(*((LOG[0].date + day * DAY, {f"{day:05d}": 1}) for day in range(20)))
    view = build_view([mine], replay.items, NOW, KNOWLEDGE, Retrieval(own=5, new=0))

    assert codes(view, replay, known=True) == [f"{day:05d}" for day in range(15, 20)]


def test_a_stranger_is_shown_what_sells(replay: StateReplay) -> None:
    nine = Retrieval(weights(demand_7=1.0), new=9)
    view = build_view([CustomerHistory("stranger")], replay.items, NOW, KNOWLEDGE, nine)

    demand = replay.items.demand(NOW)[:, 2]
    assert sorted(view.row.tolist()) == sorted(np.argsort(-demand, kind="stable")[:9].tolist())


def test_words_find_what_nobody_bought_yet(replay: StateReplay) -> None:
    """An item outside the vocabulary, whose description is like that of the only own item."""
    mine = history((LOG[0].date, {"00017": 1}))
    fewer = fit_global_statistics(
        [invoice for invoice in LOG if all(line.stock_code != "00018" for line in invoice.lines)], NOW
    )
    assert "00018" not in fewer.codes
    likest = max(
        (code for code in replay.items.codes if code != "00017"),
        key=lambda code: float(
            fewer.bind(replay.items).vectors[replay.items.rows[code]]
            @ fewer.bind(replay.items).vectors[replay.items.rows["00017"]]
        ),
    )
    view = build_view([mine], replay.items, NOW, fewer, Retrieval(weights(text_like_history=1.0), new=1))

    assert codes(view, replay, known=False) == [likest]


def test_of_a_large_catalogue_what_sells_best_is_scored(replay: StateReplay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SCORED", 10)
    mine = next(iter(replay.histories.values()))
    view = build_view([mine], replay.items, NOW, KNOWLEDGE, Retrieval(weights(demand_3=1.0, customers=50.0), own=0))

    demand = ItemSnapshot.at(replay.items, NOW, 0).fixed[:, ITEM_STATE_INPUTS.index("demand_3")]
    best = {replay.items.codes[row] for row in np.argsort(-demand, kind="stable")[:10]}
    assert set(codes(view, replay, known=False)) == best - _kept(mine)


@given(st.lists(st.integers(-5, 5), max_size=30), st.integers(-1, 35))
def test_the_largest_are_no_smaller_than_the_rest(scores: list[int], n: int) -> None:
    found = largest(np.asarray(scores, np.float32), n).tolist()

    assert len(set(found)) == len(found) == min(max(n, 0), len(scores))
    rest = [score for place, score in enumerate(scores) if place not in found]
    assert not found or not rest or min(scores[place] for place in found) >= max(rest)


def test_the_usual_weights_are_those_of_inputs_there_are() -> None:
    named: Mapping[str, float] = module.DEFAULT_WEIGHTS
    assert named.keys() <= set(RETRIEVAL_INPUTS)
