"""The demo's settings, and the processes of its worker and its API."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from state.settings import PREFIX, Settings, load_settings
from stream.cli.exit_codes import ExitCode, Failure
from stream.demo.interruption import postponed_signals
from stream.kafka.config import EMBEDDED_API_VERSION

WorkerProcess = subprocess.Popen[bytes]

_API_PORT = 8080
_STOP_TIMEOUT_S = 20.0


def demo_settings(folder: Path, brokers: str, redis_url: str, dialect: str) -> Settings:
    """The user's settings, with the embedded servers and the demo's folder in place of the user's."""
    replaced = {
        "kafka_brokers": brokers,
        "kafka_api_version": EMBEDDED_API_VERSION,
        "kafka_security_protocol": "",
        "kafka_sasl_mechanism": "",
        "redis_url": redis_url,
        "redis_password": "",
        "registry": str(folder / "registry"),
        "namespace": "",
        "date_format": "",  # of the user's table, not of the demo's files
        "dialect": dialect,
        "metrics_port": "0",
        "api_keys": "",  # it serves this machine only
        "api_keys_file": "",
        "fetch_wait_ms": "10",  # the embedded broker delays every fetch that finds nothing by all of this
        "log_format": "console",
    }
    return load_settings({**os.environ, **{PREFIX + name.upper(): value for name, value in replaced.items()}})


@contextmanager
def run_worker_process(settings: Settings, folder: Path) -> Iterator[WorkerProcess]:
    """Run ``nextbasket worker`` in another process.

    Raises:
        Failure: The worker ended while it ran; the message has the last lines of its log.
    """
    log = folder / "worker.log"
    try:
        with _process(["worker"], settings, log) as process:
            yield process
            require_running(process)
    except Failure as failure:
        last_lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-5:]
        raise Failure(f"{failure} The end of its log: {' / '.join(last_lines)}", failure.code) from None


@contextmanager
def run_api_process(settings: Settings, folder: Path) -> Iterator[str]:
    """Run ``nextbasket api`` in another process; yields its address, where it soon listens."""
    port = _port()
    with _process(["api", "--port", str(port)], settings, folder / "api.log"):
        yield f"http://127.0.0.1:{port}"


def _port() -> int:
    """The port of the API, or a free one where it is taken."""
    for port in (_API_PORT, 0):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)) as free:
            return int(free.getsockname()[1])
    raise Failure("No port of this machine is free for the API.", ExitCode.INTERNAL)


@contextmanager
def _process(arguments: list[str], settings: Settings, log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a command of nextbasket in another process, and end it in order."""
    process: subprocess.Popen[bytes] | None = None
    try:
        with postponed_signals(), log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "stream", *arguments],
                env={**os.environ, **settings_variables(settings)},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the demo, which ends the process in order
            )
        yield process
    finally:
        if process is not None:
            process.terminate()
            try:
                process.wait(_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def require_running(worker: WorkerProcess) -> None:
    """Check that the worker runs.

    Raises:
        Failure: It ended.
    """
    if (code := worker.poll()) is not None:
        raise Failure(f"The worker ended with exit code {code}.", ExitCode.INTERNAL)


def settings_variables(settings: Settings) -> dict[str, str]:
    """The settings that are not defaults, as environment variables."""
    values = settings.model_dump()
    return {
        PREFIX + name.upper(): str(getattr(values[name], "get_secret_value", lambda name=name: values[name])())
        for name in settings.model_fields_set
    }
