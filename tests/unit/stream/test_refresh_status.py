import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from stream.commands import refresh as command
from stream.tools.refresh_status import next_request
from tests.unit.stream.refreshes import RefreshHarness
from tests.unit.stream.test_refresh import CUSTOMERS, ReversingScorer, shop

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "INTERVAL_S", 0.005)
    monkeypatch.setattr(command, "SILENCE_S", 0.1)


@contextmanager
def at_work(refresh: RefreshHarness, after_s: float = 0.0) -> Iterator[None]:
    """A worker that refreshes in a thread, one customer at a time."""
    closing = threading.Event()

    def work() -> None:
        closing.wait(after_s)
        while not closing.wait(0.005):
            refresh.refresher._size = 1
            refresh.step()
            refresh.seconds += 1

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        closing.set()
        thread.join(10)


def test_a_request_is_watched_to_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    worker = shop()
    refresh = RefreshHarness(worker)
    refresh.run()
    worker.scorer = ReversingScorer(version="1")
    refresh.progress.request = next_request(NOW, "")
    with at_work(refresh):
        command.watch(refresh.progress, refresh.progress.request)
    assert len(worker.recommendations()) == len(CUSTOMERS)
    assert capsys.readouterr().out == "12 customers refreshed, 12 sent.\n"


def test_whoever_watches_is_asked_for_a_worker_where_nothing_moves(capsys: pytest.CaptureFixture[str]) -> None:
    refresh = RefreshHarness(shop())
    refresh.run()
    refresh.progress.request = next_request(NOW, "")
    with at_work(refresh, after_s=0.5):
        command.watch(refresh.progress, refresh.progress.request)
    out, err = capsys.readouterr()
    assert out == "12 customers refreshed, 0 sent.\n"
    assert err.count("is a worker running") == 1


def test_a_request_by_a_clock_that_is_behind_is_a_request_too() -> None:
    first = next_request(NOW, "")
    assert first == "2026-03-01T12:00:00.000Z"
    second = next_request(NOW - timedelta(hours=1), first)
    assert second == "2026-03-01T12:00:00.001Z"
    assert next_request(NOW + timedelta(seconds=1), second) == "2026-03-01T12:00:01.000Z"
    refresh = RefreshHarness(shop())
    refresh.run()
    for request in (first, second):
        refresh.progress.request = request
        refresh.run()
        assert refresh.progress.shard(0).reached.asked == request
