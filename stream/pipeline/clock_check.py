"""Compares the clock of a worker with its witnesses: the clock of Redis, and the timestamps of the newest records."""

import time
from collections import deque
from collections.abc import Callable, Sequence

from state.domain.clock import differing_clocks, records_ahead
from stream.errors import ClockDiffers

CHECK_INTERVAL_S = 1.0
"""Seconds for which an answer of the server's clock is used again, unless the clock of this machine jumped since."""
RECORDS = 100


class ClockCheck:
    """Raises while the clocks differ; used by one thread, except ``problem``.

    Args:
        clock: Seconds since 1970, of this machine.
        server: Returns the clock of the store's server, None where it has none.
        max_difference_s: How far clocks may differ; 0: nothing is compared.
        report: Called with the name of a witness and how many seconds it is ahead of this machine's clock.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        server: Callable[[], float | None],
        max_difference_s: float,
        report: Callable[[str, float], None] = lambda witness, seconds: None,
    ) -> None:
        self._clock = clock
        self._server = server
        self._limit_s = max_difference_s
        self._report = report
        self._timestamps: deque[float] = deque(maxlen=RECORDS)
        self._asked_at = float("-inf")
        self._offset = 0.0
        self._server_agrees = False
        self._problems: dict[str, str | None] = {}

    def problem(self) -> str | None:
        """What the last call found; may be called from any thread."""
        return next(filter(None, list(self._problems.values())), None)

    def add_timestamps(self, timestamps: Sequence[float | None]) -> None:
        """Take the timestamps of the records of a batch as witnesses; call it once a batch."""
        self._timestamps.extend(one for one in timestamps[-RECORDS:] if one is not None and one > 0)

    def require_server(self) -> None:
        """Compare with the clock of the server.

        Raises:
            ClockDiffers: The two differ.
        """
        if not self._limit_s:
            return
        now, monotonic = self._clock(), time.monotonic()
        jumped = abs(now - monotonic - self._offset) > CHECK_INTERVAL_S
        if not self._problems.get("server") and not jumped and monotonic - self._asked_at < CHECK_INTERVAL_S:
            return
        server = self._server()
        now = self._clock()
        if server is not None:
            self._report("Redis", server - now)
        self._server_agrees = server is not None
        self._fail("server", differing_clocks(now, server, self._limit_s))
        self._asked_at, self._offset = monotonic, now - monotonic

    def require_records(self) -> None:
        """Compare with the newest records; call it where an event is dated ahead of the clock.

        Raises:
            ClockDiffers: Most of them are ahead of the clock too.
        """
        now = self._clock()
        if self._timestamps:
            self._report("records", max(self._timestamps) - now)
        self._fail(
            "records",
            records_ahead(
                now, list(self._timestamps), server_agrees=self._server_agrees, max_difference_s=self._limit_s
            ),
        )

    def clear_records(self) -> None:
        """Drop the problem of the records, because no event of the batch is dated ahead of the clock."""
        self._problems["records"] = None

    def _fail(self, witness: str, problem: str | None) -> None:
        self._problems[witness] = problem
        if problem is not None:
            raise ClockDiffers(problem)
