"""How a worker ends where what it is built on does not. Each case is a process: it is ended for good."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import asyncio, threading
from types import SimpleNamespace
from stream import worker

worker.LAST_BATCH_S, worker.LEAVE_S, worker.CLOSE_S = 0.1, 0.1, 0.3
forever = threading.Event()


class App:
    conf = SimpleNamespace(id="group")
    fetch_buffer = SimpleNamespace(close=lambda: None)
    buffered_consumer = SimpleNamespace(check=lambda: None, lag=dict)
    crashed = {crashed}
    crash_reason = None

    def __init__(self):
        self.at_rest = asyncio.Event()
        self.at_rest.set()

    async def start(self):
        await asyncio.Event().wait()

    async def stop(self):
        {stop}


stop = threading.Event()
if not App.crashed:
    stop.set()  # SIGTERM came before there was an application
raise SystemExit(worker.finish(asyncio.run(worker.serve(App, stop, SimpleNamespace()))))
"""


def ends_with(stop: str, *, crashed: bool = False) -> tuple[int, str]:
    """The exit code of a worker whose application stops like this, and what it logged."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(stop=stop, crashed=crashed)],
        cwd=Path(__file__).parents[3],
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
def test_it_ends_whatever_hangs(stop: str, warned: bool) -> None:
    code, log = ends_with(stop)
    assert code == 0
    assert ("Something does not end" in log) is warned


def test_one_that_broke_says_so_even_if_it_hangs() -> None:
    code, log = ends_with("forever.wait()", crashed=True)
    assert code == 5
    assert "The consumer broke" in log
