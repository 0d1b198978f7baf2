import logging
import threading
import time
from random import Random

import pytest

from stream.errors import Stopped
from stream.pipeline.outages import Outages
from stream.pipeline.retry import MAX_BACKOFF_S, RetryPolicy
from tests.unit.stream.clock import FakeClock


class Flaky:
    """An operation that fails a number of times."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self.failures:
            raise TimeoutError(f"failure {self.calls}")
        return "done"


def test_backoff_doubles_up_to_a_bound_and_half_of_it_is_random() -> None:
    retry = RetryPolicy(threading.Event(), Random(1))
    for attempt, longest in [(1, 0.05), (2, 0.1), (4, 0.4), (50, MAX_BACKOFF_S), (10_000, MAX_BACKOFF_S)]:
        backoffs = [retry.backoff(attempt) for _ in range(100)]
        assert longest / 2 <= min(backoffs)
        assert max(backoffs) <= longest
        assert max(backoffs) - min(backoffs) > longest / 4


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the pipeline logged: a thread that another test left may log in the same process."""
    return [record.getMessage() for record in caplog.records if record.name.startswith("stream.pipeline.")]


def test_success_at_once_logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    assert RetryPolicy(threading.Event(), Random(1)).call("X", Flaky(0), TimeoutError) == "done"
    assert lines(caplog) == []


def test_an_outage_is_logged_at_its_start_and_at_its_end(caplog: pytest.LogCaptureFixture) -> None:
    outages: list[tuple[str, float]] = []
    retry = RetryPolicy(
        threading.Event(), Random(1), Outages(lambda service, seconds: outages.append((service, seconds)))
    )
    flaky = Flaky(4)
    with caplog.at_level(logging.INFO):
        assert retry.call("Redis", flaky, TimeoutError) == "done"
    assert flaky.calls == 5
    first, last = lines(caplog)
    assert first == "Waiting for Redis: failure 1"
    assert last.startswith("Redis answers after ")
    assert {service for service, _ in outages} == {"Redis"}
    assert sum(seconds for _, seconds in outages) > 0.1


def test_an_outage_is_reported_while_it_lasts() -> None:
    waited = [0.0]
    seen: list[float] = []
    flaky = Flaky(4)

    def add(service: str, seconds: float) -> None:
        waited[0] += seconds

    def operation() -> str:
        seen.append(waited[0])
        return flaky()

    RetryPolicy(threading.Event(), Random(1), Outages(add)).call("Redis", operation, TimeoutError)
    assert seen == sorted(seen)
    assert 0.0 < seen[2] < seen[4] < waited[0]


def test_other_errors_are_raised_at_once() -> None:
    with pytest.raises(TimeoutError):
        RetryPolicy(threading.Event(), Random(1)).call("X", Flaky(1), ConnectionError)


def test_a_stop_ends_a_wait_at_once() -> None:
    stop = threading.Event()
    retry = RetryPolicy(stop, Random(1))
    threading.Timer(0.2, stop.set).start()
    began = time.monotonic()
    with pytest.raises(Stopped):
        retry.call("X", Flaky(10**9), TimeoutError)
    assert time.monotonic() - began < MAX_BACKOFF_S


def test_nothing_is_retried_after_a_stop() -> None:
    stop = threading.Event()
    stop.set()
    flaky = Flaky(1)
    with pytest.raises(Stopped):
        RetryPolicy(stop, Random(1)).call("X", flaky, TimeoutError)
    assert flaky.calls == 1


def test_a_call_of_more_than_a_second_is_logged_unless_an_outage_is(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakeClock()
    monkeypatch.setattr("stream.pipeline.retry.time", clock)
    outages = Outages()
    policy = RetryPolicy(threading.Event(), Random(1), outages)
    policy.call("Redis", lambda: clock.sleep(1.1), ValueError)
    assert lines(caplog) == ["A call of Redis took 1.1 s"]
    outages.waits("Redis", "watch", "it hangs")
    policy.call("Redis", lambda: clock.sleep(1.1), ValueError)
    assert sum("A call of" in line for line in lines(caplog)) == 1
