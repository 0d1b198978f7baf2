"""BucketChanges: what changed in the buckets of items since they were last read, as each drain returns it."""

from collections.abc import Mapping

MAX_ITEMS = 20_000
"""More are read from Redis: somebody writes who does not read."""
MAX_READINGS = 16
"""Versions of which those of the buckets are remembered."""


class BucketChanges:
    """What a reader of the buckets has, and what has been found since; not to be shared between threads.

    Args:
        number: How many buckets there are.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._read: int | None = None
        """The sum of the versions that the reader has; None before it has read anything."""
        self._versions: list[int] = []
        self._readings: dict[int, list[int]] = {}
        """The versions of the buckets, by their sum, of what was read last."""
        self._dates: list[int | None] = []
        self._found: set[int] = set()
        self._states: dict[bytes, bytes] = {}

    @property
    def is_wanted(self) -> bool:
        """Whether somebody reads the changes."""
        return self._read is not None

    def since(self, bucket: int) -> int | bool:
        """The version of a bucket after which changes are wanted, False where none are."""
        return self._versions[bucket] if self.is_wanted else False

    def add(self, bucket: int, version: int, date: int | None, states: Mapping[bytes, bytes] | None) -> None:
        """Add what changed in a bucket up to a version, found by a write; None: that has to be read."""
        if states is None:
            self._found.discard(bucket)
        elif len(self._states) + len(states) > MAX_ITEMS:
            self.forget()
        else:
            self.add_read(bucket, version, date, states)

    def add_read(self, bucket: int, version: int, date: int | None, states: Mapping[bytes, bytes]) -> None:
        """Add what was read of a bucket that was unknown."""
        self._versions[bucket] = version
        self._dates[bucket] = date
        self._states.update(states)
        self._found.add(bucket)

    def unknown(self, since: int) -> dict[int, int]:
        """The buckets that have to be read for a reader of a version, and their versions; 0: all of the bucket."""
        if since != self._read:
            self.forget()
            self._versions = list(self._readings.get(since, [0] * self._number))
            self._dates = [None] * self._number
        return {bucket: self._versions[bucket] for bucket in range(self._number) if bucket not in self._found}

    def take(self) -> tuple[int, int | None, dict[bytes, bytes]]:
        """Version, greatest date, and the items that changed, once ``unknown`` buckets were added; forgets them."""
        states, self._states, self._found = self._states, {}, set()
        self._read = sum(self._versions)
        self._readings.pop(self._read, None)
        self._readings[self._read] = list(self._versions)
        if len(self._readings) > MAX_READINGS:
            del self._readings[next(iter(self._readings))]
        return self._read, max((date for date in self._dates if date is not None), default=None), states

    def forget(self) -> None:
        """Forget what was found since the last reading."""
        self._read, self._found, self._states = None, set(), {}
