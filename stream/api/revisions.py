"""Reads the revisions of histories, which decide between a list and 304."""

from collections.abc import Callable, Sequence

from state.store.protocol import Store


class RevisionReader:
    """Reads batches of revisions, in one thread; ``open_store`` is called again until it succeeds."""

    def __init__(self, open_store: Callable[[], Store]) -> None:
        self._open_store = open_store
        self._store: Store | None = None

    def answer(self, customer_ids: Sequence[str]) -> list[int]:
        """The revision of each history, 0 for an unknown customer.

        Raises:
            StoreUnavailable: Redis does not answer.
        """
        if self._store is None:
            self._store = self._open_store()
        return self._store.revisions(customer_ids)

    def close(self) -> None:
        """Close the store."""
        if self._store is not None:
            self._store.close()
