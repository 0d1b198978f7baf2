"""The worker's copy of the item table, kept up to date with the store."""

from state.errors import StoreUnavailable
from state.store.protocol import Store
from stream.pipeline.retry import RetryPolicy
from training.features.item_table import ItemTable


class ItemCache:
    """A copy of the store's items that reads only what changed since the last refresh.

    Attributes:
        table: The items as of the last refresh. It is updated in place, and replaced when the store was rebuilt.
        now: Event time: the greatest date that the store has accepted, in seconds since 1970; 0 before the first.
    """

    def __init__(self, store: Store, retry: RetryPolicy) -> None:
        self.table = ItemTable()
        self.now = 0
        self._store = store
        self._retry = retry
        self._version = 0

    def refresh(self) -> None:
        """Read the changes since the last refresh; waits while the store is unavailable.

        Raises:
            Stopped: The worker is stopping and the store is unavailable.
            StoreRefused: The items cannot be read.
        """
        changes = self._retry.call("Redis", lambda: self._store.items(self._version), StoreUnavailable)
        if changes.version < self._version:
            # The store was emptied and filled again, so the cached items may not exist any more.
            self.table = ItemTable()
            changes = self._retry.call("Redis", lambda: self._store.items(0), StoreUnavailable)
        self.table.update(changes.states.values())
        self._version = changes.version
        self.now = changes.now or 0
