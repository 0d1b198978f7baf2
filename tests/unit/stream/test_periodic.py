"""A function called again and again in a thread."""

import logging
import threading

import pytest

from state.errors import StoreUnavailable
from stream.periodic import PeriodicThread


def test_calls_go_on_after_an_exception_which_is_logged_unless_it_is_expected(
    caplog: pytest.LogCaptureFixture,
) -> None:
    outcomes = [StoreUnavailable("Redis is away"), ValueError("a fault"), None]
    done, ended = threading.Event(), threading.Event()

    def call() -> None:
        if not outcomes:
            done.set()
            return
        if error := outcomes.pop(0):
            raise error

    thread = PeriodicThread(
        "test", call, "Looking at it", interval_s=0.001, expected=(StoreUnavailable,), at_end=ended.set
    )
    with caplog.at_level(logging.INFO):
        thread.start()
        assert done.wait(10)
        thread.stop()
    assert ended.is_set()
    assert [(record.levelname, record.message) for record in caplog.records] == [("ERROR", "Looking at it failed")]
    assert caplog.records[0].exc_info is not None


def test_a_thread_that_was_never_started_can_be_stopped() -> None:
    PeriodicThread("test", lambda: None, "Looking at it", interval_s=60.0).stop()
