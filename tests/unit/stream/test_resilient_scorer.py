"""Batch, then customer by customer, then the fallback, then an empty prediction."""

import logging
from collections.abc import Sequence

import pytest

from state.domain.history import CustomerHistory
from state.domain.items import record_sale
from state.domain.recommendation import ModelVersion
from stream.monitoring import Metrics
from stream.pipeline.resilient_scorer import ResilientScorer
from tests.unit.stream.harness import CountingScorer
from training.features.item_table import ItemTable
from training.serving.scorer import Prediction

HISTORIES = [CustomerHistory(customer_id) for customer_id in "789"]
ITEMS = ItemTable([record_sale(None, "A", 0, 1.0)])


def fails_for(customer_id: str) -> CountingScorer:
    return CountingScorer(fails=lambda histories: any(one.customer_id == customer_id for one in histories))


def always_fails(version: str) -> CountingScorer:
    return CountingScorer(version, fails=lambda _: True)


def predict(scorer: CountingScorer, fallback: CountingScorer, metrics: Metrics) -> list[tuple[str, list[str]]]:
    """For each of ``HISTORIES`` the version of the model and the predicted stock codes."""
    found = ResilientScorer(lambda: scorer, fallback, metrics).predict(HISTORIES, ITEMS, 0, 10)
    assert all(one.model == ModelVersion("counting", one.model.version) for one in found)
    return [(one.model.version, [each.stock_code for each in one.prediction.candidates]) for one in found]


def fallbacks(metrics: Metrics) -> float | None:
    return metrics.registry.get_sample_value("nextbasket_fallback_predictions_total")


def test_one_call_for_the_whole_batch() -> None:
    scorer, fallback, metrics = CountingScorer(), CountingScorer("fallback"), Metrics()
    assert predict(scorer, fallback, metrics) == [("1", ["A"])] * 3
    assert (scorer.calls, fallback.calls) == ([["7", "8", "9"]], [])
    assert fallbacks(metrics) == 0
    assert metrics.registry.get_sample_value("nextbasket_stage_seconds_count", {"stage": "predict"}) == 1


def test_after_a_failure_customer_by_customer_with_the_fallback_for_the_failing_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    scorer, fallback, metrics = fails_for("8"), CountingScorer("fallback"), Metrics()
    with caplog.at_level(logging.ERROR):
        assert predict(scorer, fallback, metrics) == [("1", ["A"]), ("fallback", ["A"]), ("1", ["A"])]
    assert scorer.calls == [["7", "8", "9"], ["7"], ["8"], ["9"]]
    assert fallback.calls == [["8"]]
    assert fallbacks(metrics) == 1
    assert [record.getMessage() for record in caplog.records] == [
        "counting 1 failed for a batch; predicting customer by customer",
        "counting 1 failed for customer 8",
    ]


def test_an_empty_prediction_where_the_fallback_fails_too(caplog: pytest.LogCaptureFixture) -> None:
    metrics = Metrics()
    assert predict(always_fails("1"), always_fails("fallback"), metrics) == [("fallback", [])] * 3
    assert fallbacks(metrics) == 3
    assert "The fallback failed for customer 9 too" in caplog.text


def test_a_wrong_number_of_predictions_is_a_failure() -> None:
    class ShortScorer(CountingScorer):
        def predict(self, histories: Sequence[CustomerHistory], items: ItemTable, now: int, k: int) -> list[Prediction]:
            return super().predict(histories, items, now, k)[:1]

    assert predict(ShortScorer(), CountingScorer("fallback"), Metrics()) == [("1", ["A"])] * 3


def test_the_scorer_is_read_once_a_batch() -> None:
    versions = iter("12")
    scorer = ResilientScorer(lambda: CountingScorer(next(versions)), CountingScorer("fallback"), Metrics())
    first, second = (scorer.predict(HISTORIES, ITEMS, 0, 10) for _ in range(2))
    assert {one.model.version for one in first} == {"1"}
    assert {one.model.version for one in second} == {"2"}
