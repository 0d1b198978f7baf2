"""Metrics of the chance of a return, by hand."""

import math

import numpy as np
import pytest

from state.events.dates import DAY
from state.events.invoice import Invoice
from tests.unit.evaluation.purchases import START, invoice
from training.evaluation.return_time import auc, emission_outcomes, return_metrics
from training.evaluation.split import Span
from training.serving.scorer import HORIZONS

LOG = [
    invoice("1", "ann", 0, "a"),
    invoice("2", "bob", 0, "a"),
    invoice("3", "ann", 10, "a"),
    invoice("4", "ann", 11, "a", back=True),
    invoice("5", "ann", 22, "a"),
]


def test_emissions_and_what_followed() -> None:
    """Ann is back after 10 days and, a return being no purchase, after 12 more; bob never."""
    seen = emission_outcomes(LOG, Span(START, START + 12 * DAY))
    assert (seen.date - START).tolist() == [0, 0, 10 * DAY]
    assert seen.next_date.tolist() == [START + 10 * DAY, -1, START + 22 * DAY]
    assert seen.log_end == START + 22 * DAY
    # As they stood then: neither the return nor what came later is in them.
    assert [[each.invoice_no for each in history.invoices] for history in seen.histories] == [["1"], ["2"], ["1", "3"]]


def test_the_end_of_the_span_is_not_included() -> None:
    seen = emission_outcomes(LOG, Span(START, START + 10 * DAY))
    assert seen.next_date.tolist() == [START + 10 * DAY, -1]


def test_only_emissions_with_a_known_outcome_are_counted() -> None:
    """The log ends on day 22: a week has passed for three, two weeks for two, a month for nobody."""
    chances = np.tile([0.1, 0.2, 0.3, 0.4, 0.5], (3, 1))
    found = return_metrics(chances, emission_outcomes(LOG, Span(START, START + 12 * DAY)))
    assert list(found) == list(HORIZONS)
    assert (found[7].n, found[14].n, found[30].n) == (3, 2, 0)
    assert found[7].brier == pytest.approx(0.01)
    assert found[14].brier == pytest.approx((0.8**2 + 0.2**2) / 2)
    assert found[14].ece == pytest.approx((0.8 + 0.2) / 2)
    assert math.isnan(found[7].auc)
    assert found[14].auc == 0.5
    assert all(math.isnan(value) for value in (found[30].brier, found[30].ece, found[30].auc))


def test_a_horizon_includes_its_last_second() -> None:
    """A customer who comes back exactly seven days later, when the log ends, came back within seven days."""
    log = [invoice("1", "ann", 0, "a"), invoice("2", "ann", 7, "a")]
    seen = emission_outcomes(log, Span(START, START + DAY))
    assert seen.is_observed(7).tolist() == seen.returned_within(7).tolist() == [True]
    late = [log[0], Invoice("2", "ann", START + 7 * DAY + 1, log[1].lines)]
    assert emission_outcomes(late, Span(START, START + DAY)).returned_within(7).tolist() == [False]
    early = [log[0], Invoice("2", "ann", START + 7 * DAY - 1, log[1].lines)]
    assert emission_outcomes(early, Span(START, START + DAY)).is_observed(7).tolist() == [False]


def test_auc_by_hand() -> None:
    """Of the four pairs of one who came and one who did not, two are in order, one is not, one is tied."""
    assert auc(np.asarray([0.9, 0.3, 0.3, 0.4]), np.asarray([1.0, 1.0, 0.0, 0.0])) == pytest.approx(2.5 / 4)
