"""The Brier score of returns, by hand."""

import math

import pytest

from state.dates import DAY
from tests.unit.evaluation.purchases import START, invoice
from training.evaluation.returning import brier
from training.evaluation.split import Span
from training.serving.returns import Returns

LOG = [
    invoice("1", "ann", 0, "a"),
    invoice("2", "bob", 0, "a"),
    invoice("3", "ann", 10, "a"),
    invoice("4", "ann", 11, "a", back=True),
    invoice("5", "ann", 22, "a"),
]


def test_only_where_the_horizon_has_passed() -> None:
    """Nothing is known when the span begins, so chances are the usual ones; the log ends on day 22."""
    usual = Returns.usual()
    fresh = usual.curve([0], 0)
    second = usual.curve([START, START + 10 * DAY], START + 10 * DAY)
    found = brier(LOG, Span(START, START + 12 * DAY))
    # Ann is back after 10 days and, a return being no purchase, after 12 more; bob never.
    assert found[7] == pytest.approx((fresh[0] ** 2 * 2 + second[0] ** 2) / 3, abs=1e-9)
    assert found[14] == pytest.approx(((1 - fresh[1]) ** 2 + fresh[1] ** 2) / 2, abs=1e-9)
    assert math.isnan(found[30])


def test_the_end_of_the_span_is_not_included() -> None:
    assert brier(LOG, Span(START, START + 10 * DAY))[7] == pytest.approx(Returns.usual().curve([0], 0)[0] ** 2)
