"""A ``nextbasket api`` in a process of its own."""

import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.integration.workers import NEXTBASKET, clean_environment

_ADDRESS = re.compile(r"serves (http://\S+)")
_START_S = 60.0
_STOP_S = 20.0


@contextmanager
def api_server(variables: dict[str, str], log: Path, *arguments: str) -> Iterator[httpx.Client]:
    """A client of a server on a free port; SIGTERM must end it with exit code 0."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            [NEXTBASKET, "api", "--port", "0", *arguments],
            env=clean_environment(variables),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
    try:
        with httpx.Client(base_url=_address(process, log), timeout=30) as client:
            yield client
        process.send_signal(signal.SIGTERM)
        code = process.wait(_STOP_S)
        assert code == 0, f"the API ended with {code}: {log.read_text()[-2000:]}"
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _address(process: "subprocess.Popen[bytes]", log: Path) -> str:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        if found := _ADDRESS.search(log.read_text(errors="replace")):
            return found[1]
        assert process.poll() is None, f"the API ended: {log.read_text()[-2000:]}"
        time.sleep(0.05)
    raise AssertionError(f"the API does not listen: {log.read_text()[-2000:]}")
