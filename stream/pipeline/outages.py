"""Outages: which services a worker waits for, as one log line at the start of each, one at its end, and a metric."""

import logging
import threading
import time
from collections.abc import Callable

logger = logging.getLogger(__name__)


class _Outage:
    def __init__(self, since: float) -> None:
        self.since = since
        self.reported = since
        self.reason = ""
        self.waiters: set[object] = set()


class Outages:
    """The outages of all services. An outage of a service is one, however many parts of the worker wait for it.

    Args:
        on_outage: Called with the service and the seconds since its last call, as often as ``waits`` is called and at
            the end, so that a metric rises while an outage lasts.
        quiet: Log at level DEBUG only, for a command that reports the failure itself.
    """

    def __init__(
        self, on_outage: Callable[[str, float], None] = lambda service, seconds: None, *, quiet: bool = False
    ) -> None:
        self._on_outage = on_outage
        self._levels = (logging.DEBUG, logging.DEBUG) if quiet else (logging.WARNING, logging.INFO)
        self._open: dict[str, _Outage] = {}
        self._lock = threading.Lock()

    def waits(self, service: str, waiter: object, reason: object, *, since: float | None = None) -> None:
        """Record that a waiter still waits for the service; may be called from any thread.

        Args:
            service: Its name in the log and the metric.
            waiter: Who waits, until it calls ``answers``.
            reason: Why the service is unavailable; logged if this is the start of the outage.
            since: ``time.monotonic()`` of the start, where that was before this call.
        """
        now = time.monotonic()
        with self._lock:
            outage = self._open.get(service)
            if outage is None:
                outage = self._open[service] = _Outage(now if since is None else since)
                logger.log(self._levels[0], "Waiting for %s: %s", service, reason)
            outage.waiters.add(waiter)
            outage.reason = str(reason)
            self._report(service, outage, now)

    def problem(self, service: str) -> str | None:
        """Why the service is waited for, or None; may be called from any thread."""
        with self._lock:
            outage = self._open.get(service)
            return None if outage is None else outage.reason

    def is_open(self, service: str) -> bool:
        """Whether somebody waits for the service; may be called from any thread."""
        with self._lock:
            return service in self._open

    def answers(self, service: str, waiter: object) -> None:
        """Record that the service answers this waiter; the outage ends with the last waiter."""
        self._leave(service, waiter, "%s answers after %.1f s")

    def gives_up(self, service: str, waiter: object) -> None:
        """Record that the waiter stops waiting, because the worker stops."""
        self._leave(service, waiter, "%s did not answer for %.1f s, and the worker stops")

    def _leave(self, service: str, waiter: object, message: str) -> None:
        now = time.monotonic()
        with self._lock:
            outage = self._open.get(service)
            if outage is None or waiter not in outage.waiters:
                return
            outage.waiters.discard(waiter)
            self._report(service, outage, now)
            if not outage.waiters:
                del self._open[service]
                logger.log(self._levels[1], message, service, now - outage.since)

    def _report(self, service: str, outage: _Outage, now: float) -> None:
        self._on_outage(service, max(0.0, now - outage.reported))
        outage.reported = now
