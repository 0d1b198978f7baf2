"""``BasketScorer`` without Keras: any history gets a prediction, and a damaged bundle is refused."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from state.domain.history import CustomerHistory
from state.domain.items import HALF_LIVES
from tests.unit.answers import assert_same_answers
from tests.unit.features.shop import START, history, shop_log
from tests.unit.features.test_view import HISTORIES
from tests.unit.serving.test_return_curve import arrays as return_arrays
from training.data.walk import StateReplay
from training.features.basket_lstm.customer_inputs import CUSTOMER_INPUTS
from training.features.basket_lstm.retrieval import Retrieval
from training.features.basket_lstm.view import CANDIDATE_INPUTS, build_view
from training.features.item_table import ItemTable
from training.models.global_statistics import fit_global_statistics
from training.registry import BundleRefused
from training.serving.basket_lstm import bundle_names
from training.serving.basket_lstm.calibration import BasketCalibration, Ranked, rank
from training.serving.basket_lstm.correction import Correction
from training.serving.basket_lstm.network import HEAD_ARRAYS, HEADS, SHAPES, NumpyNetwork
from training.serving.basket_lstm.scorer import (
    CORRECTION,
    NETWORK,
    SETTINGS,
    STATISTICS,
    BasketScorer,
    candidate_codes,
    input_sizes,
    load,
)
from training.serving.return_time.network import NumpyReturnNetwork

LOG = shop_log(200)
NOW = LOG[-1].date
GLOBAL_STATISTICS = fit_global_statistics(LOG, NOW)
SIZES = input_sizes()


def arrays(seed: int = 1) -> dict[str, NDArray[np.float32]]:
    generator = np.random.default_rng(seed)
    known = {
        **SIZES,
        "cells": 4,
        "gates": 16,
        "width": 6,
        "second": 5,
        "one": 1,
        "heads": HEADS,
    }
    made = {}
    for name, axes in SHAPES.items():
        shape = tuple(sum(known[part] for part in axis.split("+")) for axis in axes)
        made[name] = generator.normal(size=shape).astype(np.float32) * 0.3
        if name.endswith("deviation"):
            made[name] = np.abs(made[name]) + np.float32(0.5)
    return made


def correction() -> Correction:
    generator = np.random.default_rng(5)
    shapes = (2, len(GLOBAL_STATISTICS.codes)), (2, len(CANDIDATE_INPUTS))
    item_biases, input_weights = (generator.normal(size=shape).astype(np.float32) * 0.1 for shape in shapes)
    return Correction(len(CANDIDATE_INPUTS), GLOBAL_STATISTICS.codes, item_biases, input_weights)


def scorer() -> BasketScorer:
    return BasketScorer(
        "v1",
        network=NumpyNetwork(arrays(), SIZES),
        correction=correction(),
        statistics=GLOBAL_STATISTICS,
        calibration=BasketCalibration(-0.3, 0.9, 0.8),
        return_time=NumpyReturnNetwork(return_arrays()),
        retrieval=Retrieval(),
    )


@pytest.fixture(scope="module")
def items() -> ItemTable:
    replay = StateReplay(window=100)
    for invoice in LOG:
        replay.apply(invoice)
    return replay.items


@pytest.mark.parametrize("name", HISTORIES)
@pytest.mark.parametrize("shop", ["shop", "empty"])
def test_any_history_has_a_prediction(name: str, shop: str, items: ItemTable) -> None:
    known = items if shop == "shop" else ItemTable()
    prediction = scorer().predict([HISTORIES[name]], known, NOW, 10)[0]
    chances = [candidate.probability for candidate in prediction.candidates]

    assert np.isfinite(chances).all()
    assert chances == sorted(chances, reverse=True)
    assert len(chances) == 10 or shop == "empty"
    assert np.isfinite(prediction.return_curve).all()


def test_further_candidates_are_all_of_the_models_and_none_by_demand(items: ItemTable) -> None:
    few = replace(scorer(), retrieval=Retrieval(max_repeat_candidates=4, max_new_candidates=5))
    histories = [history((START, {"00001": 1, "00002": 3, "00003": 1})), CustomerHistory("nobody")]
    view = few.view(histories, items, NOW)
    some, none = few.predict_further(histories, items, NOW, 2)
    assert few.predict(histories, items, NOW, 2)[0].candidates == some.candidates
    ranked = [each.stock_code for each in (*some.candidates, *some.further)]
    assert sorted(ranked) == sorted(candidate_codes(view, items)[: (view.customer == 0).sum()])
    assert none.further == []
    longer = few.predict_further(histories, items, NOW, 50)[0]
    assert longer.further == []
    assert longer.candidates == few.predict(histories, items, NOW, 50)[0].candidates


def test_a_prediction_does_not_depend_on_the_other_customers(items: ItemTable) -> None:
    """Alone, in several batches, and in another order."""
    several = [HISTORIES[name] for name in sorted(HISTORIES) if name != "100,000 lines"]
    several += [history((START + n, {f"{n:05d}": 1}), (START + 90 + n, {f"{n + 1:05d}": 2})) for n in range(70)]
    together = scorer().predict(several, items, NOW, 10)
    backwards = scorer().predict(several[::-1], items, NOW, 10)[::-1]

    for one, whole, back in zip(several, together, backwards, strict=True):
        alone = scorer().predict([one], items, NOW, 10)[0]
        for other in (whole, back):
            assert [c.stock_code for c in other.candidates] == [c.stock_code for c in alone.candidates]
            assert [c.source_item for c in other.candidates] == [c.source_item for c in alone.candidates]
            np.testing.assert_allclose(
                [c.probability for c in other.candidates], [c.probability for c in alone.candidates], rtol=1e-4
            )
            np.testing.assert_allclose(other.return_curve, alone.return_curve, rtol=1e-4)


def test_an_empty_batch_has_no_predictions(items: ItemTable) -> None:
    assert scorer().predict([], items, NOW, 10) == []


def test_the_order_of_baskets_matters(items: ItemTable) -> None:
    codes = [line.stock_code for line in LOG[0].lines][:2]
    forward = history((START, {codes[0]: 1}), (START + 9, {codes[1]: 1}))
    backward = history((START, {codes[1]: 1}), (START + 9, {codes[0]: 1}))
    one, other = scorer().predict([forward, backward], items, NOW, 10)

    assert one.candidates != other.candidates


def test_the_correction_is_added_to_the_logits(items: ItemTable) -> None:
    ann = history((START, {GLOBAL_STATISTICS.codes[0]: 1}))
    plain = replace(scorer(), correction=Correction(len(CANDIDATE_INPUTS)))
    view = plain.view([ann], items, NOW)
    last = candidate_codes(view, items)[rank(view, plain.network.logits(view))[0].position[-1]]
    biases = np.full((2, 1), 100.0, np.float32)
    corrected = replace(plain, correction=Correction(len(CANDIDATE_INPUTS), [last], biases))

    assert plain.predict([ann], items, NOW, 1)[0].candidates[0].stock_code != last
    assert corrected.predict([ann], items, NOW, 1)[0].candidates[0].stock_code == last


def test_a_short_list_is_filled_up_by_demand(items: ItemTable) -> None:
    """Two candidates, then the items in demand, less likely than the last candidate."""
    ann = history((START, {GLOBAL_STATISTICS.codes[0]: 1, GLOBAL_STATISTICS.codes[1]: 1}))
    few = replace(scorer(), retrieval=Retrieval(max_new_candidates=0))
    found = few.predict([ann], items, NOW, 10)[0].candidates
    demand = items.demand(NOW)[:, HALF_LIVES.index(7.0)].astype(np.float64)
    by_demand = [items.codes[row] for row in np.lexsort((-items.sold, -demand))]

    assert {each.stock_code for each in found[:2]} == set(GLOBAL_STATISTICS.codes[:2])
    others = [code for code in by_demand if code not in GLOBAL_STATISTICS.codes[:2]]
    assert [each.stock_code for each in found[2:]] == others[:8]
    for each in found[2:]:
        share = np.log1p(demand[items.rows[each.stock_code]]) / np.log1p(demand.max())
        assert each.probability == pytest.approx(found[1].probability * share, rel=1e-5)


def test_a_probability_by_hand_and_in_the_order_of_the_list(items: ItemTable) -> None:
    """A customer at a visit with two candidates; the one bought before has .8 of the softmax."""
    customer_inputs = np.zeros(len(CUSTOMER_INPUTS), np.float32)
    for name, value in (("log_mean_size", 2.0), ("log_baskets", 1.0), ("log_days_since_last", 0.5)):
        customer_inputs[CUSTOMER_INPUTS.index(name)] = value
    calibration = BasketCalibration(-1.0, 0.5, 0.25, 0.125, 0.1, 2.0)
    first, second = calibration.probabilities(Ranked(np.asarray([1, 0]), np.log([0.8, 0.2]), 0.8), customer_inputs)

    logit = -1.0 + 0.5 * np.log(0.8) + 0.25 * 2.0 + 0.125 * 1.0 + 0.1 + 2.0 * 0.8
    assert first == pytest.approx(1.0 / (1.0 + np.exp(-logit)), abs=1e-6)
    assert second == pytest.approx(1.0 / (1.0 + np.exp(-logit - 0.5 * np.log(0.25))), abs=1e-6)

    view = build_view(list(HISTORIES.values()), items, NOW, GLOBAL_STATISTICS)
    for customer, ranked in enumerate(rank(view, scorer().network.logits(view))):
        shares = np.exp(ranked.log_softmax)
        assert shares.sum() == pytest.approx(1.0)
        assert ranked.held_share == pytest.approx(shares[view.is_held[ranked.position]].sum())
        chances = calibration.probabilities(ranked, view.customer_inputs[customer])
        assert (np.diff(chances) <= 0.0).all()


def test_a_saved_scorer_predicts_the_same(items: ItemTable, tmp_path: Path) -> None:
    scorer().save(tmp_path)

    several = [CustomerHistory("nobody"), HISTORIES["1900"]]
    found, expected = (each.predict(several, items, NOW, 30) for each in (load(tmp_path, "v1"), scorer()))
    assert_same_answers(found, expected)


def _lacks(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def _cut(name: str) -> Callable[[Path], None]:
    def cut(folder: Path) -> None:
        raw = (folder / name).read_bytes()
        (folder / name).write_bytes(raw[: len(raw) // 2])

    return cut


def _network(change: Callable[[dict[str, NDArray[np.float32]]], object]) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        made = arrays()
        change(made)
        np.savez(folder / NETWORK, **bundle_names.stored_network(made))  # type: ignore[arg-type]  # numpy's stub takes allow_pickle for an array

    return write


def _correction(change: Callable[[dict[str, NDArray[np.float32]]], object]) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        with np.load(folder / CORRECTION) as held:
            made = dict(held)
        change(made)
        np.savez(folder / CORRECTION, **made)

    return write


def _settings(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        held = msgspec.json.decode((folder / SETTINGS).read_bytes())
        change(held)
        (folder / SETTINGS).write_bytes(msgspec.json.encode(held))

    return write


def _pickled(folder: Path) -> None:
    np.savez(folder / STATISTICS, habits=np.asarray([object()]))


DAMAGES: dict[str, Callable[[Path], None]] = {
    "no network": _lacks(NETWORK),
    "no settings": _lacks(SETTINGS),
    "no vocabulary": _lacks("vocabulary.json"),
    "no correction": _lacks(CORRECTION),
    "half a correction": _cut(CORRECTION),
    "a correction of other inputs": _correction(lambda made: made.update(linear=np.zeros((2, 3), np.float32))),
    "a correction that is not finite": _correction(lambda made: made["item"].fill(np.inf)),
    "half a network": _cut(NETWORK),
    "half a vocabulary": _cut("vocabulary.json"),
    "a pickle": _pickled,
    "a missing array": _network(lambda made: made.pop("second_bias")),
    "an array too many": _network(lambda made: made.update(other=np.zeros(1, np.float32))),
    "another width": _network(lambda made: made.update(candidate_mean=np.zeros(3, np.float32))),
    "a number that is not finite": _network(lambda made: made["lstm_bias"].fill(np.nan)),
    "a deviation of 0": _network(lambda made: made["step_deviation"].fill(0.0)),
    "doubles": _network(lambda made: made.update(lstm_bias=made["lstm_bias"].astype(np.float64))),
    "other inputs": _settings(lambda held: held["inputs"].update(person=["age"])),
    "a head's layer too few": _network(lambda made: made.update(score_kernel=made["score_kernel"][1:])),
    "another input of the retrieval": _settings(lambda held: held["retrieval"].update(unknown=3)),
    "a retrieval weight that is a text": _settings(lambda held: held["retrieval"].update(text_like_history="much")),
    "a number of candidates below 0": _settings(lambda held: held.update(new=-1)),
    "a falling calibration": _settings(lambda held: held["calibration"].update(slope=-1.0)),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_bundle_is_refused(damage: str, tmp_path: Path) -> None:
    scorer().save(tmp_path)
    DAMAGES[damage](tmp_path)

    with pytest.raises(BundleRefused, match="cannot be read"):
        load(tmp_path, "v1")


def test_a_network_with_an_unknown_array_is_refused(tmp_path: Path) -> None:
    scorer().save(tmp_path)
    _network(lambda made: made.update(item_bias=np.zeros((4, 3, 2), np.float32)))(tmp_path)

    with pytest.raises(BundleRefused, match="has item_bias, unknown to this version: train it anew"):
        load(tmp_path, "v1")


def test_a_network_with_fewer_heads_is_refused(tmp_path: Path) -> None:
    scorer().save(tmp_path)
    _network(lambda made: made.update({name: made[name][: HEADS // 2] for name in HEAD_ARRAYS}))(tmp_path)

    with pytest.raises(BundleRefused, match=f"has {HEADS // 2} heads, not {HEADS}: train it anew"):
        load(tmp_path, "v1")


def test_a_bundle_without_a_correction_is_refused(tmp_path: Path) -> None:
    scorer().save(tmp_path)
    (tmp_path / CORRECTION).unlink()

    with pytest.raises(BundleRefused, match=r"has no correction\.npz, which this version needs: train it anew"):
        load(tmp_path, "v1")


def test_another_vocabulary_is_refused(tmp_path: Path) -> None:
    scorer().save(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    shutil.copytree(tmp_path, other, dirs_exist_ok=True, ignore=shutil.ignore_patterns("other"))
    (other / "vocabulary.json").write_bytes(msgspec.json.encode({"stock_codes": ["a"]}))

    with pytest.raises(BundleRefused, match="do not go with 1 stock codes"):
        load(other, "v1")
