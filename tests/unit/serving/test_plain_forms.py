"""What is served equals the plain form of the same: one candidate at a time, one operation after the other."""

import cProfile
import math
import pstats
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from tests.unit.features.shop import shop_log
from tests.unit.serving.test_basket_scorer import scorer
from training.data.walk import StateReplay
from training.features.basket_lstm.customer_inputs import CUSTOMER_INPUTS
from training.features.basket_lstm.flat_histories import flatten
from training.features.basket_lstm.view import CANDIDATE_INPUTS, View
from training.serving.basket_lstm.calibration import BasketCalibration, rank
from training.serving.basket_lstm.correction import Correction
from training.serving.basket_lstm.network import DAYS_SINCE_LAST, HEADS, NumpyNetwork
from training.serving.basket_lstm.scorer import candidate_codes, input_sizes, score_candidates
from training.serving.standardise import BOUND

LOG = shop_log(240)
NOW = LOG[-1].date


@pytest.fixture(scope="module")
def replay() -> StateReplay:
    replay = StateReplay(window=100)
    for invoice in LOG:
        replay.apply(invoice)
    return replay


def sigmoid(values: np.ndarray) -> np.ndarray:
    shares: np.ndarray = 1.0 / (1.0 + np.exp(-values))
    return shares


def plain_logit(view: View, arrays: dict[str, np.ndarray], candidate: int) -> float:
    """The mean logit of the heads of the customer's moment, in float64, from the arrays as Keras names them."""
    weights = {name: array.astype(np.float64) for name, array in arrays.items()}
    customer = view.customer[candidate]

    def standard(name: str, values: np.ndarray) -> np.ndarray:
        return np.clip((values - weights[f"{name}_mean"]) / weights[f"{name}_deviation"], -BOUND, BOUND)

    state = memory = np.zeros(len(weights["lstm_recurrent"]))
    steps = view.step_inputs.shape[1]
    for step in range(steps - view.length[customer], steps):
        inputs = [
            standard("step", view.step_inputs[candidate, step]),
            standard("basket", view.basket_inputs[customer, step]),
        ]
        gates = np.concatenate(inputs) @ weights["lstm_kernel"] + state @ weights["lstm_recurrent"]
        enter, forget, new, leave = np.split(gates + weights["lstm_bias"], 4)
        memory = sigmoid(forget) * memory + sigmoid(enter) * np.tanh(new)
        state = sigmoid(leave) * np.tanh(memory)
    features = np.concatenate([standard("candidate", view.candidate_inputs[candidate]), state])
    of_customer = standard("customer", view.customer_inputs[customer])
    first = 0 if view.customer_inputs[customer, DAYS_SINCE_LAST] > 0.0 else HEADS // 2
    logits = []
    for head in range(first, first + HEADS // 2):
        hidden = features @ weights["hidden_kernel"][head] + of_customer @ weights["hidden_customer_kernel"][head]
        hidden = np.maximum(hidden + weights["hidden_bias"][head], 0.0)
        second = np.maximum(hidden @ weights["second_kernel"][head] + weights["second_bias"][head], 0.0)
        logits.append(second @ weights["score_kernel"][head] + features @ weights["linear_kernel"][head])
    return float(np.mean(logits))


@pytest.mark.parametrize("candidates_of_block", [64, 1_024])
def test_the_network_in_blocks_equals_the_plain_one(
    candidates_of_block: int, replay: StateReplay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.serving.basket_lstm.network._CANDIDATES", candidates_of_block)
    served = scorer()
    histories = list(replay.histories.values())
    newest = max(history.invoices[-1].date for history in histories)
    view = served.view(histories, replay.items, newest)
    view.customer_inputs[view.customer_inputs[:, DAYS_SINCE_LAST].argmax(), DAYS_SINCE_LAST] = 1e-4  # seconds later
    at_emission = ~(view.customer_inputs[:, DAYS_SINCE_LAST] > 0.0)
    assert 0 < at_emission.sum() < len(histories)
    assert len(set(view.length.tolist())) > 3
    logits = served.network.logits(view)
    just_after = (view.customer_inputs[:, DAYS_SINCE_LAST] == np.float32(1e-4)).nonzero()[0]
    of_emissions, of_one = (
        np.flatnonzero(chosen) for chosen in (at_emission[view.customer], view.customer == just_after)
    )
    some = [*of_emissions[:20].tolist(), *of_one[:20].tolist()]
    for candidate in [*range(0, len(logits), max(len(logits) // 150, 1)), *some]:
        assert logits[candidate] == pytest.approx(
            plain_logit(view, served.network.arrays, candidate), abs=1e-5, rel=1e-5
        )


def test_a_prediction_applies_the_correction_as_the_evaluation_does(replay: StateReplay) -> None:
    """The one by vocabulary index for the whole batch, the other by stock code for each customer."""
    served = scorer()
    histories = list(replay.histories.values())[:40]
    assert served.correction.codes is served.statistics.codes
    view = served.view(histories, replay.items, NOW)
    candidates = score_candidates(view, candidate_codes(view, replay.items), served.network)
    expected = served.predictions(view, candidates, histories, replay.items, NOW, 10)
    for one, other in zip(served.predict(histories, replay.items, NOW, 10), expected, strict=True):
        assert [each.stock_code for each in one.candidates] == [each.stock_code for each in other.candidates]
        assert [each.probability for each in one.candidates] == pytest.approx(
            [each.probability for each in other.candidates], abs=1e-6
        )


def test_rankings_and_probabilities_equal_the_plain_ones(replay: StateReplay) -> None:
    histories = list(replay.histories.values())
    newest = max(history.invoices[-1].date for history in histories)
    view = scorer().view(histories, replay.items, newest)
    logits = np.random.default_rng(4).normal(scale=3.0, size=len(view.row)).astype(np.float32)
    logits[::97] -= 2_000.0
    logits[5:9] = logits[5]
    weights = BasketCalibration(-0.4, 0.8, 0.3, -0.2, 0.5, 0.9)
    names = [CUSTOMER_INPUTS.index(name) for name in ("log_mean_size", "log_baskets", "log_days_since_last")]
    visits = 0
    for customer, ranked in enumerate(rank(view, logits)):
        candidates = np.flatnonzero(view.customer == customer).tolist()
        greatest = max(float(logits[each]) for each in candidates)
        total = sum(math.exp(float(logits[each]) - greatest) for each in candidates)
        log_softmax = {each: float(logits[each]) - greatest - math.log(total) for each in candidates}
        order = sorted(candidates, key=lambda each: (-logits[each], view.row[each]))
        held = sum(math.exp(log_softmax[each]) for each in candidates if view.is_held[each])
        size, number, days = view.customer_inputs[customer, names].tolist()
        of_customer = weights.bias + weights.per_size * size + weights.per_basket * number + weights.per_known * held
        of_customer += weights.at_visit if days > 0.0 else 0.0
        visits += days > 0.0
        expected = [1 / (1 + math.exp(-max(of_customer + weights.slope * log_softmax[each], -30.0))) for each in order]

        assert ranked.position.tolist() == order
        assert ranked.log_softmax.tolist() == pytest.approx([log_softmax[each] for each in order], abs=1e-9)
        found = weights.probabilities(ranked, view.customer_inputs[customer])
        assert found.tolist() == pytest.approx(expected, abs=1e-6)
    assert 0 < visits < len(histories)


def test_candidates_of_equal_probability_are_listed_by_stock_code(replay: StateReplay) -> None:
    """Whatever order a process met the items in, which is that of their rows."""
    served = scorer()
    arrays = {
        name: array if "deviation" in name else np.zeros_like(array) for name, array in served.network.arrays.items()
    }
    equal = replace(
        served,
        network=NumpyNetwork(arrays, input_sizes()),
        correction=Correction(len(CANDIDATE_INPUTS), served.statistics.codes),
    )
    histories = list(replay.histories.values())[:3]
    view = equal.view(histories, replay.items, NOW)
    codes = candidate_codes(view, replay.items)
    assert codes != sorted(codes)
    for number, prediction in enumerate(equal.predict(histories, replay.items, NOW, 10)):
        mine = sorted(code for code, customer in zip(codes, view.customer.tolist(), strict=True) if customer == number)
        assert [each.stock_code for each in prediction.candidates] == mine[:10]


STORED_CALLS = {"histories as columns": 71.8, "inputs": 280.2, "network": 18.3, "return curve": 43.5, "answer": 483.2}
"""Calls of functions a customer of the shop; store what the failure says where more are due."""


def test_no_stage_of_a_prediction_calls_a_fifth_more_functions(replay: StateReplay) -> None:
    """Python's calls are counted, NumPy's included, which no clock can blur: a loop over candidates shows here."""
    served = scorer()
    histories = list(replay.histories.values())[:32]
    view = served.view(histories, replay.items, NOW)
    stages: dict[str, Callable[[], object]] = {
        "histories as columns": lambda: flatten(histories, replay.items),
        "inputs": lambda: served.view(histories, replay.items, NOW),
        "network": lambda: served.network.logits(view),
        "return curve": lambda: served.return_time.curve(histories, NOW),
        "answer": lambda: served.predict(histories, replay.items, NOW, 10),
    }
    calls = {name: _calls(stage) / len(histories) for name, stage in stages.items()}
    for name, stored in STORED_CALLS.items():
        assert calls[name] <= 1.2 * stored, f"{name}: {calls[name]:.1f} calls a customer instead of {stored}"


def _calls(stage: Callable[[], object]) -> int:
    stage()  # what is computed once is there
    profile = cProfile.Profile()
    profile.runcall(stage)
    total: int = pstats.Stats(profile).total_calls  # type: ignore[attr-defined]  # typeshed lacks it
    return total
