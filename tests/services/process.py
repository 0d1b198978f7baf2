"""A server process on this machine that can be stopped, killed without warning, and brought back on its data."""

import contextlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Self

from tests.services.errors import ServiceError


def free_port() -> int:
    """A TCP port on the loopback interface that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server(ABC):
    """One server with a data folder of its own and fixed loopback ports.

    ``start`` and ``kill`` may alternate any number of times: ports and data stay, as on a machine whose supervisor
    restarts a crashed service. ``stop`` ends it for good and removes a folder that this object made.
    """

    name: str
    start_limit_s = 180.0  # seconds are enough on a machine of its own; other work may keep the cores

    def __init__(self, folder: Path | None = None) -> None:
        """Keep data in ``folder``, or in a temporary folder that ``stop`` removes."""
        self._own_folder = folder is None
        self.folder = folder or Path(tempfile.mkdtemp(prefix=f"nextbasket-{self.name}-"))
        self.folder.mkdir(parents=True, exist_ok=True)
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def _prepare(self) -> None:
        """Do what the first start needs; called before every start."""

    @abstractmethod
    def _command(self) -> list[str]:
        """The server's command line."""

    @abstractmethod
    def _answers(self) -> bool:
        """Whether the server serves requests now; waits a second at most."""

    @property
    def log(self) -> Path:
        """The file with everything the server printed."""
        return self.folder / "server.log"

    @property
    def pid(self) -> int:
        """The server's process id."""
        if self._process is None:
            raise ServiceError(f"{self.name} is not running; call start() first")
        return self._process.pid

    def start(self) -> None:
        """Start the server and wait until it serves requests.

        Raises:
            ServiceError: it ended at once, or does not answer within ``start_limit_s``; the message has its log's end.
        """
        if self._process is not None:
            raise ServiceError(f"{self.name} is running already")
        self._prepare()
        command = self._command()
        if shutil.which("setpriv"):  # a test run that is itself killed leaves no server behind
            command = ["setpriv", "--pdeathsig", "KILL", "--", *command]
        with self.log.open("ab") as log:
            # A session of its own: Ctrl-C ends the tests, and the tests then end the server.
            self._process = subprocess.Popen(
                command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + self.start_limit_s
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                end = "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])
                self._remove_own_folder()
                raise ServiceError(
                    f"{self.name} did not come up within {self.start_limit_s:.0f} s; its log ends:\n{end}"
                )
            time.sleep(0.05)

    def kill(self) -> None:
        """End the server as a crash would (SIGKILL): nothing is flushed, clients are not notified."""
        self._end(signal.SIGKILL, 10.0)

    def restart(self) -> None:
        """Crash the server and bring it back on the same ports and data."""
        self.kill()
        self.start()

    def stop(self) -> None:
        """Shut the server down in order and remove its temporary folder; does nothing when it is down already."""
        self._end(signal.SIGTERM, 15.0)
        self._remove_own_folder()

    def _remove_own_folder(self) -> None:
        if self._own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _end(self, sign: signal.Signals, limit_s: float) -> None:
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(sign)
        try:
            self._process.wait(limit_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def run_until_interrupted(server: Server, message: str) -> None:
    """Start a server by hand, say where it listens, and stop it on Ctrl-C or SIGTERM."""
    ended = False

    def end(*_: object) -> None:
        nonlocal ended
        ended = True

    signal.signal(signal.SIGINT, end)
    signal.signal(signal.SIGTERM, end)
    server.start()
    print(message, flush=True)
    try:
        while not ended:
            time.sleep(0.2)
    finally:
        server.stop()
