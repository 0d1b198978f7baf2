"""The shutdown of a worker whose libraries hang. Each case is a process, because the worker exits it."""

import subprocess
import sys
from pathlib import Path

import pytest

from stream.cli.exit_codes import ExitCode

PROGRAM = """
import asyncio, threading
from types import SimpleNamespace
from stream import worker_process

worker_process.LAST_BATCH_TIMEOUT_S = worker_process.LEAVE_GROUP_TIMEOUT_S = 0.1
worker_process.CLOSE_TIMEOUT_S = 0.3
forever = threading.Event()


class App:
    conf = SimpleNamespace(id="group")
    fetch_buffer = SimpleNamespace(close=lambda: None)
    buffered_consumer = SimpleNamespace(check=lambda: None, lag=dict)
    crashed = {crashed}
    crash_reason = None

    def __init__(self):
        self.idle = asyncio.Event()
        self.idle.set()

    async def start(self):
        await asyncio.Event().wait()

    async def stop(self):
        {stop}


stop = threading.Event()
if not App.crashed:
    stop.set()  # SIGTERM came before there was an application
code = asyncio.run(worker_process.run_app(App, stop, SimpleNamespace()))
raise SystemExit(worker_process.exit_if_threads_hang(code))
"""


def run_worker(stop: str, *, crashed: bool = False) -> tuple[int, str]:
    """The exit code and the log of a worker whose application runs ``stop`` when it is stopped."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(stop=stop, crashed=crashed)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("stop", "warned"),
    [
        ("pass", False),
        ("threading.Thread(target=forever.wait).start()", False),
        ("forever.wait()", True),
    ],
    ids=["nothing hangs", "a thread stays behind", "the event loop is blocked"],
)
def test_a_worker_exits_whatever_hangs(stop: str, warned: bool) -> None:
    code, log = run_worker(stop)
    assert code == ExitCode.OK
    assert ("The shutdown takes longer" in log) is warned


def test_a_failed_worker_logs_the_failure_even_if_it_hangs() -> None:
    code, log = run_worker("forever.wait()", crashed=True)
    assert code == ExitCode.UNREACHABLE
    assert "The consumer failed" in log


def test_an_unexpected_error_exits_at_once_with_its_code() -> None:
    program = """
import threading
from stream.worker_process import exit_process
threading.Thread(target=threading.Event().wait).start()
exit_process(RuntimeError("a bug"))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parents[2], timeout=60, check=False)
    assert done.returncode == ExitCode.INTERNAL
