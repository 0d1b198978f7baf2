"""The HTTP server of a worker: ``/metrics``, and whether it lives and is ready, ``/livez`` and ``/readyz``."""

import errno
import logging
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

from state.errors import SettingsError

logger = logging.getLogger(__name__)

Check = Callable[[], str | None]
"""Returns what is missing, or None."""


class Health:
    """The checks of a worker, by name. A worker lives while it answers, and is ready while no check fails."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}

    def add(self, name: str, check: Check) -> None:
        """Add a check; it is called in threads of the HTTP server."""
        self._checks[name] = check

    def missing(self) -> dict[str, str]:
        """What is missing, by check; a check that fails is missing too."""
        found: dict[str, str] = {}
        for name, check in list(self._checks.items()):
            try:
                problem = check()
            except Exception as error:  # an answer all the same
                problem = str(error) or type(error).__name__
            if problem is not None:
                found[name] = problem
        return found


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Server6(_Server):
    address_family = socket.AF_INET6


class _SilentHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


def serve_health(host: str, port: int, registry: CollectorRegistry, health: Health) -> Callable[[], None]:
    """Serve metrics and health, on a free port if another worker has the given one; returns the shutdown.

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
        logger.warning("Port %d is taken; metrics are on %d", port, server.server_port)

    def end() -> None:
        server.shutdown()
        server.server_close()

    return end


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
        missing: dict[str, str] = {}
        if path == "/readyz":
            missing = health.missing()
        elif path != "/livez":
            start_response("404 Not Found", [("Content-Type", "text/plain; charset=utf-8")])
            return [b"/metrics, /livez or /readyz\n"]
        lines = [f"{name}: {problem}" for name, problem in missing.items()] or ["ok"]
        start_response(
            "503 Service Unavailable" if missing else "200 OK", [("Content-Type", "text/plain; charset=utf-8")]
        )
        return ["\n".join([*lines, ""]).encode()]

    return answer
