"""Retrieval: scores are linear in the inputs of the fit; candidates are the items bought and the best new ones."""

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from state.domain.history import CustomerHistory
from state.events.dates import DAY
from tests.unit.features.shop import history, shop_log
from training.data.walk import StateReplay
from training.features.basket_lstm import large_catalogue
from training.features.basket_lstm import view as module
from training.features.basket_lstm.candidates import history_vectors
from training.features.basket_lstm.customer_items import customer_items
from training.features.basket_lstm.flat_histories import flatten
from training.features.basket_lstm.global_statistics import BASKETS
from training.features.basket_lstm.i2i_scores import i2i_scores_by_customer
from training.features.basket_lstm.retrieval import (
    DEFAULT_WEIGHTS,
    RETRIEVAL_INPUTS,
    Retrieval,
    RetrievalIndex,
    largest,
)
from training.features.basket_lstm.view import CANDIDATE_INPUTS, View, build_view
from training.features.item_inputs import ITEM_STATE_INPUTS, ItemSnapshot
from training.features.item_table import ItemTable
from training.models.global_statistics import fit_global_statistics

LOG = shop_log(200)
NOW = LOG[-1].date + DAY
STATISTICS = fit_global_statistics(LOG, NOW)


@pytest.fixture(scope="module")
def replay() -> StateReplay:
    replay = StateReplay(window=100)
    for invoice in LOG:
        replay.apply(invoice)
    return replay


def weights(**given: float) -> tuple[float, ...]:
    assert given.keys() <= set(RETRIEVAL_INPUTS)
    return tuple(given.get(name, 0.0) for name in RETRIEVAL_INPUTS)


def codes(view: View, replay: StateReplay, *, is_held: bool) -> list[str]:
    found = [replay.items.codes[row] for row in view.row[view.is_held == is_held]]
    return sorted(found)


def test_a_score_is_the_inputs_by_their_weights(replay: StateReplay) -> None:
    drawn = np.random.default_rng(1).normal(size=len(RETRIEVAL_INPUTS)).astype(np.float32)
    histories = list(replay.histories.values())[:5]
    flat = flatten(histories, replay.items)
    snapshot = ItemSnapshot.at(replay.items, NOW, 0)
    binding = STATISTICS.bind(replay.items)
    index = RetrievalIndex.of(snapshot, binding.index_of_row, binding.vectors, drawn)

    bought = customer_items(flat, NOW, snapshot.size)
    similarities = history_vectors(bought, 5, binding.vectors) @ index.vectors.T
    assert (similarities.max(axis=1) > 0.3).all()
    checked = 0
    customers = i2i_scores_by_customer(flat, bought, binding.index_of_row, STATISTICS)
    for customer, similarity in zip(customers, similarities, strict=True):
        scores = customer.scores
        inputs = index.inputs(snapshot, scores, similarity)
        assert inputs.shape == (len(replay.items), len(RETRIEVAL_INPUTS))
        np.testing.assert_allclose(index.scores(scores, similarity, drawn), inputs @ drawn, rtol=1e-4, atol=1e-3)
        assert all(inputs[:, column].any() for column in range(5))
        checked += 1
    assert checked == 5


@pytest.mark.parametrize("new", [0, 7, 1_000])
def test_candidates_are_the_items_bought_and_the_best_new_ones(new: int, replay: StateReplay) -> None:
    customer_history = next(iter(replay.histories.values()))
    retrieval = Retrieval(weights(demand_3=1.0), max_new_candidates=new)
    view = build_view([customer_history], replay.items, NOW, STATISTICS, retrieval)

    demand = ItemSnapshot.at(replay.items, NOW, 0).inputs[:, ITEM_STATE_INPUTS.index("demand_3")]
    bought = codes(view, replay, is_held=True)
    others = [row for row in np.argsort(-demand, kind="stable") if replay.items.codes[row] not in bought]
    assert set(bought) == {code for code in replay.items.codes if code in _net_codes(customer_history)}
    assert codes(view, replay, is_held=False) == sorted(replay.items.codes[row] for row in others[:new])


def _net_codes(customer_history: CustomerHistory) -> set[str]:
    net: dict[str, int] = {}
    for invoice in customer_history.invoices:
        for line in invoice.lines:
            net[line.stock_code] = net.get(line.stock_code, 0) + line.quantity
    return {code for code, quantity in net.items() if quantity > 0}


def test_of_the_items_bought_the_newest_are_candidates(replay: StateReplay) -> None:
    customer_history = history(*((LOG[0].date + day * DAY, {f"{day:05d}": 1}) for day in range(20)))
    view = build_view(
        [customer_history], replay.items, NOW, STATISTICS, Retrieval(max_repeat_candidates=5, max_new_candidates=0)
    )

    assert codes(view, replay, is_held=True) == [f"{day:05d}" for day in range(15, 20)]


def test_without_a_history_candidates_are_those_in_demand(replay: StateReplay) -> None:
    nine = Retrieval(weights(demand_7=1.0), max_new_candidates=9)
    view = build_view([CustomerHistory("nobody")], replay.items, NOW, STATISTICS, nine)

    demand = replay.items.demand(NOW)[:, 2]
    assert sorted(view.row.tolist()) == sorted(np.argsort(-demand, kind="stable")[:9].tolist())


def test_text_similarity_retrieves_an_item_outside_the_vocabulary(replay: StateReplay) -> None:
    """Its description is similar to that of the only item bought."""
    customer_history = history((LOG[0].date, {"00017": 1}))
    fewer = fit_global_statistics(
        [invoice for invoice in LOG if all(line.stock_code != "00018" for line in invoice.lines)], NOW
    )
    assert "00018" not in fewer.codes
    most_similar = max(
        (code for code in replay.items.codes if code != "00017"),
        key=lambda code: float(
            fewer.bind(replay.items).vectors[replay.items.rows[code]]
            @ fewer.bind(replay.items).vectors[replay.items.rows["00017"]]
        ),
    )
    view = build_view(
        [customer_history],
        replay.items,
        NOW,
        fewer,
        Retrieval(weights(text_similarity_history=1.0), max_new_candidates=1),
    )

    assert codes(view, replay, is_held=False) == [most_similar]


def test_of_a_large_catalogue_the_leaders_and_the_neighbours_are_scored_as_all_of_a_small_one(
    replay: StateReplay, monkeypatch: pytest.MonkeyPatch
) -> None:
    histories = list(replay.histories.values())[:6]
    histories.append(CustomerHistory("new"))
    histories.append(replace(histories[0], customer_id="one basket", invoices=histories[0].invoices[:1]))
    whole = build_view(histories, replay.items, NOW, STATISTICS, Retrieval())
    monkeypatch.setattr(module, "MAX_SCORED", 10)

    found = build_view(histories, replay.items, NOW, STATISTICS, Retrieval())  # all 60 items lead

    for name in ("customer", "row", "is_held", "item_index", "length", "customer_item_index"):
        np.testing.assert_array_equal(getattr(found, name), getattr(whole, name), err_msg=name)
    for name in ("candidate_inputs", "step_inputs", "customer_inputs"):
        np.testing.assert_allclose(getattr(found, name), getattr(whole, name), atol=1e-5, err_msg=name)


def test_of_a_large_catalogue_a_neighbour_is_found_that_does_not_lead(
    replay: StateReplay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_SCORED", 10)
    monkeypatch.setattr(ItemTable, "leaders", lambda items: np.arange(3))
    history = next(iter(replay.histories.values()))

    view = build_view([history], replay.items, NOW, STATISTICS, Retrieval(weights(i2i_score_baskets=1.0)))

    new = set(view.row[~view.is_held].tolist())
    assert new - {0, 1, 2}
    scores = view.candidate_inputs[~view.is_held, CANDIDATE_INPUTS.index("i2i_score_baskets")]
    assert (scores[view.row[~view.is_held] > 2] != 0.0).all()


def test_of_a_large_catalogue_the_items_bought_most_and_last_are_candidates(
    replay: StateReplay, monkeypatch: pytest.MonkeyPatch
) -> None:
    histories = list(replay.histories.values())[:6]
    monkeypatch.setattr(module, "MAX_SCORED", 10)
    whole = build_view(histories, replay.items, NOW, STATISTICS, Retrieval(max_repeat_candidates=3))
    monkeypatch.setattr(large_catalogue, "MAX_REPEAT_CANDIDATES", 3)

    found = build_view(histories, replay.items, NOW, STATISTICS, Retrieval())

    np.testing.assert_array_equal(found.row, whole.row)
    np.testing.assert_allclose(found.candidate_inputs, whole.candidate_inputs, atol=1e-6)
    assert np.bincount(found.customer[found.is_held]).tolist() == [3] * 6


def test_of_a_large_catalogue_the_items_bought_most_and_last_lead_to_neighbours(
    replay: StateReplay, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = max(replay.histories.values(), key=lambda history: len(history.invoices))
    column = CANDIDATE_INPUTS.index("i2i_score_baskets")
    monkeypatch.setattr(module, "MAX_SCORED", 10)
    scores = {}
    for number in (1, 2, 1_000):
        monkeypatch.setattr(large_catalogue, "MAX_SOURCES", number)
        view = build_view([history], replay.items, NOW, STATISTICS, Retrieval())
        heaviest = view.customer_item_index[view.customer_items.slowly_decayed_count.argsort()[::-1][:number]]
        weights = dict.fromkeys(view.item_index.tolist(), 0.0)
        neighbours, weight = STATISTICS.neighbours[BASKETS]
        counts = np.sort(view.customer_items.slowly_decayed_count)[::-1][:number]
        for source, count in zip(heaviest.tolist(), counts / np.linalg.norm(counts), strict=True):
            for neighbour, each in zip(neighbours[source].tolist(), weight[source].tolist(), strict=True):
                if neighbour in weights:
                    weights[neighbour] += each * count
        expected = [weights[index] for index in view.item_index.tolist()]
        np.testing.assert_allclose(view.candidate_inputs[:, column], expected, atol=1e-5)
        scores[number] = view.candidate_inputs[:, column].tolist()
    assert scores[1] != scores[2] != scores[1_000]


@given(st.lists(st.integers(-5, 5), max_size=30), st.integers(-1, 35))
def test_the_largest_are_found_and_of_equal_ones_the_first(scores: list[int], n: int) -> None:
    found = largest(np.asarray(scores, np.float32), n).tolist()

    assert len(found) == min(max(n, 0), len(scores))
    expected = sorted(range(len(scores)), key=lambda position: (-scores[position], position))[: max(n, 0)]
    assert set(found) == set(expected)  # of equal scores the first


def test_default_weights_name_inputs_that_exist() -> None:
    named: Mapping[str, float] = DEFAULT_WEIGHTS
    assert named.keys() <= set(RETRIEVAL_INPUTS)
