"""Retries with exponential backoff and jitter, for as long as a service is unavailable or until the worker stops."""

import logging
import threading
import time
from collections.abc import Callable
from random import Random
from typing import TypeVar

import tenacity

from stream.errors import Stopped

logger = logging.getLogger(__name__)

T = TypeVar("T")

INITIAL_BACKOFF_S = 0.05
MAX_BACKOFF_S = 2.0
"""Short enough to go on within seconds of a failover."""
RELOG_INTERVAL_S = 30.0
"""An outage is logged when it starts, when it ends, and once in this interval."""


class RetryPolicy:
    """Calls operations again while they raise the given errors.

    Args:
        stop: Ends every wait at once.
        rng: Source of the jitter, which keeps many workers from retrying at the same time.
        on_outage: Called with the service and the seconds waited since the last call: after every failed attempt of an
            outage and at its end, so that a metric rises while the outage lasts.
    """

    def __init__(
        self,
        stop: threading.Event,
        rng: Random,
        on_outage: Callable[[str, float], None] = lambda service, seconds: None,
    ) -> None:
        self._stop = stop
        self._rng = rng
        self._on_outage = on_outage

    def backoff(self, attempt: int) -> float:
        """Seconds to wait after failure number ``attempt`` (from 1): doubles up to the maximum, minus up to a half."""
        longest = min(MAX_BACKOFF_S, INITIAL_BACKOFF_S * 2.0 ** min(attempt - 1, 32))
        return longest * self._rng.uniform(0.5, 1.0)

    def call(self, service: str, operation: Callable[[], T], *errors: type[Exception]) -> T:
        """The result of the operation, once it succeeds. ``service`` is the name in the log and in ``on_outage``.

        Raises:
            Stopped: The worker is stopping and the operation has not succeeded.
        """
        outage_start: float | None = None
        last_logged = last_reported = 0.0

        def report(now: float) -> None:
            nonlocal last_reported
            self._on_outage(service, now - last_reported)
            last_reported = now

        def on_failure(state: tenacity.RetryCallState) -> None:
            nonlocal outage_start, last_logged, last_reported
            now = time.monotonic()
            error = state.outcome.exception() if state.outcome else None
            if outage_start is None:
                outage_start = last_logged = last_reported = now
                logger.warning("Waiting for %s: %s", service, error)
                return
            report(now)
            if now - last_logged > RELOG_INTERVAL_S:
                last_logged = now
                logger.warning("Waiting for %s for %.0f s now: %s", service, now - outage_start, error)

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(errors),
            wait=lambda state: self.backoff(state.attempt_number),
            sleep=self._sleep,
            before_sleep=on_failure,
        )
        try:
            result = retrying(operation)
        finally:
            if outage_start is not None:
                report(time.monotonic())
        if outage_start is not None:
            logger.info("%s answers after %.1f s", service, time.monotonic() - outage_start)
        return result

    def _sleep(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise Stopped("The worker stops while a service is unavailable")
