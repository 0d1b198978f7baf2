"""Whether a service is available to a worker, checked repeatedly: an idle worker would not notice an outage."""

import time
from collections.abc import Callable

from stream.periodic import PeriodicThread
from stream.pipeline.outages import Outages

Check = Callable[[], str | None]
"""Returns what is wrong, or None."""

CHECK_INTERVAL_S = 1.0

GRACE_S = 2.0
"""A problem that is over within this time is none: looking up the coordinator of a group is usual work."""


class ServiceWatch:
    """Reports an outage of a service while a check finds a problem, in a separate thread.

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
        self._grace_s = grace_s
        self._problem: str | None = None
        self._since: float | None = None
        self._thread = PeriodicThread(
            f"{service.lower()}-watch",
            self._watch,
            f"Checking whether {service} is available",
            interval_s=interval_s,
            at_end=lambda: outages.gives_up(service, self),
        )

    def problem(self) -> str | None:
        """What the last check found; may be called from any thread."""
        return self._problem

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; a check in progress has one second to finish."""
        self._thread.stop()

    def _watch(self) -> None:
        began = time.monotonic()
        self._problem = next(filter(None, (check() for check in self._checks)), None)
        if self._problem is None:
            self._since = None
            self._outages.answers(self._service, self)
            return
        since = self._since = began if self._since is None else self._since
        if time.monotonic() - since >= self._grace_s:
            reason = self._reason()
            problem = f"{self._problem}: {reason}" if reason else self._problem
            self._outages.waits(self._service, self, problem, since=since)
