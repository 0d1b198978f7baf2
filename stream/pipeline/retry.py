"""Patience: an operation is tried again, with growing pauses, as long as an outage lasts or until we are to stop."""

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

FIRST_PAUSE_S = 0.05
MAX_PAUSE_S = 5.0
RELOG_INTERVAL_S = 30.0
"""While an outage lasts it is logged this often; at its start and its end too."""


class RetryPolicy:
    """Tries operations again while they fail with the given errors.

    ``stop`` ends every wait at once; ``rng`` gives the jitter that keeps many workers from coming back in step.
    """

    def __init__(
        self, stop: threading.Event, rng: Random, waited: Callable[[str, float], None] = lambda what, seconds: None
    ) -> None:
        """``waited`` is told, after an outage or its end by a stop, what was waited for and how many seconds."""
        self.stop = stop
        self._rng = rng
        self._waited = waited

    def pause(self, attempt: int) -> float:
        """Seconds to wait after the ``attempt``-th failure (from 1): doubling, half of it at random."""
        longest = min(MAX_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(attempt - 1, 32))
        return longest * self._rng.uniform(0.5, 1.0)

    def call(self, what: str, operation: Callable[[], T], *errors: type[Exception]) -> T:
        """The operation's result, once it succeeds. ``what`` names what is waited for in the log.

        Raises:
            Stopped: We are to stop, and it has not succeeded.
        """
        try:
            return operation()
        except errors as error:
            logger.warning("Waiting for %s: %s", what, error)
        since = said = time.monotonic()

        def say(state: tenacity.RetryCallState) -> None:
            nonlocal said
            now = time.monotonic()
            if now - said > RELOG_INTERVAL_S:
                said = now
                failure = state.outcome.exception() if state.outcome else None
                logger.warning("Waiting for %s for %.0f s now: %s", what, now - since, failure)

        self._rest(self.pause(1))
        try:
            result = tenacity.Retrying(
                retry=tenacity.retry_if_exception_type(errors),
                wait=lambda state: self.pause(state.attempt_number + 1),
                sleep=self._rest,
                before_sleep=say,
            )(operation)
        finally:
            self._waited(what, time.monotonic() - since)
        logger.info("%s answers after %.1f s", what, time.monotonic() - since)
        return result

    def _rest(self, seconds: float) -> None:
        if self.stop.wait(seconds):
            raise Stopped("Stopped in the middle of an outage")
