"""The network's say on when a customer comes back: outcomes, likelihood, fit, and Keras against numpy."""

import keras
import numpy as np
import pytest

from state.events.dates import DAY
from state.events.invoice import THOUSAND, Invoice, Line
from tests.unit.evaluation.purchases import START, invoice
from tests.unit.features.shop import shop_log
from training.data.walk import StateReplay
from training.evaluation.return_time import emission_outcomes, return_metrics
from training.evaluation.split import Span
from training.features.return_time.inputs import return_inputs
from training.models.return_time.fitting import (
    ReturnExamples,
    ReturnNetwork,
    average_networks,
    fit_returns,
    negative_log_likelihood,
    outcomes,
    return_examples,
)
from training.serving.return_time.network import EDGES, NumpyReturnNetwork

LOG = shop_log(400)
UNTIL = LOG[300].date


@pytest.fixture(scope="module")
def seen() -> ReturnExamples:
    return return_examples(LOG, UNTIL, 100)


@pytest.fixture(scope="module")
def fitted(seen: ReturnExamples) -> ReturnNetwork:
    keras.utils.set_random_seed(3)
    return fit_returns(seen, UNTIL)


def test_purchases_and_what_came_of_them() -> None:
    log = [
        invoice("1", "ann", 0, "a"),
        invoice("2", "bob", 1, "a"),
        invoice("3", "ann", 10, "a"),
        invoice("4", "ann", 11, "a", back=True),
        invoice("5", "bob", 30, "a"),
    ]
    found = return_examples(log, START + 20 * DAY, 100)
    assert found.days.tolist() == [10.0, 19.0, 10.0]
    assert found.returned.tolist() == [True, False, False]
    assert found.date.tolist() == [START, START + DAY, START + 10 * DAY]
    assert len(return_examples([], START, 100).date) == 0


def test_training_reads_what_service_reads(seen: ReturnExamples) -> None:
    """Histories kept by the walk, read all at once, against those of training, read as they come."""
    replay, since = StateReplay(window=100), LOG[0].date / DAY
    rows = []
    for each in LOG:
        if each.date < UNTIL:
            replay.apply(each)
            if each.is_purchase:
                rows.append(return_inputs([replay.histories[str(each.customer_id)]], since)[0])
    np.testing.assert_allclose(seen.inputs, rows, atol=1e-6)


def test_nothing_after_the_end_is_learnt_from(seen: ReturnExamples) -> None:
    before = [each for each in LOG if each.date < UNTIL]
    for mine, other in zip(seen, return_examples(before, UNTIL, 100), strict=True):
        np.testing.assert_array_equal(mine, other)


def test_outcomes_by_hand() -> None:
    """Back after 7 days sharp (the fifth interval), still out after 12 (half of the seventh), and after two years."""
    found = outcomes(np.asarray([7.0, 12.0, 730.0]), np.asarray([True, False, False]))
    survived, event = np.split(found, 2, axis=1)
    assert survived[0].tolist() == [1.0] * 4 + [0.0] * 12
    assert event[0].tolist() == [0.0] * 4 + [1.0] + [0.0] * 11
    assert survived[1].tolist() == [1.0] * 6 + [0.5] + [0.0] * 9
    assert survived[2].tolist() == [1.0] * 16
    assert not event[1:].any()
    # Within the same second is within the first interval; after more than the last edge it is no return to learn from.
    others = np.split(outcomes(np.asarray([0.0, 400.0]), np.asarray([True, True])), 2, axis=1)
    assert others[1][0].tolist() == [1.0] + [0.0] * 15
    assert not others[1][1].any()


def test_the_likelihood_by_hand() -> None:
    """With a hazard of a quarter everywhere: three quarters to the power of the steps passed, a quarter on return."""
    outcome = outcomes(np.asarray([7.0, 12.0]), np.asarray([True, False]))
    logits = np.full((2, len(EDGES) - 1), np.log(1 / 3), np.float32)
    likelihood = np.exp(-np.asarray(negative_log_likelihood(outcome, logits)))
    assert likelihood == pytest.approx([0.75**4 * 0.25, 0.75**6.5], rel=1e-5)


def test_numpy_serves_what_keras_computes(fitted: ReturnNetwork, seen: ReturnExamples) -> None:
    served = NumpyReturnNetwork(fitted.arrays()).logits(seen.inputs)
    np.testing.assert_allclose(served, np.asarray(fitted(seen.inputs)), atol=1e-5)


def test_networks_side_by_side_say_the_mean_of_what_each_says(seen: ReturnExamples) -> None:
    keras.utils.set_random_seed(4)
    generator = np.random.default_rng(4)
    networks = [ReturnNetwork() for _ in range(3)]
    for each in networks:
        each.standardise.fit(seen.inputs)
        each(seen.inputs[:1])
        each.step.kernel.assign(generator.normal(size=each.step.kernel.shape))
        each.hazard_bias.assign(generator.normal(size=each.hazard_bias.shape))
    logits = [np.asarray(each(seen.inputs)) for each in networks]
    assert np.abs(logits[0] - logits[1]).max() > 1.0
    np.testing.assert_allclose(np.asarray(average_networks(networks)(seen.inputs)), np.mean(logits, axis=0), atol=1e-4)


def test_the_same_seed_ends_in_the_same_network(fitted: ReturnNetwork, seen: ReturnExamples) -> None:
    keras.utils.set_random_seed(3)
    again = fit_returns(seen, UNTIL).arrays()
    for name, array in fitted.arrays().items():
        np.testing.assert_array_equal(array, again[name])


def test_what_nobody_was_seen_to_reach_goes_by_what_came_before(fitted: ReturnNetwork, seen: ReturnExamples) -> None:
    """Customers differ as much in the intervals behind the data as in the last one with data."""
    survived, event = np.split(outcomes(seen.days, seen.returned), 2, axis=1)
    reached = int((survived + event).any(axis=0).sum())
    assert 0 < reached < len(EDGES) - 1
    kernel = fitted.arrays()["hazard_kernel"]
    assert kernel[:, reached - 1].any()
    np.testing.assert_array_equal(
        kernel[:, reached:], np.repeat(kernel[:, reached - 1 : reached], 16 - reached, axis=1)
    )


def test_it_separates_regular_from_rare_customers() -> None:
    """Half of the customers come every 5 days, half every 40, a little off: only their own gaps differ."""
    generator = np.random.default_rng(5)
    dates = [
        (START + int(DAY * (number % 40 + every * (time + generator.uniform(-0.2, 0.2)))), f"{every}-{number}")
        for every in (5, 40)
        for number in range(15)
        for time in range(1, 400 // every)
    ]
    line = (Line("00001", THOUSAND, 1.0),)
    log = [Invoice(f"{number:05d}", customer, date, line) for number, (date, customer) in enumerate(sorted(dates))]
    end = START + 250 * DAY
    keras.utils.set_random_seed(1)
    curve = NumpyReturnNetwork(fit_returns(return_examples(log, end, 100), end).arrays())
    evaluated = emission_outcomes(log, Span(end, end + 60 * DAY))
    curves = np.concatenate(
        [curve.curve([history], now) for history, now in zip(evaluated.histories, evaluated.date.tolist(), strict=True)]
    )
    found = return_metrics(curves, evaluated)
    assert found[14].auc > 0.95
    assert found[14].brier < 0.1 * evaluated.returned_within(14).mean()
    assert found[60].brier < 0.05


def test_one_purchase_is_enough_to_say_something() -> None:
    log = [invoice("1", "ann", 0, "a")]
    keras.utils.set_random_seed(1)
    curve = NumpyReturnNetwork(fit_returns(return_examples(log, START + DAY, 100), START + DAY).arrays())
    chances = curve.curve(emission_outcomes(log, Span(START, START + DAY)).histories, START)[0]
    assert 0.0 < chances[0] < chances[-1] < 1.0


@pytest.mark.parametrize("most", [1, 5, 77, 10_000])
def test_only_the_newest_purchases_are_kept(seen: ReturnExamples, most: int) -> None:
    """Fewer than are read at once, more than that, and more than there are: each with its own outcome."""
    kept = return_examples(LOG, UNTIL, 100, most)

    assert kept.since == seen.since
    for name in ("inputs", "date", "days", "returned"):
        np.testing.assert_array_equal(getattr(kept, name), getattr(seen, name)[-most:], err_msg=name)
