"""When the next round of training begins, and what its health is."""

import logging
from collections.abc import Callable

import pytest
from prometheus_client import generate_latest

from stream.monitoring import TrainingMetrics
from stream.training_rounds import MAX_ARRIVAL_S, MAX_SILENCE_S, TrainingRounds, delay_after_failure, is_due
from tests.unit.stream.clock import FakeClock

SIX_HOURS = 6 * 3_600.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    clock = FakeClock()
    monkeypatch.setattr("stream.training_rounds.time", clock)
    return clock


def rounds_of(
    run_round: Callable[[], bool], count_events: Callable[[], int] = lambda: 0, metrics: TrainingMetrics | None = None
) -> TrainingRounds:
    return TrainingRounds(run_round, count_events, SIX_HOURS, metrics or TrainingMetrics())


def fail() -> bool:
    raise ValueError("too few purchases")


def test_after_a_failure_the_next_round_comes_soon_and_then_later_and_later() -> None:
    day = 86_400.0
    assert [delay_after_failure(failures, day) for failures in (1, 2, 3, 4)] == [60.0, 120.0, 240.0, 480.0]
    assert delay_after_failure(1_000, day) == day
    assert delay_after_failure(1, 10.0) == 10.0


@pytest.mark.parametrize(
    ("waited", "at_failure", "before", "now", "due"),
    [
        (15.0, 0, 0, 0, False),
        (240.0, 0, 0, 0, True),
        (15.0, 0, 0, 100, False),  # events are arriving
        (30.0, 0, 100, 100, True),  # they came, and no more do
        (15.0, 100, 150, 150, False),  # a few more
        (15.0, 100, 200, 200, True),
        (240.0, 100, 150, 150, True),
        (240.0, 100, 150, 170, False),
        (240.0 + MAX_ARRIVAL_S, 100, 150, 170, True),  # a shop that always sells
    ],
)
def test_a_round_is_due_after_its_delay_or_once_events_have_come(
    waited: float, at_failure: int, before: int, now: int, due: bool
) -> None:
    assert is_due(waited, 240.0, at_failure=at_failure, before=before, now=now) is due


def test_a_replay_long_after_the_start_is_trained_on_once_it_has_ended(clock: FakeClock) -> None:
    began: list[float] = []
    replay_from, replay_until = 10_000.0, 10_090.0

    def count_events() -> int:
        return round(300 * min(max(clock.now - replay_from, 0.0), replay_until - replay_from))

    def run_round() -> bool:
        began.append(clock.now)
        if clock.now < replay_from:
            fail()
        clock.now += 600.0
        return True

    rounds = rounds_of(run_round, count_events)
    while not began or began[-1] < replay_from:
        rounds.run_next()
    assert began[:4] == [0.0, 60.0, 180.0, 420.0]
    rounds.run_next()
    assert replay_until < began[-2] < replay_until + 45.0
    assert began[-1] == began[-2] + SIX_HOURS


def test_the_outcome_of_the_last_round_is_known(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    metrics = TrainingMetrics()
    outcomes = iter([fail, lambda: False, lambda: True, fail])
    rounds = rounds_of(lambda: next(outcomes)(), metrics=metrics)
    assert rounds.last_failure() == "no round has ended yet"
    rounds.run_next()
    assert "failed: " in str(rounds.last_failure())
    assert "too few purchases" in str(rounds.last_failure())
    (line,) = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert line.startswith("This round failed, the next begins in 60 s: ")
    rounds.run_next()
    assert rounds.last_failure() is None
    rounds.run_next()
    rounds.run_next()
    assert rounds.last_failure() is not None
    text = generate_latest(metrics.registry).decode()
    assert 'nextbasket_training_rounds_total{outcome="failed"} 2.0' in text
    assert 'nextbasket_training_rounds_total{outcome="not_promoted"} 1.0' in text
    assert 'nextbasket_training_rounds_total{outcome="promoted"} 1.0' in text
    assert "nextbasket_training_last_success_timestamp_seconds 0.0" not in text


def test_a_loop_that_waits_is_alive_and_one_that_hangs_is_not(clock: FakeClock) -> None:
    seen: list[str | None] = []

    def run_round() -> bool:
        clock.now += MAX_SILENCE_S - 1.0
        rounds.progressed()
        clock.now += MAX_SILENCE_S - 1.0
        seen.append(rounds.hangs())
        clock.now += 2.0
        seen.append(rounds.hangs())
        return True

    rounds = rounds_of(run_round)
    rounds.run_next()
    assert seen[0] is None
    assert "no progress" in str(seen[1])
    assert rounds.hangs() is None  # a wait has ended
    clock.now += 3_600.0
    assert "there is no progress" in str(rounds.hangs())
