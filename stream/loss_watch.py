"""Notices that Redis lost data while a worker runs: emptied, replaced by another, or gone back to an earlier state."""

import logging
import uuid
from collections.abc import Callable, Mapping, Sequence

import msgspec

from state.errors import StateError
from state.store.identities import IdentityStore
from state.store.protocol import Store, StoreMark
from stream.periodic import PeriodicThread
from stream.pipeline.recent_writes import RecentWrites

logger = logging.getLogger(__name__)

CHECK_INTERVAL_S = 3.0
_CURE = "histories of this shop are missing; nextbasket rebuild restores them from Kafka"
_CURE_OF_A_PART = (
    "histories of this shop, or the counts of items, are missing; stop the workers and restore both from Kafka with "
    "nextbasket rebuild --from-scratch"
)


def loss(before: StoreMark, now: StoreMark) -> str | None:
    """A sentence where a store lost data between two checks, with the versions of its items.

    A part of a Cluster that is lost shows at the first check too.
    """
    if now.lost_parts > before.lost_parts:
        return (
            f"Redis lost a part of its data: {now.lost_parts:,} of the {now.parts:,} parts of its Cluster came back "
            f"empty; {_CURE_OF_A_PART}"
        )
    if before.run is None or now.lost_parts:
        return None
    if now.run != before.run:
        became = "is empty" if not now.version else f"was filled again and is at version {now.version:,}"
        return f"Redis lost its data: its items were at version {before.version:,}, and it {became}; {_CURE}"
    versions = zip(before.buckets or (before.version,), now.buckets or (now.version,), strict=False)
    if lower := [(was, now_is) for was, now_is in versions if now_is < was]:
        was, now_is = map(sum, zip(*lower, strict=True))
        return (
            f"Redis lost its last {was - now_is:,} changes of items: they were at version {was:,} and are at "
            f"{now_is:,}; {_cure(now)}"
        )
    return None


def _cure(mark: StoreMark) -> str:
    """The cure where a server went back: on a Cluster the others did not, so that histories and items differ."""
    return _CURE_OF_A_PART if mark.parts else _CURE


def lost_writes(written: Mapping[str, int], found: Mapping[str, int], mark: StoreMark) -> str | None:
    """A sentence where customers have lower revisions than were written; ``mark`` is that of the store.

    The version of the items cannot show this once further events have raised it again, as after a failover to a replica
    that lacked the last writes.
    """
    lost = sum(found[customer_id] < written[customer_id] for customer_id in found)
    if not lost:
        return None
    return (
        f"Redis lost its last writes: of {len(found):,} histories that this worker wrote in the last seconds, "
        f"{lost:,} are as before; {_cure(mark)}"
    )


def removed_customers(identities: IdentityStore, customer_ids: Sequence[str]) -> set[str]:
    """Those of some customers that were erased, or merged into others."""
    known = identities.lookup(customer_ids)
    if known is None:
        return set()
    return {one for one in customer_ids if known.current(one) != one or known.erasure(one) is not None}


class LossWatch:
    """Checks the mark of a store, and what was written last, repeatedly in a separate thread.

    Records a mark where there is none.

    Args:
        connect: Returns the store for a check, on new connections: after a failover, an open one leads to the old
            server.
        on_loss: Called after a loss was logged.
        written: The revisions that this worker wrote.
        removed: Returns those of some customers whose histories were removed on purpose.
        interval_s: Time between two checks.
    """

    def __init__(
        self,
        connect: Callable[[], Store],
        on_loss: Callable[[], None],
        written: RecentWrites | None = None,
        removed: Callable[[Sequence[str]], set[str]] = lambda customer_ids: set(),
        *,
        interval_s: float = CHECK_INTERVAL_S,
    ) -> None:
        self._connect = connect
        self._on_loss = on_loss
        self._written = written or RecentWrites()
        self._removed = removed
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
        store = self._connect()
        if committed and not store.mark().lost_parts and store.now() is None:
            logger.error("Redis is empty, though the workers have processed %d events before: %s", committed, _CURE)
            self._on_loss()
        self._check(store)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; a check in progress has one second to finish."""
        self._thread.stop()

    def _watch(self) -> None:
        self._check(self._connect())

    def _check(self, store: Store) -> None:
        written = self._written.revisions()  # before the store is read, which may only have later ones
        mark = store.mark()
        sentence = loss(self._seen, mark) or lost_writes(written, self._found(store, written), mark)
        if mark.run is None or not mark.complete:
            run = store.record_run(uuid.uuid4().hex)
            mark = msgspec.structs.replace(mark, run=run)
        self._seen = mark
        if sentence is not None:
            logger.error(sentence)
            self._written.clear()
            self._on_loss()

    def _found(self, store: Store, written: Mapping[str, int]) -> dict[str, int]:
        """The revisions of the customers that were written, without those that were removed."""
        found = dict(zip(written, store.revisions(list(written)), strict=True))
        gone = [customer_id for customer_id, revision in found.items() if not revision]
        for customer_id in self._removed(gone) if gone else ():
            del found[customer_id]
        return found
