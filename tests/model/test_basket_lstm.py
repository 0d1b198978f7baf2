"""The flagship: training, Keras against numpy, calibration, and bundles."""

import dataclasses
from pathlib import Path

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from state.domain.history import CustomerHistory
from state.domain.items import HALF_LIVES
from state.events.dates import DAY
from state.events.invoice import Invoice
from tests.unit.answers import assert_same_answers
from tests.unit.features.shop import ITEMS, shop_log
from training.data.walk import StateReplay
from training.errors import TooLittleData, UnknownModel
from training.evaluation.daily_update import evaluation_scorer
from training.evaluation.model_metrics import metric_means, model_metrics
from training.evaluation.prequential import evaluate
from training.evaluation.split import Span
from training.features.basket_lstm.customer_inputs import BASKET_INPUTS
from training.features.basket_lstm.view import CANDIDATE_INPUTS, STEP_INPUTS, View, build_view
from training.models import make_model
from training.models.basket_lstm import BasketLstm, FittedBasketLstm
from training.models.basket_lstm.ablation import (
    AblatedNetwork,
    ignored_columns,
    leave_out,
)
from training.models.basket_lstm.calibration import ValidationCase, calibrate_on_validation
from training.models.basket_lstm.model import REFIT_CORRECTION_SCALE
from training.models.basket_lstm.network import BasketNetwork
from training.models.candidate_views.labelled_views import target_dates
from training.models.candidate_views.statistics_history import StatisticsHistory
from training.models.global_statistics import fit_global_statistics
from training.models.keras_weights import WEIGHTS
from training.models.online_correction import RATE_SCALES, update
from training.progress import RecordedProgress, shown_by
from training.serving.basket_lstm.calibration import BasketCalibration
from training.serving.basket_lstm.correction import Correction
from training.serving.basket_lstm.network import DAYS_SINCE_LAST
from training.serving.basket_lstm.scorer import (
    BasketScorer,
    candidate_codes,
    input_sizes,
    load,
    score_candidates,
)
from training.serving.scorer import HORIZONS

LOG = shop_log(500)
UNTIL = LOG[400].date
EPOCHS = 4
PARTS = ("network", "correction", "statistics", "calibration", "return_time", "retrieval")
"""What a scorer was fitted to."""
END = LOG[-1].date + 1


@pytest.fixture(scope="module")
def fitted() -> FittedBasketLstm:
    return BasketLstm(epochs=EPOCHS).fit(LOG, until=UNTIL, seed=3)


@pytest.fixture(scope="module")
def replay() -> StateReplay:
    replay = StateReplay(window=100)
    for invoice in LOG[:400]:
        replay.apply(invoice)
    return replay


def keras_logits(network: BasketNetwork, view: View) -> NDArray[np.float32]:
    """Keras's own forward pass, which takes customers with as many baskets only: one call a length."""
    logits = np.full(len(view.row), np.nan, np.float32)
    for length in np.unique(view.length[view.length > 0]):
        customers = np.flatnonzero(view.length == length)
        rows = np.flatnonzero(np.isin(view.customer, customers))
        inputs = {
            "candidate_inputs": view.candidate_inputs[rows],
            "customer_inputs": view.customer_inputs[customers],
            "step_inputs": view.step_inputs[rows, -length:],
            "basket_inputs": view.basket_inputs[customers, -length:],
            "customer_index": np.searchsorted(customers, view.customer[rows]).astype(np.int32),
        }
        logits[rows] = np.asarray(network(inputs, training=False))
    return logits


def test_numpy_serves_what_keras_computes(fitted: FittedBasketLstm, replay: StateReplay) -> None:
    now = LOG[399].date  # for its customer an emission, for the others a visit
    view = build_view(list(replay.histories.values()), replay.items, now, fitted.scorer.statistics)

    assert len(set(view.length.tolist())) > 3
    assert (view.customer_inputs[:, DAYS_SINCE_LAST] > 0.0).sum() == len(view.customer_inputs) - 1
    np.testing.assert_allclose(fitted.scorer.network.logits(view), keras_logits(fitted.network, view), atol=1e-4)


@pytest.mark.parametrize("moment", [0.0, 3.0])
def test_half_of_a_moments_heads_read_the_lstm(moment: float, fitted: FittedBasketLstm, replay: StateReplay) -> None:
    view = build_view(list(replay.histories.values()), replay.items, UNTIL, fitted.scorer.statistics)
    length = int(np.bincount(view.length)[2:].argmax()) + 2
    customers = np.flatnonzero(view.length == length)
    rows = np.flatnonzero(np.isin(view.customer, customers))
    customer_inputs = view.customer_inputs[customers].copy()
    customer_inputs[:, DAYS_SINCE_LAST] = moment
    inputs = {
        "candidate_inputs": view.candidate_inputs[rows],
        "customer_inputs": customer_inputs,
        "step_inputs": view.step_inputs[rows, -length:],
        "basket_inputs": view.basket_inputs[customers, -length:],
        "customer_index": np.searchsorted(customers, view.customer[rows]).astype(np.int32),
    }
    logits = np.asarray(fitted.network.head_logits(inputs))
    otherwise = np.asarray(fitted.network.head_logits(inputs | {"step_inputs": inputs["step_inputs"][:, ::-1]}))

    assert np.abs(logits - otherwise).max(axis=0).astype(bool).tolist() == [True, True, False, False]


def test_it_beats_recent_popularity(fitted: FittedBasketLstm) -> None:
    scorers = {"basket_lstm": fitted.scorer, "g": make_model("recent_g_topfreq").fit(LOG, until=UNTIL, seed=1).scorer}
    for result in evaluate(LOG, scorers, Span(UNTIL, END), moment="both", depth=20).values():
        figures = metric_means({name: model_metrics(result, name) for name in scorers})
        assert figures["basket_lstm"]["ndcg@10"] > figures["g"]["ndcg@10"] + 0.1
        assert figures["basket_lstm"]["ece@20"] < 0.1


def test_the_same_seed_and_log_give_the_same_model(fitted: FittedBasketLstm) -> None:
    """A second fit, on a log that ends where the first one had to stop looking."""
    before = [invoice for invoice in LOG if invoice.date < UNTIL]
    again = BasketLstm(epochs=EPOCHS).fit(before, until=UNTIL, seed=3).scorer

    for name, array in fitted.scorer.network.arrays.items():
        np.testing.assert_array_equal(array, again.network.arrays[name])
    assert fitted.scorer.calibration == again.calibration
    assert fitted.scorer.statistics.codes == again.statistics.codes


def test_later_invoices_change_no_earlier_prediction(fitted: FittedBasketLstm) -> None:
    """With daily updates, at both moments, on two logs that differ from the middle of the span on."""
    cut = LOG[450].date
    later = [invoice for invoice in LOG if invoice.date >= cut]
    baskets = [later[index].lines for index in np.random.default_rng(1).permutation(len(later))]
    scrambled = [invoice for invoice in LOG if invoice.date < cut]
    scrambled += [
        Invoice(each.invoice_no, each.customer_id, each.date, lines) for each, lines in zip(later, baskets, strict=True)
    ]
    before, after = (
        evaluate(
            log,
            {"basket_lstm": evaluation_scorer(fitted, daily_updates=True)},
            Span(UNTIL, END),
            moment="both",
            depth=20,
        )
        for log in (list(LOG), scrambled)  # both are new lists, so that statistics of both are built from the start
    )
    numbers = {invoice.invoice_no for invoice in LOG if invoice.date < cut}
    for when, one in before.items():
        rankings = [
            {case.invoice_no: ranking for case, ranking in zip(each.cases, each.rankings["basket_lstm"], strict=True)}
            for each in (one, after[when])
        ]
        known = [number for number in rankings[0] if number in numbers]
        assert len(known) > 20
        assert all(rankings[0][number] == rankings[1][number] for number in known)
        assert any(rankings[0][number] != rankings[1].get(number) for number in rankings[0].keys() - numbers)


def test_its_statistics_follow_the_log_week_by_week(fitted: FittedBasketLstm) -> None:
    following = fitted.copy()
    following.extend(LOG, UNTIL + 20 * DAY)
    for days, known in ((0, 0), (6, 0), (7, 7), (15, 14), (20, 14), (90, 14)):
        found = following.scorer_at(UNTIL + days * DAY)
        until = UNTIL + known * DAY
        expected = fit_global_statistics([invoice for invoice in LOG if invoice.date < until], until)
        assert found.statistics.codes == expected.codes
        np.testing.assert_array_equal(found.statistics.item_statistics, expected.item_statistics)
        for name, neighbours in expected.neighbours.items():
            np.testing.assert_array_equal(found.statistics.neighbours[name].weight, neighbours.weight)
        assert found.correction is fitted.scorer.correction
        assert found.network is fitted.scorer.network


def test_before_the_fit_there_are_older_statistics_and_no_correction(fitted: FittedBasketLstm) -> None:
    codes = fitted.scorer.statistics.codes
    correction = Correction(len(CANDIDATE_INPUTS), codes, np.ones((2, len(codes)), np.float32))
    corrected = dataclasses.replace(fitted.scorer, correction=correction)
    model = FittedBasketLstm(corrected, fitted.network, fitted.curves, StatisticsHistory(LOG, UNTIL), 1.0)

    assert model.until == UNTIL
    assert model.scorer_at(UNTIL).correction is correction
    np.testing.assert_array_equal(
        model.scorer_at(UNTIL).statistics.item_statistics, fitted.scorer.statistics.item_statistics
    )
    earlier = model.scorer_at(UNTIL - 1)
    expected = fit_global_statistics([each for each in LOG if each.date < UNTIL - 7 * DAY], UNTIL - 7 * DAY)
    np.testing.assert_array_equal(earlier.statistics.item_statistics, expected.item_statistics)
    assert not earlier.correction.item_biases(codes).any()


def test_the_correction_can_be_left_out(fitted: FittedBasketLstm, replay: StateReplay) -> None:
    history = replay.histories["c1"]
    view = build_view([history], replay.items, UNTIL, fitted.scorer.statistics)
    came = ValidationCase(UNTIL, view, candidate_codes(view, replay.items), np.arange(len(view.row)) < 2)
    assert calibrate_on_validation(fitted.scorer.network, [came]).correction.input_weights.any()
    still = calibrate_on_validation(fitted.scorer.network, [came], rate_scales=[0.0])
    assert not still.correction.input_weights.any()


def test_the_correction_rate_is_the_one_with_the_least_loss(fitted: FittedBasketLstm, replay: StateReplay) -> None:
    """Full where one item is always bought; 0 where purchases are drawn from the predicted distribution."""
    view = build_view([replay.histories["c1"]], replay.items, UNTIL, fitted.scorer.statistics)
    codes = candidate_codes(view, replay.items)
    (candidates,) = score_candidates(view, codes, fitted.scorer.network)
    share = np.exp(candidates.logits.astype(np.float64))
    always = [int(share.argmin())] * 100
    drawn = np.random.default_rng(1).choice(len(codes), 100, p=share / share.sum())

    for came, rate_scale in ((always, RATE_SCALES[0]), (drawn, RATE_SCALES[-1])):
        cases = [
            ValidationCase(UNTIL + day, view, codes, np.arange(len(codes)) == item) for day, item in enumerate(came)
        ]
        found = calibrate_on_validation(fitted.scorer.network, cases)
        assert found.rate_scale == rate_scale
        assert found.correction.input_weights.any() == (rate_scale > 0)


def test_a_saved_model_answers_the_same(fitted: FittedBasketLstm, replay: StateReplay, tmp_path: Path) -> None:
    view = build_view([replay.histories["c1"]], replay.items, UNTIL, fitted.scorer.statistics)
    (candidates,) = score_candidates(view, candidate_codes(view, replay.items), fitted.scorer.network)
    correction = Correction(len(CANDIDATE_INPUTS))
    for visit in (True, False):
        correction, _ = update(correction, candidates._replace(visit=visit), np.arange(len(candidates.codes)) < 2, 1.0)
    parts = {name: getattr(fitted.scorer, name) for name in PARTS} | {"correction": correction}
    scorer = BasketScorer("unpublished", **parts)
    scorer.save(tmp_path)
    loaded = load(tmp_path, "v1")
    known = fitted.scorer.statistics.codes
    assert np.abs(correction.item_biases(known)).max(axis=1).min() > 0.0  # for both moments
    np.testing.assert_array_equal(loaded.correction.item_biases(known), correction.item_biases(known))
    np.testing.assert_array_equal(loaded.correction.input_weights, correction.input_weights)
    several = [*replay.histories.values(), CustomerHistory("stranger")]

    assert loaded.version == "v1"
    found, expected = (each.predict(several, replay.items, UNTIL, 20) for each in (loaded, scorer))
    assert_same_answers(found, expected)


def test_keras_reads_its_weights_back(fitted: FittedBasketLstm, replay: StateReplay, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    view = build_view(list(replay.histories.values())[:3], replay.items, UNTIL, fitted.scorer.statistics)
    network = BasketNetwork(input_sizes())
    network.load_weights(tmp_path / WEIGHTS)

    np.testing.assert_allclose(keras_logits(network, view), keras_logits(fitted.network, view), atol=1e-5)


def test_a_short_training_on_the_newest_moments(fitted: FittedBasketLstm, tmp_path: Path) -> None:
    with shown_by(RecordedProgress()) as shown:
        model = BasketLstm(epochs=2, max_examples=200, tensorboard=tmp_path)
        leave_out(model, "text+simple")
        less = model.fit(LOG, until=UNTIL, seed=4)

    steps = [done for done, _, _ in shown.updates]
    assert steps == sorted(steps)
    assert shown.updates[-1] == (1000, 1000, "calibrated")
    assert sum(note == "reading histories" for _, _, note in shown.updates) < len(target_dates(LOG, UNTIL))
    arrays, before = less.scorer.network.arrays, fitted.scorer.network.arrays
    assert not np.array_equal(arrays["candidate_mean"], before["candidate_mean"])
    assert not np.array_equal(arrays["score_kernel"], before["score_kernel"])
    ignored = arrays["candidate_deviation"] > 1e9
    assert {name for name, each in zip(CANDIDATE_INPUTS, ignored, strict=True) if each} == {
        *("text_similarity_history", "text_similarity_last_basket", "text_similarity_nearest"),
        *("log_count_demand", "log_ease_count_demand"),
    }
    assert [len(values) for values in less.curves.values()] == [2, 2]
    for curve in ("selection/training", "selection/validation", "whole/training"):
        assert list((tmp_path / curve).glob("events.out.tfevents.*")), curve


def test_the_correction_is_halved_where_the_network_was_trained_on_the_validation_set() -> None:
    models = [BasketLstm(epochs=1, max_examples=200, whole=whole) for whole in (False, True)]
    for model in models:
        model.rate_scales = RATE_SCALES[:1]
    once, twice = (model.fit(LOG, until=UNTIL, seed=4).scorer for model in models)
    codes = once.statistics.codes
    assert np.abs(once.correction.item_biases(codes)).max(axis=1).min() > 0.0  # training began it, for both moments
    assert once.correction.input_weights.any(axis=1).all()
    np.testing.assert_allclose(twice.correction.input_weights, REFIT_CORRECTION_SCALE * once.correction.input_weights)


def test_too_short_a_log_is_refused() -> None:
    with pytest.raises(TooLittleData, match="Give it a longer history"):
        BasketLstm().fit(LOG[:20], until=END)
    with pytest.raises(TooLittleData, match="Give it a longer history"):
        BasketLstm().fit([], until=END)


def test_without_outcomes_probabilities_are_those_of_the_default(fitted: FittedBasketLstm, replay: StateReplay) -> None:
    view = build_view([replay.histories["c1"]], replay.items, UNTIL, fitted.scorer.statistics)

    nothing = ValidationCase(UNTIL, view, candidate_codes(view, replay.items), np.zeros(len(view.row), np.bool_))
    for cases in ([], [nothing]):
        calibration, correction, _ = calibrate_on_validation(fitted.scorer.network, cases)
        assert calibration == BasketCalibration()
        assert not correction.input_weights.any()


def test_predictions_are_complete_and_sorted(fitted: FittedBasketLstm, replay: StateReplay) -> None:
    several = [*replay.histories.values(), CustomerHistory("stranger")]
    for k in (1, 10, 100):
        for prediction in fitted.scorer.predict(several, replay.items, UNTIL, k):
            codes = [candidate.stock_code for candidate in prediction.candidates]
            chances = [candidate.probability for candidate in prediction.candidates]
            assert len(codes) == len(set(codes)) == min(k, len(ITEMS))
            assert chances == sorted(chances, reverse=True)
            assert 0.0 <= min(chances) <= max(chances) <= 1.0
            assert len(prediction.return_curve) == len(HORIZONS)
            assert list(prediction.return_curve) == sorted(prediction.return_curve)
    assert any(c.source_item for p in fitted.scorer.predict(several, replay.items, UNTIL, 10) for c in p.candidates)


def test_a_customer_without_history_gets_items_in_demand(fitted: FittedBasketLstm, replay: StateReplay) -> None:
    prediction = fitted.scorer.predict([CustomerHistory("stranger")], replay.items, UNTIL, 5)[0]
    demand = replay.items.demand(UNTIL)[:, HALF_LIVES.index(7.0)]
    expected = {replay.items.codes[row] for row in np.argsort(-demand)[:5]}

    assert {candidate.stock_code for candidate in prediction.candidates} == expected


class Interrupted(Exception):
    """What ends a training in the middle."""


def test_an_interrupted_training_resumes_to_the_same_weights(tmp_path: Path, fitted: FittedBasketLstm) -> None:
    notes: list[str] = []

    class InEpoch3(RecordedProgress):
        def update(self, done: int, total: int, note: str = "") -> None:
            if note.startswith("epoch 2/"):
                raise Interrupted

    class InTheSecondFit(RecordedProgress):
        def update(self, done: int, total: int, note: str = "") -> None:
            notes.append(note)
            if done >= 900:  # in the second fit
                raise Interrupted

    with pytest.raises(Interrupted), shown_by(InEpoch3()):
        BasketLstm(epochs=EPOCHS, keep=tmp_path).fit(LOG, until=UNTIL, seed=3)
    assert len(list(tmp_path.iterdir())) == 1
    with pytest.raises(Interrupted), shown_by(InTheSecondFit()):
        BasketLstm(epochs=EPOCHS, keep=tmp_path).fit(LOG, until=UNTIL, seed=3)
    again = BasketLstm(epochs=EPOCHS, keep=tmp_path).fit(LOG, until=UNTIL, seed=3)

    assert not any(note.startswith(("epoch 1/", "epoch 2/")) and "validation" in note for note in notes)
    assert "resumed after epoch 2" in notes
    assert any(note.startswith("epoch 3/") and "validation" in note for note in notes)
    for name, array in fitted.network.arrays().items():
        np.testing.assert_array_equal(array, again.network.arrays()[name], err_msg=name)
    assert again.curves == fitted.curves
    assert list(tmp_path.iterdir()) == []  # a finished training needs no checkpoint


LEFT_OUT = {
    "lstm": """in_basket i2i_score_basket log_quantity_over_customer_mean log_price_now_over_basket
        text_similarity_basket demand_in_week_of_basket log_days_ago log_size log_gap_before log_units repeat_share""",
    "history": """bought_before log_count count_per_basket count_per_basket_since_first log_baskets_since_last
        log_days_since_last decayed_count time_decayed_count days_since_last_over_gap bought_more_than_once
        mean_quantity_over_customer_mean last_quantity_over_customer_mean price_now_over_last count_over_max
        decayed_count_over_max returned""",
    "text": """text_similarity_history text_similarity_last_basket text_similarity_nearest text_similarity_basket""",
    "demand": """demand_1 demand_3 demand_7 demand_14 demand_30 share_3 share_7 share_30 demand_ever trend_3_over_14
        trend_7_over_30 log_age_days log_days_since_sold demand_in_week_of_basket""",
    "related": """i2i_score_baskets i2i_score_recent i2i_score_customers last_basket_i2i_score_baskets
        last_basket_i2i_score_recent i2i_score_basket""",
    "simple": "log_count_demand log_ease_count_demand",
    "text+simple": """text_similarity_history text_similarity_last_basket text_similarity_nearest text_similarity_basket
        log_count_demand log_ease_count_demand""",
    "correction": "",
}
"""The inputs that each group leaves out, written down by hand."""


@pytest.mark.parametrize("without", LEFT_OUT)
def test_an_ablation_ignores_its_inputs_and_no_other(without: str) -> None:
    """An untrained network on as many like candidates as there are inputs: in each of them one input is another."""
    names = {"candidate": CANDIDATE_INPUTS, "step": STEP_INPUTS, "basket": BASKET_INPUTS}
    generator = np.random.default_rng(2)
    sizes = input_sizes()
    keras.utils.set_random_seed(1)
    network = AblatedNetwork(sizes, ignored_columns(without))
    network.standardise(**{group: generator.normal(size=(200, size)) for group, size in sizes.items()})
    n = 1 + sum(map(len, names.values()))
    inputs = {
        group: np.repeat(generator.normal(size=(1, *shape)), n, axis=0).astype(np.float32)
        for group, shape in {
            group: ((3, size) if group in ("step", "basket") else (size,)) for group, size in sizes.items()
        }.items()
    }
    changed = [(group, column) for group, known in names.items() for column in range(len(known))]
    for row, (group, column) in enumerate(changed, 1):
        inputs[group][row, ..., column] += 1.0
    logits = np.asarray(
        network(
            {
                "candidate_inputs": inputs["candidate"],
                "customer_inputs": inputs["customer"],
                "step_inputs": inputs["step"],
                "basket_inputs": inputs["basket"],
                "customer_index": np.arange(n, dtype=np.int32),
            }
        )
    )

    ignored = {
        names[group][column] for row, (group, column) in enumerate(changed, 1) if abs(logits[row] - logits[0]) < 1e-6
    }
    assert ignored == set(LEFT_OUT[without].split())


def test_what_cannot_be_left_out_is_refused() -> None:
    with pytest.raises(UnknownModel, match=r"nothing called 'luck' to leave out\. Choose from: lstm, history"):
        leave_out(BasketLstm(), "luck")
