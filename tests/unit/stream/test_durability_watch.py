import logging
import threading

import pytest

from state.errors import SettingsError, StoreUnavailable
from state.store.redis.durability import Durability
from stream.durability_watch import DurabilityWatch, require_durability

GOOD = Durability("noeviction", True)


def test_a_redis_that_keeps_everything_needs_no_words(caplog: pytest.LogCaptureFixture) -> None:
    require_durability([GOOD, GOOD], allow_eviction=False)
    assert not caplog.records


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
def test_an_eviction_policy_is_refused_unless_it_is_allowed(policy: str, caplog: pytest.LogCaptureFixture) -> None:
    servers = [GOOD, Durability(policy, True)]
    with pytest.raises(SettingsError, match=f"maxmemory-policy {policy}.*NEXTBASKET_ALLOW_EVICTION=1"):
        require_durability(servers, allow_eviction=False)
    require_durability(servers, allow_eviction=True)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert policy in caplog.text


@pytest.mark.parametrize(
    ("server", "words"),
    [
        (Durability(None, True), "REDIS MAY NOT BE ASKED"),
        (Durability("noeviction", None), "whether it writes to disk"),
        (Durability("noeviction", False), "does not write to disk"),
    ],
)
def test_what_is_unknown_or_not_on_disk_is_a_warning(
    server: Durability, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    require_durability([server], allow_eviction=False)
    assert words in caplog.text


class Answers:
    """Gives one answer after the other, and then ``GOOD``; ``asked`` is set once all were given."""

    def __init__(self, *answers: Durability | Exception) -> None:
        self._answers = list(answers)
        self.asked = threading.Event()

    def __call__(self) -> list[Durability]:
        if not self._answers:
            self.asked.set()
            return [GOOD]
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return [answer]


def test_a_policy_that_changes_later_is_one_error_a_metric_and_not_ready(caplog: pytest.LogCaptureFixture) -> None:
    evicting = Durability("allkeys-lfu", True)
    read = Answers(GOOD, StoreUnavailable("down"), evicting, evicting, StoreUnavailable("down"), evicting)
    reported: list[tuple[bool, str | None]] = []
    watch = DurabilityWatch(read, lambda evicts: reported.append((evicts, watch.problem())), interval_s=0.001)
    with caplog.at_level(logging.INFO):
        watch.start([GOOD])
        assert read.asked.wait(10)
        watch.stop()
    error, over = caplog.records
    assert error.levelno == logging.ERROR
    assert "allkeys-lfu" in error.getMessage()
    assert over.getMessage() == "Redis does not evict keys"
    assert [evicts for evicts, _ in reported][:6] == [False, False, True, True, True, False]
    assert {evicts for evicts, problem in reported if problem is not None} == {True}
    assert watch.problem() is None


def test_a_redis_that_stops_writing_to_disk_later_is_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    volatile = Durability("noeviction", False)
    read = Answers(GOOD, volatile, StoreUnavailable("down"), volatile)
    watch = DurabilityWatch(read, interval_s=0.001)
    with caplog.at_level(logging.INFO):
        watch.start([GOOD])
        assert read.asked.wait(10)
        watch.stop()
    warning, over = caplog.records
    assert warning.levelno == logging.WARNING
    assert "does not write to disk" in warning.getMessage()
    assert over.getMessage() == "Redis writes to disk"
    assert watch.problem() is None


def test_a_worker_that_may_use_an_evicting_redis_is_ready(caplog: pytest.LogCaptureFixture) -> None:
    evicting = [Durability("allkeys-lfu", True)]
    reported: list[bool] = []
    watch = DurabilityWatch(lambda: evicting, reported.append, allow_eviction=True, interval_s=60.0)
    watch.start(evicting)
    watch.stop()
    assert reported == [True]
    assert watch.problem() is None
    assert not caplog.records  # the warning at the start is that of ``require_durability``
