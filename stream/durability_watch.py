"""Checks that Redis neither evicts keys nor loses them at its end: when a worker starts, and every minute."""

import logging
from collections.abc import Callable, Sequence

from state.errors import SettingsError, StateError
from state.store.redis.durability import NO_EVICTION, Durability
from stream.periodic import PeriodicThread

logger = logging.getLogger(__name__)

CHECK_INTERVAL_S = 60.0
_NOT_ON_DISK = "Redis does not write to disk: all histories are lost when it ends; set appendonly to yes"


def require_durability(servers: Sequence[Durability], *, allow_eviction: bool) -> None:
    """Warn of what may lose histories; refuse an eviction policy.

    Raises:
        SettingsError: A server evicts keys, and ``allow_eviction`` is not set.
    """
    sentence = eviction(servers)
    if sentence is not None and not allow_eviction:
        raise SettingsError(
            f"{sentence} Set maxmemory-policy to {NO_EVICTION}, or NEXTBASKET_ALLOW_EVICTION=1 to start all the same."
        )
    if sentence is not None:
        logger.warning(sentence)
    if any(server.policy is None for server in servers):
        logger.warning(
            "REDIS MAY NOT BE ASKED for its maxmemory-policy (INFO and CONFIG GET are forbidden): "
            "make sure that it is %s; with any other, histories vanish silently when its memory is full",
            NO_EVICTION,
        )
    if any(server.persistent is None for server in servers):
        logger.warning("Redis may not be asked whether it writes to disk: make sure that appendonly is yes")
    if loses_at_end(servers):
        logger.warning(_NOT_ON_DISK)


def eviction(servers: Sequence[Durability]) -> str | None:
    """A sentence where a server evicts keys."""
    policies = sorted({server.policy for server in servers if server.policy not in (None, NO_EVICTION)})
    if not policies:
        return None
    return (
        f"Redis evicts keys (maxmemory-policy {', '.join(map(str, policies))}): histories vanish when memory is full."
    )


def loses_at_end(servers: Sequence[Durability]) -> bool:
    """Whether a server is known not to write to disk."""
    return any(server.persistent is False for server in servers)


class DurabilityWatch:
    """Checks the eviction policy and the persistence of Redis repeatedly, in a separate thread.

    Args:
        read: Returns the durability of the servers; called in the thread only.
        report: Called with whether a server evicts keys, after each check.
        on_evicted: Called with the number of keys that were evicted since the last check, where there are any.
        allow_eviction: Whether a worker is ready although Redis evicts keys.
        interval_s: Time between two checks.
    """

    def __init__(
        self,
        read: Callable[[], Sequence[Durability]],
        report: Callable[[bool], None] = lambda evicts: None,
        on_evicted: Callable[[int], None] = lambda keys: None,
        *,
        allow_eviction: bool = False,
        interval_s: float = CHECK_INTERVAL_S,
    ) -> None:
        self._read = read
        self._report = report
        self._on_evicted = on_evicted
        self._evicted: int | None = None
        self._allow_eviction = allow_eviction
        self._evicts: str | None = None
        self._loses = False
        self._thread = PeriodicThread(
            "durability-watch",
            self._watch,
            "Asking Redis for its eviction policy and persistence",
            interval_s=interval_s,
            expected=(StateError,),
        )

    def problem(self) -> str | None:
        """Why a worker is not ready, or None; may be called from any thread."""
        return None if self._allow_eviction else self._evicts

    def start(self, servers: Sequence[Durability]) -> None:
        """Start the thread; ``servers`` is the result of the first check."""
        self._evicts = eviction(servers)
        self._loses = loses_at_end(servers)
        self._report(self._evicts is not None)
        self._count(servers)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; a check in progress has one second to finish."""
        self._thread.stop()

    def _watch(self) -> None:
        servers = self._read()
        self._count(servers)
        found, loses = eviction(servers), loses_at_end(servers)
        if loses != self._loses:
            logger.log(*(logging.WARNING, _NOT_ON_DISK) if loses else (logging.INFO, "Redis writes to disk"))
        self._loses = loses
        if found is not None and found != self._evicts:
            logger.error("%s Set maxmemory-policy to %s", found, NO_EVICTION)
        if found is None and self._evicts is not None:
            logger.info("Redis does not evict keys")
        self._evicts = found
        self._report(found is not None)

    def _count(self, servers: Sequence[Durability]) -> None:
        """Report the keys that were evicted since the last check; a server that was restarted counts from 0 again."""
        counts = [server.evicted for server in servers if server.evicted is not None]
        if not counts:
            return
        before, self._evicted = self._evicted, sum(counts)
        lost = 0 if before is None else self._evicted - before if self._evicted >= before else self._evicted
        if lost:
            logger.error(
                "Redis evicted %d keys since the last check (%d since its start): histories may be among them; "
                "set maxmemory-policy to %s, then nextbasket rebuild restores them",
                lost,
                self._evicted,
                NO_EVICTION,
            )
            self._on_evicted(lost)
