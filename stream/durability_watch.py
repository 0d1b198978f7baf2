"""Checks that Redis neither evicts keys nor loses them at its end: when a worker starts, and every few minutes."""

import logging
import threading
from collections.abc import Callable, Sequence

from state.errors import SettingsError, StateError
from state.store.redis.durability import NO_EVICTION, Durability

logger = logging.getLogger(__name__)

CHECK_INTERVAL_S = 180.0


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
    if any(server.persistent is False for server in servers):
        logger.warning("Redis does not write to disk: all histories are lost when it ends; set appendonly to yes")


def eviction(servers: Sequence[Durability]) -> str | None:
    """A sentence where a server evicts keys."""
    policies = sorted({server.policy for server in servers if server.policy not in (None, NO_EVICTION)})
    if not policies:
        return None
    return (
        f"Redis evicts keys (maxmemory-policy {', '.join(map(str, policies))}): histories vanish when memory is full."
    )


class DurabilityWatch:
    """Logs an error whenever a Redis that did not evict keys does so, in a thread of its own.

    Args:
        read: Returns the durability of the servers; called in the thread only.
        interval_s: Time between two checks.
    """

    def __init__(self, read: Callable[[], Sequence[Durability]], *, interval_s: float = CHECK_INTERVAL_S) -> None:
        self._read = read
        self._interval_s = interval_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="durability-watch", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; a check in progress has one second to finish."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(1.0)

    def _watch(self) -> None:
        while not self._stopping.wait(self._interval_s):
            try:
                sentence = eviction(self._read())
            except StateError:  # the processor says so
                continue
            except Exception:  # the thread must live as long as the worker
                logger.exception("Asking Redis for its eviction policy failed")
                continue
            if sentence is not None:
                logger.error("%s Set maxmemory-policy to %s", sentence, NO_EVICTION)
