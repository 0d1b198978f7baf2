"""The HTTP server of a worker or trainer: ``/metrics``, and whether it lives and is ready: ``/livez``, ``/readyz``."""

import errno
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from socketserver import ThreadingMixIn
from typing import Any, NamedTuple
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

from state.errors import SettingsError

Check = Callable[[], str | None]
"""Returns what is missing, or None."""


class Health:
    """The checks of a process, by name: it lives while no check of its life fails, and is ready while none at all does.

    Checks are called in threads of the HTTP server.
    """

    def __init__(self) -> None:
        self._alive: dict[str, Check] = {}
        self._ready: dict[str, Check] = {}

    def add(self, name: str, check: Check) -> None:
        """Add a check of readiness; one of the same name is replaced."""
        self._ready[name] = check

    def add_liveness(self, name: str, check: Check) -> None:
        """Add a check of life, which is one of readiness too."""
        self._alive[name] = check

    def dead(self) -> dict[str, str]:
        """What shows that the process has to be restarted, by check."""
        return _failing(self._alive)

    def missing(self) -> dict[str, str]:
        """What is missing until the process is ready, by check."""
        return _failing(self._alive | self._ready)


def _failing(checks: Mapping[str, Check]) -> dict[str, str]:
    """What each check finds missing; a check that raises is missing too."""
    found: dict[str, str] = {}
    for name, check in list(checks.items()):
        try:
            problem = check()
        except Exception as error:  # a check that fails must not end the request
            problem = str(error) or type(error).__name__
        if problem is not None:
            found[name] = problem
    return found


class Heartbeat:
    """Whether a loop runs: it beats at least once in ``max_age_s``, after its first beat."""

    def __init__(self, max_age_s: float) -> None:
        self._max_age_s = max_age_s
        self._last: float | None = None

    def beat(self) -> None:
        """Record that the loop runs."""
        self._last = time.monotonic()

    def problem(self) -> str | None:
        """For how long there was no beat, where that is too long."""
        age = 0.0 if self._last is None else time.monotonic() - self._last
        return f"no sign of life for {age:.0f} s" if age > self._max_age_s else None


class HealthServer(NamedTuple):
    """A server that runs: the port it listens on, and the function that ends it."""

    port: int
    close: Callable[[], None]

    def describe(self, wanted: int) -> str:
        """The port in words."""
        return f"{self.port}" if self.port == wanted else f"{self.port} ({wanted} is taken)"


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Server6(_Server):
    address_family = socket.AF_INET6


class _SilentHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


def serve_health(host: str, port: int, registry: CollectorRegistry, health: Health) -> HealthServer:
    """Serve metrics and health, on a free port if another process has the given one.

    Raises:
        SettingsError: The address cannot be used.
    """
    application = health_application(registry, health)
    try:
        server = _start(host, port, application)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise SettingsError(f"NEXTBASKET_METRICS_HOST or _PORT cannot be used: {error}.") from error
        server = _start(host, 0, application)

    def close() -> None:
        server.shutdown()
        server.server_close()

    return HealthServer(server.server_port, close)


def _start(host: str, port: int, application: Any) -> WSGIServer:
    server = make_server(host, port, application, _Server6 if ":" in host else _Server, _SilentHandler)
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server


def health_application(registry: CollectorRegistry, health: Health) -> Callable[..., Iterable[bytes]]:
    """The WSGI application: 200 or 503 for a check, 404 for any other path."""
    metrics = make_wsgi_app(registry)

    def answer(environ: Mapping[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path == "/metrics":
            answer_of_metrics: Iterable[bytes] = metrics(environ, start_response)
            return answer_of_metrics
        if path == "/readyz":
            missing = health.missing()
        elif path == "/livez":
            missing = health.dead()
        else:
            start_response("404 Not Found", [("Content-Type", "text/plain; charset=utf-8")])
            return [b"/metrics, /livez or /readyz\n"]
        lines = [f"{name}: {problem}" for name, problem in missing.items()] or ["ok"]
        start_response(
            "503 Service Unavailable" if missing else "200 OK", [("Content-Type", "text/plain; charset=utf-8")]
        )
        return ["\n".join([*lines, ""]).encode()]

    return answer
