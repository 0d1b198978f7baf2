"""Notices that Redis lost data while a worker runs: emptied, replaced by another, or gone back to an earlier state."""

import logging
import uuid
from collections.abc import Callable
from contextlib import closing

from state.errors import StateError
from state.store.protocol import Store, StoreMark
from stream.periodic import PeriodicThread

logger = logging.getLogger(__name__)

CHECK_INTERVAL_S = 3.0
_CURE = "histories of this shop are missing; nextbasket rebuild restores them from Kafka"


def loss(before: StoreMark, now: StoreMark) -> str | None:
    """A sentence where a store lost data between two checks, with the versions of its items."""
    if before.run is None:
        return None
    if now.run != before.run:
        became = "is empty" if not now.version else f"was filled again and is at version {now.version:,}"
        return f"Redis lost its data: its items were at version {before.version:,}, and it {became}; {_CURE}"
    if now.version < before.version:
        return (
            f"Redis lost its last {before.version - now.version:,} changes of items: they were at version "
            f"{before.version:,} and are at {now.version:,}; {_CURE}"
        )
    return None


class LossWatch:
    """Checks the mark of a store repeatedly, in a separate thread; records one where there is none.

    Args:
        connect: Opens the store again for each check: after a failover, an open connection leads to the old server.
        on_loss: Called after a loss was logged.
        interval_s: Time between two checks.
    """

    def __init__(
        self, connect: Callable[[], Store], on_loss: Callable[[], None], *, interval_s: float = CHECK_INTERVAL_S
    ) -> None:
        self._connect = connect
        self._on_loss = on_loss
        self._seen = StoreMark(None, 0)
        self._thread = PeriodicThread(
            "loss-watch", self._watch, "Checking whether Redis lost data", interval_s=interval_s, expected=(StateError,)
        )

    def start(self, committed: int = 0) -> None:
        """Run the first check and start the thread.

        Args:
            committed: Events that the workers have processed before; with an empty store, that is a loss.

        Raises:
            StoreUnavailable, StoreRefused: The store does not answer, or refuses.
        """
        with closing(self._connect()) as store:
            if committed and store.now() is None:
                logger.error("Redis is empty, though the workers have processed %d events before: %s", committed, _CURE)
                self._on_loss()
            self._check(store)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; a check in progress has one second to finish."""
        self._thread.stop()

    def _watch(self) -> None:
        with closing(self._connect()) as store:
            self._check(store)

    def _check(self, store: Store) -> None:
        mark = store.mark()
        sentence = loss(self._seen, mark)
        if mark.run is None:
            mark = StoreMark(store.record_run(uuid.uuid4().hex), mark.version)
        self._seen = mark
        if sentence is not None:
            logger.error(sentence)
            self._on_loss()
