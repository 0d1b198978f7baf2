"""What follows the log of an evaluation, and what stays as it was fitted."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import msgspec
import pytest

from state.events.dates import DAY
from state.events.invoice import Invoice
from tests.unit.evaluation.fitted_basket import FittedBasket
from tests.unit.features.shop import START, shop_log
from training.data.walk import StateReplay
from training.evaluation.daily_update import (
    DailyNeighboursScorer,
    DailyStatisticsScorer,
    DailyUpdated,
    PointInTimeScorer,
    evaluation_scorer,
)
from training.evaluation.outcome_feedback import OutcomeFeedbackScorer
from training.evaluation.prequential import Ranking, evaluate
from training.evaluation.split import Span
from training.models.baselines.model import FittedBaseline, fit_all
from training.serving.baselines.scorer import BaselineScorer

LOG = shop_log(200)
UNTIL = START + 60 * DAY


def fit(name: str, log: Sequence[Invoice] = LOG, until: int = UNTIL, window: int = 100) -> FittedBaseline:
    return fit_all([name], log, until=until, window=window, calibrate=False)[name]


def replayed(until: int) -> StateReplay:
    replay = StateReplay(window=100)
    for invoice in LOG:
        if invoice.date < until:
            replay.apply(invoice)
    return replay


class FittedBasketModel(FittedBasket):
    """As a ``Fitted``, which can be saved."""

    def save(self, folder: Path) -> None:
        self.scorer.save(folder)


class FittedStatisticsModel:
    """A model that reads statistics and has no correction, as ``lightgbm``; it and its copies record their calls."""

    def __init__(self, until: int) -> None:
        self.until = until
        self.scorer = BaselineScorer("count_demand", "unpublished")
        self.calls: list[tuple[str, int]] = []

    def scorer_at(self, date: int) -> BaselineScorer:
        self.calls.append(("at", date))
        return self.scorer

    def copy(self) -> Self:
        return copy.copy(self)

    def extend(self, invoices: Sequence[Invoice], until: int) -> None:
        assert invoices is LOG
        self.calls.append(("extend", until))

    def save(self, folder: Path) -> None:
        self.scorer.save(folder)


@pytest.mark.parametrize(("name", "daily_updates"), [("ease", True), ("ease", False), ("tifu_knn", False)])
def test_what_does_not_follow_the_log_is_the_served_scorer(name: str, daily_updates: bool) -> None:
    fitted = fit(name)
    scorer = evaluation_scorer(fitted, daily_updates=daily_updates)
    assert scorer is fitted.scorer
    assert not isinstance(scorer, DailyUpdated)


def test_what_follows_the_log_is_wrapped_by_its_kind() -> None:
    assert isinstance(evaluation_scorer(fit("up_cf"), daily_updates=True), DailyNeighboursScorer)
    basket, statistics = FittedBasketModel(LOG, UNTIL), FittedStatisticsModel(UNTIL)
    assert isinstance(evaluation_scorer(basket, daily_updates=True), OutcomeFeedbackScorer)
    assert isinstance(evaluation_scorer(statistics, daily_updates=True), DailyStatisticsScorer)
    for fitted in (basket, statistics):
        scorer = evaluation_scorer(fitted, daily_updates=False)
        assert isinstance(scorer, PointInTimeScorer)
        assert not isinstance(scorer, DailyUpdated)
        assert (scorer.name, scorer.version) == (fitted.scorer.name, "unpublished")


@pytest.mark.parametrize("name", ["tifu_knn", "up_cf"])
def test_updated_neighbours_answer_as_neighbours_fitted_that_day(name: str) -> None:
    fitted = fit(name)
    scorer = evaluation_scorer(fitted, daily_updates=True)
    assert isinstance(scorer, DailyUpdated)
    served = fitted.scorer.fitted
    differ = 0
    for day in (55, 61, 61, 80):
        until = START + day * DAY
        scorer.update(LOG, until)
        now = replayed(until)
        histories = list(now.histories.values())
        fresh = fit(name, [each for each in LOG if each.date < until], until).scorer
        for found, expected, stale in zip(
            *(each.predict(histories, now.items, until, 10) for each in (scorer, fresh, fitted.scorer)), strict=True
        ):
            assert [each.stock_code for each in found.candidates] == [each.stock_code for each in expected.candidates]
            assert [each.probability for each in found.candidates] == [each.probability for each in expected.candidates]
            differ += found.candidates != stale.candidates
    assert differ
    assert fitted.scorer.fitted is served


def test_neighbours_follow_histories_of_the_fitted_window() -> None:
    until = START + 80 * DAY
    now = replayed(until)
    answers = []
    for window in (1, 100):
        scorer = evaluation_scorer(fit("up_cf", window=window), daily_updates=True)
        assert isinstance(scorer, DailyUpdated)
        scorer.update(LOG, until)
        answers.append([each.candidates for each in scorer.predict([now.histories["c1"]], now.items, until, 10)])
    assert answers[0] != answers[1]


def test_without_updates_a_prediction_knows_no_more_than_the_fit_and_its_own_date() -> None:
    fitted = FittedStatisticsModel(UNTIL)
    scorer = evaluation_scorer(fitted, daily_updates=False)
    now = replayed(UNTIL)
    for date in (UNTIL - DAY, UNTIL, UNTIL + 30 * DAY):
        scorer.predict([now.histories["c1"]], now.items, date, 5)
    assert fitted.calls == [("at", UNTIL - DAY), ("at", UNTIL), ("at", UNTIL)]


def test_with_updates_a_prediction_knows_what_is_dated_before_the_day() -> None:
    fitted = FittedStatisticsModel(UNTIL)
    scorer = evaluation_scorer(fitted, daily_updates=True)
    assert isinstance(scorer, DailyUpdated)
    now = replayed(UNTIL)
    today = UNTIL + 9 * DAY
    scorer.update(LOG, today)
    for date in (UNTIL - DAY, today + 3_600):
        scorer.predict([now.histories["c1"]], now.items, date, 5)
    assert fitted.calls == [("extend", today), ("at", UNTIL - DAY), ("at", today)]


@pytest.mark.parametrize("daily_updates", [True, False])
def test_an_evaluation_changes_no_later_one_of_the_same_fitted_model(daily_updates: bool) -> None:
    baskets = [each.lines for each in LOG if each.date >= UNTIL]
    other = [each for each in LOG if each.date < UNTIL]
    other += [
        msgspec.structs.replace(each, lines=lines) for each, lines in zip(LOG[len(other) :], baskets[::-1], strict=True)
    ]

    def rankings(fitted: FittedBasketModel, log: Sequence[Invoice]) -> list[Ranking]:
        scorer = evaluation_scorer(fitted, daily_updates=daily_updates)
        runs = evaluate(log, {"model": scorer}, Span(UNTIL, UNTIL + 25 * DAY), moment="both", depth=20)
        return [*runs["visit"].rankings["model"], *runs["emission"].rankings["model"]]

    fitted = FittedBasketModel(LOG, UNTIL)
    expected = rankings(FittedBasketModel(LOG, UNTIL), LOG)
    assert rankings(fitted, other) != expected
    assert rankings(fitted, LOG) == expected
    assert rankings(fitted, LOG) == expected
