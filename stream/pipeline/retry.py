"""Retries with exponential backoff and jitter, for as long as a service is unavailable or until the worker stops."""

import logging
import threading
import time
from collections.abc import Callable
from random import Random
from typing import TypeVar

import tenacity

from stream.errors import Stopped
from stream.pipeline.outages import Outages

logger = logging.getLogger(__name__)

T = TypeVar("T")

INITIAL_BACKOFF_S = 0.05
TIMED = ("Redis", "Kafka")
"""Services whose slow calls are logged; those of others wait for them."""
SLOW_S = 1.0
"""A call that succeeds after more than this time is logged."""
MAX_BACKOFF_S = 2.0
"""Short enough to go on within seconds of a failover."""


class RetryPolicy:
    """Calls operations again while they raise the given errors.

    Args:
        stop: Ends every wait at once.
        rng: Source of the jitter, which keeps many workers from retrying at the same time.
        outages: Where a service that is waited for is reported.
    """

    def __init__(self, stop: threading.Event, rng: Random, outages: Outages | None = None) -> None:
        self._stop = stop
        self._rng = rng
        self._outages = outages or Outages()

    def backoff(self, attempt: int) -> float:
        """Seconds to wait after failure number ``attempt`` (from 1): doubles up to the maximum, minus up to a half."""
        longest = min(MAX_BACKOFF_S, INITIAL_BACKOFF_S * 2.0 ** min(attempt - 1, 32))
        return longest * self._rng.uniform(0.5, 1.0)

    def call(self, service: str, operation: Callable[[], T], *errors: type[Exception]) -> T:
        """The result of the operation, once it succeeds. ``service`` is its name in ``Outages``.

        Raises:
            Stopped: The worker is stopping and the operation has not succeeded.
        """
        began = time.monotonic()
        try:  # tenacity takes some 50 µs a call, and nearly every call succeeds at once
            result = operation()
        except errors as error:
            return self._call_again(service, operation, errors, error)
        self._log_slow(service, began)
        return result

    def _call_again(
        self, service: str, operation: Callable[[], T], errors: tuple[type[Exception], ...], first: Exception
    ) -> T:
        """Goes on after a first call that failed."""
        waiter = object()
        began = 0.0
        failed: list[Exception] = [first]

        def timed() -> T:
            nonlocal began
            if failed:
                raise failed.pop()
            began = time.monotonic()
            return operation()

        def on_failure(state: tenacity.RetryCallState) -> None:
            error = state.outcome.exception() if state.outcome else None
            self._outages.waits(service, waiter, error)

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(errors),
            wait=lambda state: self.backoff(state.attempt_number),
            sleep=self._sleep,
            before_sleep=on_failure,
        )
        try:
            result = retrying(timed)
        except Stopped:
            self._outages.gives_up(service, waiter)
            raise
        except Exception:  # another answer than those that are waited out
            self._outages.answers(service, waiter)
            raise
        self._log_slow(service, began)
        self._outages.answers(service, waiter)
        return result

    def _log_slow(self, service: str, began: float) -> None:
        took = time.monotonic() - began
        if took > SLOW_S and service in TIMED and not self._outages.is_open(service):
            logger.warning("A call of %s took %.1f s", service, took)

    def _sleep(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise Stopped("The worker stops while a service is unavailable")
