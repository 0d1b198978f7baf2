"""Reads the revisions of histories, which decide between a list and 304."""

from collections.abc import Callable, Sequence

from state.store.protocol import Store


class RevisionReader:
    """Reads batches of revisions, in one thread; ``open_store`` is called again until it succeeds."""

    def __init__(self, open_store: Callable[[], Store]) -> None:
        self._open_store = open_store
        self._store: Store | None = None

    def answer(self, customer_ids: Sequence[str]) -> list[int]:
        """The revision of each history, 0 for an unknown customer; of a merged one that of the other.

        Raises:
            StoreUnavailable: Redis does not answer.
        """
        if self._store is None:
            self._store = self._open_store()
        revisions = self._store.revisions(customer_ids)
        if absent := [index for index, revision in enumerate(revisions) if revision == 0]:
            current = self._store.current_ids([customer_ids[index] for index in absent])
            for index, revision in zip(absent, self._store.revisions(current), strict=True):
                revisions[index] = revision
        return revisions

    def close(self) -> None:
        """Close the store."""
        if self._store is not None:
            self._store.close()
