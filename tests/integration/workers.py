"""Processes of the command line, as an operator runs them."""

import os
import signal
import subprocess
import sys
from pathlib import Path

NEXTBASKET = str(Path(sys.executable).with_name("nextbasket"))
LIMIT_S = 120


def clean_environment(variables: dict[str, str]) -> dict[str, str]:
    """This process's environment with these ``NEXTBASKET_*`` variables and no others."""
    return {name: value for name, value in os.environ.items() if not name.startswith("NEXTBASKET_")} | variables


def nextbasket(variables: dict[str, str], *arguments: str) -> str:
    """Run a command to its end; returns what it printed. It must succeed."""
    done = subprocess.run(
        [NEXTBASKET, *arguments],
        env=clean_environment(variables),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, f"nextbasket {' '.join(arguments)} ended with {done.returncode}: {done.stderr}"
    return done.stdout


class Worker:
    """A ``nextbasket worker`` that can be started again; all its processes write to one log."""

    def __init__(self, variables: dict[str, str], log: Path) -> None:
        self._environment = clean_environment(variables)
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [NEXTBASKET, "worker"], env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def ended(self) -> int | None:
        """The exit code if the process ended by itself."""
        return self._process.poll() if self._process else None

    def kill(self) -> None:
        """SIGKILL, at once."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._process = None

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(LIMIT_S)
        finally:
            if self._process.poll() is None:
                self.kill()
            self._process = None

    def end(self) -> None:
        """End the process, whatever its state."""
        if self._process is not None:
            self.kill()

    def log_tail(self, lines: int = 30) -> str:
        """The last lines of the log."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])
