import logging

import pytest

from stream.pipeline.outages import Outages
from tests.unit.stream.clock import FakeClock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    clock = FakeClock()
    monkeypatch.setattr("stream.pipeline.outages.time", clock)
    return clock


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_an_outage_that_two_wait_for_is_one(caplog: pytest.LogCaptureFixture, clock: FakeClock) -> None:
    seconds: list[float] = []
    outages = Outages(lambda service, passed: seconds.append(passed))
    with caplog.at_level(logging.INFO):
        outages.waits("Kafka", "publisher", "not confirmed")
        clock.sleep(5.0)
        outages.waits("Kafka", "consumer", "no coordinator")
        clock.sleep(5.0)
        outages.answers("Kafka", "publisher")
        assert messages(caplog) == ["Waiting for Kafka: not confirmed"]
        outages.waits("Kafka", "consumer", "no coordinator")
        clock.sleep(5.0)
        outages.answers("Kafka", "consumer")
    assert messages(caplog) == ["Waiting for Kafka: not confirmed", "Kafka answers after 15.0 s"]
    assert sum(seconds) == 15.0


def test_a_start_before_the_report_counts(clock: FakeClock) -> None:
    seconds: list[float] = []
    outages = Outages(lambda service, passed: seconds.append(passed))
    outages.waits("Kafka", "consumer", "no coordinator", since=clock.monotonic() - 5.0)
    assert sum(seconds) == 5.0


def test_services_have_outages_of_their_own(caplog: pytest.LogCaptureFixture) -> None:
    outages = Outages()
    outages.waits("Kafka", "one", "away")
    outages.waits("Redis", "one", "away")
    assert messages(caplog) == ["Waiting for Kafka: away", "Waiting for Redis: away"]


def test_an_answer_without_an_outage_is_no_news(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        Outages().answers("Kafka", "consumer")
    assert messages(caplog) == []


def test_an_outage_that_the_worker_does_not_wait_out_has_no_end(caplog: pytest.LogCaptureFixture) -> None:
    outages = Outages()
    with caplog.at_level(logging.INFO):
        outages.waits("Kafka", "consumer", "away")
        outages.gives_up("Kafka", "consumer")
    assert messages(caplog)[1] == "Kafka did not answer for 0.0 s, and the worker stops"


def test_the_reason_that_a_service_is_waited_for_is_known_until_it_answers() -> None:
    outages = Outages()
    outages.waits("Redis", "processor", "no answer")
    outages.waits("Redis", "processor", "it is loading")
    assert (outages.problem("Redis"), outages.problem("Kafka")) == ("it is loading", None)
    outages.answers("Redis", "processor")
    assert outages.problem("Redis") is None
