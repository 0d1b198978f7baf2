"""Whether a service is available to a worker, looked at all the time: an idle worker would not notice an outage."""

import logging
import threading
import time
from collections.abc import Callable

from stream.pipeline.outages import Outages

logger = logging.getLogger(__name__)

Check = Callable[[], str | None]
"""Returns what is wrong, or None."""

CHECK_INTERVAL_S = 1.0

GRACE_S = 2.0
"""A problem that is over within this time is none: looking up the coordinator of a group is usual work."""


class ServiceWatch:
    """Reports an outage of a service while a check finds a problem, in a thread of its own.

    Args:
        service: Its name in the log and the metric.
        checks: Called one after the other, in the thread only; the first problem counts.
        outages: Where an outage is reported.
        reason: A few words on the cause, asked for when an outage starts; may be empty.
        interval_s: Time between two checks.
        grace_s: How long a problem lasts before it is an outage.
    """

    def __init__(
        self,
        service: str,
        checks: list[Check],
        outages: Outages,
        *,
        reason: Callable[[], str] = lambda: "",
        interval_s: float = CHECK_INTERVAL_S,
        grace_s: float = GRACE_S,
    ) -> None:
        self._service = service
        self._checks = checks
        self._reason = reason
        self._outages = outages
        self._interval_s = interval_s
        self._grace_s = grace_s
        self._problem: str | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name=f"{service.lower()}-watch", daemon=True)

    def problem(self) -> str | None:
        """What the last check found; may be called from any thread."""
        return self._problem

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; a check in progress has one second to finish."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(1.0)

    def _watch(self) -> None:
        since: float | None = None
        while not self._stopping.wait(self._interval_s):
            began = time.monotonic()
            try:
                self._problem = next(filter(None, (check() for check in self._checks)), None)
            except Exception:  # the thread must live as long as the worker
                logger.exception("Looking whether %s is available failed", self._service)
                continue
            if self._problem is None:
                since = None
                self._outages.answers(self._service, self)
                continue
            since = began if since is None else since
            if time.monotonic() - since >= self._grace_s:
                reason = self._reason()
                self._outages.waits(
                    self._service, self, f"{self._problem}: {reason}" if reason else self._problem, since=since
                )
        self._outages.gives_up(self._service, self)
