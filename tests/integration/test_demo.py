"""``nextbasket demo`` in a terminal of 80 columns and 24 lines: what Ctrl-C leaves, and what ``--keep`` leaves up."""

import fcntl
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from stream.cli.exit_codes import ExitCode
from tests.integration.workers import clean_environment
from training.data.simulator import simulate

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
DEMO = [sys.executable, "-m", "stream", "demo"]
COLUMNS, LINES = 80, 24
LIMIT_S = 240.0
SHOW_CURSOR, HIDE_CURSOR = "\x1b[?25h", "\x1b[?25l"
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "shop.parquet"
    simulate(customers=60, items=60, days=240, seed=5).to_parquet(path)
    return path


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder for temporary files; its path is short, because a socket is in it."""
    path = Path(tempfile.mkdtemp(prefix="nb-", dir="/tmp"))
    yield path
    shutil.rmtree(path)


class Terminal:
    """A command in a pseudo-terminal, and what it has printed."""

    def __init__(self, command: list[str], folder: Path) -> None:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        environment = clean_environment(
            {"TERM": "xterm-256color", "TMPDIR": str(folder), "PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8"}
        )
        for name in ("COLUMNS", "LINES", "MAKEFLAGS", "MAKELEVEL"):
            environment.pop(name, None)
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        )
        os.close(theirs)
        self._printed = bytearray()
        self._reader = threading.Thread(target=self._read, args=(ours,))
        self._reader.start()

    def _read(self, terminal: int) -> None:
        with os.fdopen(terminal, "rb", buffering=0) as file:
            try:
                while data := file.read(65_536):
                    self._printed += data
            except OSError:  # nobody has the other end any more
                pass

    @property
    def raw(self) -> str:
        return self._printed.decode(errors="replace")

    @property
    def lines(self) -> list[str]:
        """The printed lines without control sequences; a line that was overwritten is a line too."""
        return [line.rstrip() for line in re.split(r"[\r\n]+", _CONTROL.sub("", self.raw))]

    def wait_for(self, text: str) -> None:
        end = time.monotonic() + LIMIT_S
        while text not in self.raw:
            assert self.process.poll() is None, self.raw
            assert time.monotonic() < end, self.raw
            time.sleep(0.02)

    def interrupt(self) -> None:
        """Ctrl-C: SIGINT for every process of the terminal."""
        os.killpg(self.process.pid, signal.SIGINT)

    def wait(self) -> int:
        """Wait for the end; returns the exit code as a shell has it."""
        try:
            code = self.process.wait(LIMIT_S)
        finally:
            if self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        self._reader.join()
        return 128 - code if code < 0 else code


def processes_of(folder: Path) -> list[str]:
    """The processes that have ``folder`` in their environment: the demo and all that it started."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"TMPDIR={folder}\0".encode() in (process / "environ").read_bytes() + b"\0":
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:  # it ended meanwhile, or is another user's
            pass
    return found


def assert_nothing_is_left(terminal: Terminal, folder: Path) -> None:
    assert processes_of(folder) == []
    assert list(folder.glob("nextbasket-*")) == []
    assert terminal.raw.rfind(SHOW_CURSOR) >= terminal.raw.rfind(HIDE_CURSOR)
    assert "Traceback" not in terminal.raw
    assert max(map(len, terminal.lines)) <= COLUMNS


@pytest.mark.parametrize(
    ("shown", "doing"),
    [
        ("Lines:", "(reading the data|starting Kafka and Redis)"),
        ("training ", "training"),
        ("The worker gets", "(starting the worker|waiting for recommendations)"),
    ],
)
def test_ctrl_c_before_the_replay_ends_everything_with_a_summary(
    shown: str, doing: str, table: Path, folder: Path
) -> None:
    terminal = Terminal([*DEMO, "--data", str(table)], folder)
    terminal.wait_for(shown)
    assert len(processes_of(folder)) >= 1
    terminal.interrupt()
    assert terminal.wait() == ExitCode.INTERRUPTED
    last = [line for line in terminal.lines if line][-1]
    assert re.fullmatch(f"Interrupted after [0-9]+ s, {doing}: no invoice was replayed.", last)
    assert_nothing_is_left(terminal, folder)


def test_ctrl_c_under_make_leaves_the_summary_as_the_last_lines(table: Path, folder: Path) -> None:
    make = ["make", "--old-file=install", "demo", f"BIN={BIN}", f"ARGS=--data {table} --rate 1"]
    terminal = Terminal(make, folder)
    terminal.wait_for("Ctrl-C ends it cleanly")
    terminal.wait_for("event to recommendation")
    terminal.interrupt()
    assert terminal.wait() == ExitCode.INTERRUPTED
    end = "\n".join(terminal.lines[-24:])
    assert re.search(r"Interrupted: [0-9]+ of 20 invoices replayed · .* invoices/s(.|\n)*event to recommendation", end)
    assert "***" not in terminal.raw
    assert "make" not in end
    assert_nothing_is_left(terminal, folder)


def test_an_error_of_the_demo_is_an_error_of_make(folder: Path) -> None:
    make = ["make", "--old-file=install", "demo", f"BIN={BIN}", "ARGS=--data /nowhere.csv"]
    terminal = Terminal(make, folder)
    assert terminal.wait() == 2
    assert f"Error {int(ExitCode.DATA)}" in terminal.raw


def test_the_commands_that_keep_prints_work_until_ctrl_c(table: Path, folder: Path) -> None:
    terminal = Terminal([*DEMO, "--data", str(table), "--keep"], folder)
    try:
        terminal.wait_for("Ctrl-C here ends them")
        commands = [line.strip() for line in terminal.lines if line.startswith(("  . ", "  nextbasket "))]
        load_settings, show, replay, read = commands
        customer = show.split()[-1]
        before = _shell(load_settings, read)
        assert f"Customer {customer}: " in _shell(load_settings, show)
        sent = _shell(load_settings, replay)
        assert "Sent 1 event to" in sent
        assert "\n- " not in sent, "the table needs no assumption"
        end = time.monotonic() + 60
        while (after := _shell(load_settings, read)) == before:
            assert time.monotonic() < end, "the worker made no recommendation of the invoice that was sent"
        assert f'"customer_id":"{customer}"' in after
        assert '"invoice_no":"999001"' in after
        assert after.count("\n") == 1
        address = re.search(r"curl (http://\S+)/v1/customers/", terminal.raw)
        assert address is not None
        answer = httpx.get(f"{address[1]}/v1/customers/{customer}/recommendations", timeout=30)
        assert (answer.status_code, answer.json()["fallback"]) == (200, None)
    finally:
        terminal.interrupt()
    assert terminal.wait() == ExitCode.INTERRUPTED
    assert any(line.startswith("Done: 20 of 20 invoices replayed") for line in terminal.lines[-6:])
    assert_nothing_is_left(terminal, folder)


def _shell(*commands: str) -> str:
    """What the last of these commands prints, in a shell that knows nothing of this test's environment."""
    done = subprocess.run(
        ["sh", "-ec", "\n".join(commands)],
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"} | {"PYTHONPATH": str(ROOT)},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, f"{commands[-1]}: {done.stderr}"
    return done.stdout
