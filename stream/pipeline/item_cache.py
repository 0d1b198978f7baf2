"""A copy of the item table that follows the store."""

from state.events.shop_dialect import ShopDialect
from state.store.claim import require_store_dialect
from state.store.protocol import Store
from training.features.item_table import ItemTable


class ItemCache:
    """A copy of the store's items that reads only what changed since the last refresh.

    Attributes:
        table: The items as of the last refresh. It is updated in place, and replaced when the store was rebuilt.
        now: Event time: the greatest date that the store has accepted, in seconds since 1970; 0 before the first.
    """

    def __init__(self, store: Store, dialect: ShopDialect | None = None) -> None:
        """Begin with no items; ``dialect`` is recorded again in a store that was emptied."""
        self.table = ItemTable()
        self.now = 0
        self._store = store
        self._dialect = dialect
        self._version = 0
        self._lost = False

    def store_lost_data(self) -> None:
        """Read all items at the next refresh; may be called from any thread."""
        self._lost = True

    def refresh(self) -> None:
        """Read the changes since the last refresh; may be called again after an error.

        Raises:
            StoreUnavailable: The store does not answer.
            StoreRefused: The items cannot be read.
            DialectDiffers: The store was emptied, and filled by a worker with another dialect.
        """
        lost, self._lost = self._lost, False
        changes = self._store.items(self._version)
        if lost or changes.version < self._version:
            # The store was emptied and filled again, so the cached items may not exist any more.
            self.table = ItemTable()
            if self._dialect is not None:
                require_store_dialect(self._store.record_dialect(self._dialect), self._dialect)
            changes = self._store.items(0)
        self.table.update(changes.states.values())
        self._version = changes.version
        self.now = changes.now or 0
