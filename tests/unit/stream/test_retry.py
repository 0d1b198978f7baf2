import logging
import threading
import time
from random import Random

import pytest

from stream.errors import Stopped
from stream.pipeline.retry import MAX_PAUSE_S, RetryPolicy


class Flaky:
    """Fails a number of times."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self.failures:
            raise TimeoutError(f"failure {self.calls}")
        return "done"


def test_pauses_double_up_to_a_bound_and_half_of_each_is_chance() -> None:
    retry = RetryPolicy(threading.Event(), Random(1))
    for attempt, longest in [(1, 0.05), (2, 0.1), (4, 0.4), (50, MAX_PAUSE_S), (10_000, MAX_PAUSE_S)]:
        pauses = [retry.pause(attempt) for _ in range(100)]
        assert longest / 2 <= min(pauses)
        assert max(pauses) <= longest
        assert max(pauses) - min(pauses) > longest / 4


def test_success_at_once_needs_no_patience(caplog: pytest.LogCaptureFixture) -> None:
    assert RetryPolicy(threading.Event(), Random(1)).call("X", Flaky(0), TimeoutError) == "done"
    assert caplog.records == []


def test_an_outage_is_said_once_at_its_start_and_once_at_its_end(caplog: pytest.LogCaptureFixture) -> None:
    waited: list[tuple[str, float]] = []
    retry = RetryPolicy(threading.Event(), Random(1), lambda what, seconds: waited.append((what, seconds)))
    flaky = Flaky(4)
    with caplog.at_level(logging.INFO):
        assert retry.call("Redis", flaky, TimeoutError) == "done"
    assert flaky.calls == 5
    first, last = (record.getMessage() for record in caplog.records)
    assert first == "Waiting for Redis: failure 1"
    assert last.startswith("Redis answers after ")
    ((what, seconds),) = waited
    assert what == "Redis"
    assert seconds > 0.1


def test_other_errors_are_not_waited_out() -> None:
    with pytest.raises(TimeoutError):
        RetryPolicy(threading.Event(), Random(1)).call("X", Flaky(1), ConnectionError)


def test_stopping_ends_a_pause_at_once() -> None:
    stop = threading.Event()
    retry = RetryPolicy(stop, Random(1))
    threading.Timer(0.2, stop.set).start()
    began = time.monotonic()
    with pytest.raises(Stopped):
        retry.call("X", Flaky(10**9), TimeoutError)
    assert time.monotonic() - began < MAX_PAUSE_S


def test_when_stopping_already_one_failure_is_enough() -> None:
    stop = threading.Event()
    stop.set()
    flaky = Flaky(1)
    with pytest.raises(Stopped):
        RetryPolicy(stop, Random(1)).call("X", flaky, TimeoutError)
    assert flaky.calls == 1
