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


def test_a_policy_that_changes_later_is_an_error_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    answers: list[Durability | Exception] = [GOOD, StoreUnavailable("down"), Durability("allkeys-lfu", True)]
    asked = threading.Event()

    def read() -> list[Durability]:
        if not answers:
            asked.set()
            return [GOOD]
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return [answer]

    watch = DurabilityWatch(read, interval_s=0.001)
    watch.start()
    assert asked.wait(10)
    watch.stop()
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "allkeys-lfu" in record.getMessage()
