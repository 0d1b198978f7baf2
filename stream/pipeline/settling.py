"""Customers whose lines come apart: their answer waits until no more lines come.

A line is applied to the history at once; only the recommendation waits. Until it is confirmed the offset of the
customer's first line is not committed. So whoever has the partition after a crash reads the lines again, which changes
no history and finds the recommendation pending. No list of who waits has to survive.

Kafka Streams' ``suppress(untilTimeLimit)`` waits from the first record, a session window of Flink until none has come
for a while. Here it is the second, and the first is its bound.
"""

import time
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from stream.messages import Incoming
from stream.pipeline.decoded import DecodedEvent

LONGEST = 5
"""An answer waits at most so many times the setting, however many lines come."""
MAX_CUSTOMERS = 1_000
"""The customers that wait at most; those who have waited longest are answered sooner."""

Partition = tuple[str, int]
"""Topic and number."""


class _Waiting:
    """The lines of a customer that waits: the newest, the first of each partition, and when they came."""

    def __init__(self, since: float) -> None:
        self.since = since
        self.newest_at = since
        self.newest: DecodedEvent | None = None
        self.first: dict[Partition, int] = {}
        self.timestamps: dict[tuple[str, int, int], float | None] = {}


class Settled(NamedTuple):
    """Customers to be answered now: their newest events, and the timestamps of all events that waited."""

    events: list[DecodedEvent]
    timestamps: list[float | None]


class Settling:
    """Who waits, and until when. Used by the thread that processes; by others while it does not.

    Args:
        wait_s: How long no line must have come; 0: nobody waits.
        clock: Seconds, monotonic.
    """

    def __init__(self, wait_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._wait_s = wait_s
        self._clock = clock
        self._waiting: dict[str, _Waiting] = {}
        self._positions: set[tuple[str, int, int]] = set()
        self._ending = False

    def add(self, events: Sequence[DecodedEvent], answered: Collection[str] = ()) -> set[str]:
        """Let the customers of these events wait; returns who does.

        An event of several lines is taken for a whole invoice: its customer is answered now, and so are those of
        ``answered``.
        """
        if not self._wait_s or self._ending:
            return set()
        now = self._clock()
        whole = {str(event.invoice.customer_id) for event in events if len(event.invoice.lines) > 1} | set(answered)
        for customer_id in whole & self._waiting.keys():
            self._remove(customer_id)
        waits: set[str] = set()
        for event in events:
            customer_id, record = str(event.invoice.customer_id), event.record
            if customer_id in whole:
                continue
            waits.add(customer_id)
            entry = self._waiting.setdefault(customer_id, _Waiting(now))
            entry.newest_at, entry.newest = now, event
            entry.first.setdefault((record.topic, record.partition), record.offset)
            entry.timestamps[_position(record)] = record.timestamp
            self._positions.add(_position(record))
        return waits

    def due(self) -> Settled:
        """Take the customers who have waited long enough; all of them once ``end`` was called."""
        now = self._clock()
        excess = len(self._waiting) - MAX_CUSTOMERS
        chosen = [
            customer_id
            for index, (customer_id, entry) in enumerate(self._waiting.items())
            if self._ending or index < excess or self._due_at(entry) <= now
        ]
        entries = [self._remove(customer_id) for customer_id in chosen]
        return Settled(
            [entry.newest for entry in entries if entry.newest is not None],
            [timestamp for entry in entries for timestamp in entry.timestamps.values()],
        )

    def is_waiting(self, record: Incoming) -> bool:
        """Whether the answer to a record waits."""
        return _position(record) in self._positions

    def next_in(self) -> float | None:
        """Seconds until the next customer is due; None where nobody waits."""
        if not self._waiting:
            return None
        return max(0.0, min(map(self._due_at, self._waiting.values())) - self._clock())

    def first_offsets(self) -> dict[Partition, int]:
        """The lowest offset of each partition whose answer waits."""
        lowest: dict[Partition, int] = {}
        for entry in self._waiting.values():
            for partition, offset in entry.first.items():
                lowest[partition] = min(offset, lowest.get(partition, offset))
        return lowest

    def end(self) -> None:
        """Let nobody wait any more."""
        self._ending = True

    def _due_at(self, entry: _Waiting) -> float:
        return min(entry.newest_at + self._wait_s, entry.since + LONGEST * self._wait_s)

    def _remove(self, customer_id: str) -> _Waiting:
        entry = self._waiting.pop(customer_id)
        self._positions -= entry.timestamps.keys()
        return entry


def _position(record: Incoming) -> tuple[str, int, int]:
    return record.topic, record.partition, record.offset
