"""Outcomes update the correction and the rates of the probabilities, by hand."""

from dataclasses import replace

import numpy as np
import pytest

from state.domain.history import CustomerHistory
from state.events.dates import DAY
from state.events.invoice import THOUSAND, Invoice, Line
from tests.unit.evaluation.fitted_basket import FittedBasket
from tests.unit.features.shop import shop_log
from training.data.walk import StateReplay
from training.evaluation.outcome_feedback import DECAY, PRIOR, OutcomeFeedbackScorer, PurchaseRate
from training.models.online_correction import update
from training.serving.basket_lstm.calibration import BasketCalibration
from training.serving.basket_lstm.correction import Correction
from training.serving.basket_lstm.scorer import candidate_codes, score_candidates
from training.serving.scorer import CALIBRATION_DEPTH, Prediction

LOG = shop_log(300)
UNTIL = LOG[250].date
KNOWN = LOG[:250]
LATER = UNTIL + DAY


@pytest.fixture(scope="module")
def replay() -> StateReplay:
    replay = StateReplay(window=100)
    for invoice in KNOWN:
        replay.apply(invoice)
    return replay


@pytest.fixture(scope="module")
def history(replay: StateReplay) -> CustomerHistory:
    return replay.histories["c1"]


def purchase(codes: list[str], date: int, customer: str = "c1", *, sign: int = 1) -> Invoice:
    return Invoice(f"new {date}", customer, date, tuple(Line(code, sign * THOUSAND, 1.0) for code in codes))


def codes(prediction: Prediction) -> list[str]:
    return [candidate.stock_code for candidate in prediction.candidates]


def probabilities(prediction: Prediction) -> list[float]:
    return [candidate.probability for candidate in prediction.candidates]


def test_before_any_outcome_it_answers_as_the_served_scorer(replay: StateReplay, history: CustomerHistory) -> None:
    fitted = FittedBasket(LOG, UNTIL)
    scorer = OutcomeFeedbackScorer(fitted)
    scorer.update(LOG, UNTIL)
    several = [history, replay.histories["c2"], CustomerHistory("stranger")]
    assert scorer.predict(several, replay.items, UNTIL, 30) == fitted.scorer.predict(several, replay.items, UNTIL, 30)


def test_an_outcome_scales_later_probabilities_of_its_kind(replay: StateReplay, history: CustomerHistory) -> None:
    """A list at a visit, of which one of the first 20 and one further item are bought; emissions are left as they are.

    Without a learning rate the order stays.
    """
    scorer = OutcomeFeedbackScorer(FittedBasket(LOG, UNTIL, rate_scale=0.0))
    (visit,) = scorer.predict([history], replay.items, UNTIL, 30)
    bought = purchase([codes(visit)[3], codes(visit)[CALIBRATION_DEPTH]], UNTIL)
    scorer.update([*KNOWN, bought], LATER)
    (again,) = scorer.predict([history], replay.items, UNTIL, 30)
    last = history.invoices[-1].date
    (emission,) = scorer.predict([history], replay.items, last, 30)

    rate = (PRIOR + 1) / (PRIOR + sum(probabilities(visit)[:CALIBRATION_DEPTH]))
    assert abs(rate - 1.0) > 1e-3
    assert codes(again) == codes(visit)
    assert probabilities(again) == pytest.approx([rate * each for each in probabilities(visit)])
    unscaled = OutcomeFeedbackScorer(FittedBasket(LOG, UNTIL, rate_scale=0.0))
    assert emission == unscaled.predict([history], replay.items, last, 30)[0]
    assert not scorer.correction.input_weights.any()


def test_an_outcome_updates_the_correction(replay: StateReplay, history: CustomerHistory) -> None:
    fitted = FittedBasket(LOG, UNTIL)
    scorer = OutcomeFeedbackScorer(fitted)
    (visit,) = scorer.predict([history], replay.items, UNTIL, 30)
    bought = codes(visit)[5:9]
    scorer.update([*KNOWN, purchase(bought, UNTIL)], LATER)
    (again,) = scorer.predict([history], replay.items, UNTIL, 30)

    view = fitted.scorer.view([history], replay.items, UNTIL)
    (candidates,) = score_candidates(view, candidate_codes(view, replay.items), fitted.scorer.network)
    correction, _ = update(fitted.scorer.correction, candidates, np.isin(candidates.codes, bought), 1.0)
    corrected = replace(fitted.scorer, correction=correction).predict([history], replay.items, UNTIL, 30)[0]
    assert probabilities(corrected) != probabilities(visit)
    assert codes(again) == codes(corrected)
    rate = (PRIOR + 4) / (PRIOR + sum(probabilities(visit)[:CALIBRATION_DEPTH]))
    assert probabilities(again) == pytest.approx([min(rate * each, 1.0) for each in probabilities(corrected)], rel=1e-3)
    assert not fitted.scorer.correction.input_weights.any()  # the served scorer is as it was


def test_a_prediction_before_the_fit_is_not_corrected(replay: StateReplay, history: CustomerHistory) -> None:
    fitted = FittedBasket(LOG, UNTIL)
    scorer = OutcomeFeedbackScorer(fitted)
    item_biases = np.linspace(-5.0, 5.0, 2 * len(fitted.scorer.statistics.codes), dtype=np.float32).reshape(2, -1)
    n_inputs = fitted.scorer.correction.input_weights.shape[1]
    scorer.correction = Correction(n_inputs, fitted.scorer.statistics.codes, item_biases)
    before, after = (scorer.predict([history], replay.items, now, 30)[0] for now in (UNTIL - 1, UNTIL))
    assert codes(before) == codes(fitted.scorer_at(UNTIL - 1).predict([history], replay.items, UNTIL - 1, 30)[0])
    assert codes(after) != codes(fitted.scorer.predict([history], replay.items, UNTIL, 30)[0])


@pytest.mark.parametrize(
    "outcome",
    [
        purchase(["00001"], UNTIL, "c2"),
        purchase(["00001"], UNTIL, sign=-1),
        purchase(["00001"], LATER),
    ],
    ids=["another customer", "a return", "not known yet"],
)
def test_what_is_no_outcome_changes_nothing(outcome: Invoice, replay: StateReplay, history: CustomerHistory) -> None:
    scorer = OutcomeFeedbackScorer(FittedBasket(LOG, UNTIL))
    before = scorer.predict([history], replay.items, UNTIL, 30)
    scorer.update([*KNOWN, outcome], LATER)
    assert scorer.predict([history], replay.items, UNTIL, 30) == before


def test_a_list_made_right_after_an_invoice_awaits_the_next_one(replay: StateReplay, history: CustomerHistory) -> None:
    """At the emission the newest invoice of the history is dated ``now``: it is no outcome of the list, the next is."""
    last = history.invoices[-1].date
    known = [invoice for invoice in KNOWN if invoice.date < last]
    scorer = OutcomeFeedbackScorer(FittedBasket(LOG, last))
    (emission,) = scorer.predict([history], replay.items, last, 30)
    known.append(purchase(codes(emission)[:3], last))
    scorer.update(known, last + DAY)
    assert scorer.predict([history], replay.items, last, 30)[0] == emission
    known.append(purchase(codes(emission)[:3], last + DAY))
    scorer.update(known, last + 2 * DAY)
    assert probabilities(scorer.predict([history], replay.items, last, 30)[0]) != probabilities(emission)


def test_each_outcome_counts_once(replay: StateReplay, history: CustomerHistory) -> None:
    scorer = OutcomeFeedbackScorer(FittedBasket(LOG, UNTIL))
    (visit,) = scorer.predict([history], replay.items, UNTIL, 30)
    outcome = purchase(codes(visit)[:3], UNTIL)
    scorer.update([*KNOWN, outcome], LATER)
    correction = scorer.correction
    assert correction.input_weights.any()
    scorer.update([*KNOWN, outcome], LATER + DAY)
    scorer.update([*KNOWN, outcome, purchase(codes(visit)[:3], LATER + DAY)], LATER + 2 * DAY)
    assert scorer.correction is correction


def test_outcomes_before_the_fit_do_not_count(replay: StateReplay, history: CustomerHistory) -> None:
    """Updated on days before the fit too, as an evaluation with emissions is."""
    fitted = FittedBasket(LOG, UNTIL)
    scorer = OutcomeFeedbackScorer(fitted)
    last = history.invoices[-1].date
    (emission,) = scorer.predict([history], replay.items, last, 30)
    known = [*KNOWN, purchase(codes(emission)[:3], UNTIL - 1)]
    for until in (UNTIL - DAY, LATER):
        scorer.update(known, until)
        scorer.predict([history], replay.items, UNTIL, 5)
    assert fitted.dates[-2:] == [UNTIL, UNTIL]
    assert not scorer.correction.input_weights.any()
    assert scorer.predict([history], replay.items, last, 30)[0] == emission


def test_a_probability_is_at_most_one(replay: StateReplay, history: CustomerHistory) -> None:
    fitted = FittedBasket(LOG, UNTIL, rate_scale=0.0)
    fitted.scorer = replace(fitted.scorer, calibration=BasketCalibration(6.0, 0.9, 0.8))
    scorer = OutcomeFeedbackScorer(fitted)
    for _ in range(50):
        (visit,) = scorer.predict([history], replay.items, UNTIL, 30)
    scorer.update([*KNOWN, purchase(codes(visit), UNTIL)], LATER)
    (again,) = scorer.predict([history], replay.items, UNTIL, 30)
    assert max(probabilities(visit)) < 1.0
    assert max(probabilities(again)) == 1.0


def test_statistics_are_those_known_at_the_prediction(replay: StateReplay, history: CustomerHistory) -> None:
    fitted = FittedBasket(LOG, UNTIL)
    scorer = OutcomeFeedbackScorer(fitted)
    today = UNTIL + 10 * DAY
    scorer.update(LOG, today)
    for now in (UNTIL - DAY, UNTIL + 9 * DAY, today + DAY):
        scorer.predict([history], replay.items, now, 5)
    assert fitted.dates == [UNTIL - DAY, UNTIL + 9 * DAY, today]


def test_the_rate_of_equal_outcomes_approaches_their_ratio() -> None:
    rate = PurchaseRate()
    assert rate.value == 1.0
    rate.update(10.0, 20)
    assert rate.value == (PRIOR + 20) / (PRIOR + 10.0)
    rate.update(10.0, 5)
    assert rate.value == pytest.approx((PRIOR + 20 * DECAY + 5) / (PRIOR + 10.0 * DECAY + 10.0))
    for _ in range(2_000):
        rate.update(10.0, 20)
    total = 1.0 / (1.0 - DECAY)
    assert rate.value == pytest.approx((PRIOR + 20 * total) / (PRIOR + 10 * total), rel=0.01)
