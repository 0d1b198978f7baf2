import logging
from collections.abc import Callable

import pytest

from stream.pipeline.outages import Outages
from stream.pipeline.service_watch import ServiceWatch
from tests.services.group import wait_until


def watch(check: Callable[[], str | None], outages: Outages, grace_s: float = 0.05) -> ServiceWatch:
    return ServiceWatch(
        "Kafka", [lambda: None, check], outages, reason=lambda: "refused", interval_s=0.005, grace_s=grace_s
    )


def test_a_problem_that_lasts_is_an_outage_until_it_is_gone(caplog: pytest.LogCaptureFixture) -> None:
    problems: list[str] = ["no broker answers"]
    seconds: list[float] = []
    watched = watch(lambda: problems[0] if problems else None, Outages(lambda _, passed: seconds.append(passed)))
    with caplog.at_level(logging.INFO):
        watched.start()
        wait_until(lambda: sum(seconds) > 0.1, "the metric rises", 10.0)
        assert watched.problem() == "no broker answers"
        problems.clear()
        wait_until(lambda: watched.problem() is None and len(caplog.records) == 2, "it is over", 10.0)
        watched.stop()
    first, last = (record.getMessage() for record in caplog.records)
    assert first == "Waiting for Kafka: no broker answers: refused"
    assert last.startswith("Kafka answers after ")


def test_a_problem_that_is_over_at_once_is_none(caplog: pytest.LogCaptureFixture) -> None:
    checks: list[int] = []

    def check() -> str | None:
        checks.append(0)
        return "the coordinator is not known" if len(checks) < 3 else None

    watched = watch(check, Outages(), grace_s=10.0)
    watched.start()
    wait_until(lambda: len(checks) > 4, "it is over, and was seen to be", 10.0)
    watched.stop()
    assert caplog.records == []


def test_a_check_that_fails_does_not_end_the_watch(caplog: pytest.LogCaptureFixture) -> None:
    calls: list[int] = []

    def check() -> str | None:
        calls.append(0)
        if len(calls) == 1:
            raise ValueError("a mistake")
        return None

    watched = watch(check, Outages())
    watched.start()
    wait_until(lambda: len(calls) > 2, "it goes on", 10.0)
    watched.stop()
    assert "Checking whether Kafka is available failed" in caplog.text
