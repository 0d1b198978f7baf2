"""The revisions that this worker wrote in the last seconds: a store that went back has lower ones."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable

SECONDS = 30
PER_SECOND = 50
"""Customers of each second, the newest: what a failover loses are the last writes before it."""


class RecentWrites:
    """Bounded in number; may be used by any thread.

    Args:
        clock: Seconds that only rise.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seconds: deque[tuple[int, dict[str, int]]] = deque()
        self._lock = threading.Lock()

    def add(self, written: Iterable[tuple[str, int]]) -> None:
        """Add customers with the revisions of their histories."""
        with self._lock:
            second = int(self._clock())
            if not self._seconds or self._seconds[-1][0] != second:
                self._seconds.append((second, {}))
            revisions = self._seconds[-1][1]
            for customer_id, revision in written:
                revisions.pop(customer_id, None)
                revisions[customer_id] = revision
            while len(revisions) > PER_SECOND:
                del revisions[next(iter(revisions))]
            self._drop_old(second)

    def revisions(self) -> dict[str, int]:
        """The last revision of each customer that was written in the last ``SECONDS``."""
        with self._lock:
            self._drop_old(int(self._clock()))
            return {customer_id: revision for _, found in self._seconds for customer_id, revision in found.items()}

    def clear(self) -> None:
        """Drop all, because what was written is known to be lost."""
        with self._lock:
            self._seconds.clear()

    def _drop_old(self, second: int) -> None:
        while self._seconds and self._seconds[0][0] < second - SECONDS:
            self._seconds.popleft()
