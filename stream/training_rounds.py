"""Rounds of training: when the next one begins, whether the loop is alive, how the last round ended."""

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime

from stream.cli.errors import describe_error
from stream.monitoring import TrainingMetrics

logger = logging.getLogger(__name__)

FIRST_DELAY_S = 60.0
"""Seconds between the start of a round that failed and the next one; doubles with every failure in a row."""
LOOK_INTERVAL_S = 15.0
"""Seconds between two checks of the number of events, after a failure."""
MAX_ARRIVAL_S = 600.0
"""A round that is due waits at most so long until events have stopped arriving: half a replay is no data set."""
MAX_SILENCE_S = 7_200.0
"""A round that reports no progress for so long hangs."""
MAX_DELAY_S = 120.0
"""How late the loop may be after a wait, a check of the topic included."""


def delay_after_failure(failures: int, interval_s: float) -> float:
    """Seconds from the start of a failed round to the next: a minute, then twice as long, up to the interval."""
    return min(interval_s, FIRST_DELAY_S * 2.0 ** min(failures - 1, 32))


def is_due(waited_s: float, delay_s: float, *, at_failure: int, before: int, now: int) -> bool:
    """Whether the next round begins.

    Args:
        waited_s: Seconds since the start of the failed round.
        delay_s: ``delay_after_failure``.
        at_failure: Events in the topic when the failed round began.
        before: Events at the previous check.
        now: Events at this check.

    Returns:
        Where no events are arriving: after the delay, or before it where their number has doubled, as by a replay.
        Where they are: some time after the delay.
    """
    if now != before:
        return waited_s >= delay_s + MAX_ARRIVAL_S
    return waited_s >= delay_s or now >= max(1, 2 * at_failure)


class TrainingRounds:
    """Runs rounds of training, one after the other.

    Args:
        run_round: Runs one round; returns whether its model was promoted. Raises where there is no model.
        count_events: The number of events in the topic, 0 where there is none, or it cannot be read.
        interval_s: Seconds from the start of a round to that of the next.
        metrics: Where rounds are counted.
    """

    def __init__(
        self,
        run_round: Callable[[], bool],
        count_events: Callable[[], int],
        interval_s: float,
        metrics: TrainingMetrics,
    ) -> None:
        self._run_round = run_round
        self._count_events = count_events
        self._interval_s = interval_s
        self._metrics = metrics
        self._failures = 0
        self._expected_by = time.monotonic() + MAX_SILENCE_S
        self._problem: str | None = "no round has ended yet"

    def run_next(self) -> None:
        """Run a round, then wait until the next is due.

        In the first hours of a shop there is no topic yet, or too little in it: after a failure the next round comes
        soon, and sooner where events arrive.
        """
        began = time.monotonic()
        self.progressed()
        events = self._count_events()
        try:
            promoted = self._run_round()
        except Exception as error:
            self._failures += 1
            delay = delay_after_failure(self._failures, self._interval_s)
            sentence = describe_error(error)[1]
            debug = logger.isEnabledFor(logging.DEBUG)
            logger.error("This round failed, the next begins in %.0f s: %s", delay, sentence, exc_info=debug)
            self._problem = f"the round that ended at {_now()} failed: {sentence}"
            self._metrics.round("failed", time.monotonic() - began)
            self._wait_after_failure(began, delay, events)
            return
        self._failures = 0
        self._problem = None
        self._metrics.round("promoted" if promoted else "not_promoted", time.monotonic() - began)
        self._sleep(began + self._interval_s - time.monotonic())

    def progressed(self) -> None:
        """Record that the round makes progress; called at least whenever one of its stages begins."""
        self._expected_by = time.monotonic() + MAX_SILENCE_S

    def hangs(self) -> str | None:
        """Why the loop is not alive, or None; may be called from any thread."""
        late = time.monotonic() - self._expected_by
        return f"there is no progress, and a wait should have ended {late:.0f} s ago" if late > 0 else None

    def last_failure(self) -> str | None:
        """Why the last round gave no model, or None; may be called from any thread."""
        return self._problem

    def _wait_after_failure(self, began: float, delay_s: float, at_failure: int) -> None:
        before = at_failure
        while True:
            remaining = began + delay_s - time.monotonic()
            self._sleep(min(LOOK_INTERVAL_S, remaining) if remaining > 0 else LOOK_INTERVAL_S)
            now = self._count_events()
            if is_due(time.monotonic() - began, delay_s, at_failure=at_failure, before=before, now=now):
                return
            before = now

    def _sleep(self, seconds: float) -> None:
        self._expected_by = time.monotonic() + max(0.0, seconds) + MAX_DELAY_S
        time.sleep(max(0.0, seconds))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
