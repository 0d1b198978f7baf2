"""ChangedItems: the items that the commits of this process changed, as Redis returned them with each commit.

Each change of items raises their version by one or more. So a reader whose version is the one before the first of some
commits, without a gap between them, needs nothing else from Redis.
"""

from collections.abc import Sequence

MAX_ITEMS = 20_000
"""More are read from Redis: somebody writes who does not read."""


class ChangedItems:
    """The changes of consecutive versions; not to be shared between threads."""

    def __init__(self) -> None:
        self._first = 0
        self._last = -1
        self._now = 0
        self._states: dict[bytes, bytes] = {}

    def add(self, version: int, now: int, states: Sequence[bytes]) -> None:
        """Add the items that a commit changed, code, state and so on; what came before a gap is forgotten."""
        if version != self._last + 1 or len(self._states) > MAX_ITEMS:
            self._first, self._states = version, {}
        self._last, self._now = version, now
        self._states.update(zip(states[::2], states[1::2], strict=True))

    def forget(self) -> None:
        """Forget all changes: others were made that are not known here."""
        self._last = -1
        self._states = {}

    def take(self, since: int) -> tuple[int, int, dict[bytes, bytes]] | None:
        """Version, greatest date and packed items after a version; forgets them.

        None where they have to be read from Redis, as always from version 0.
        """
        found = (self._last, self._now, self._states) if 0 < since == self._first - 1 < self._last else None
        self.forget()
        return found
