"""CheckedRedis: the store for checks that run again and again, each on new connections."""

from state.settings import Settings
from state.store.redis.client import READ_TIMEOUT_S, connect
from state.store.redis.store import RedisStore


class CheckedRedis:
    """Returns a store whose next call makes new connections: after a failover, an open one may lead to the old server.

    The client stays the same: a new one of a Cluster asks a node for all its commands and slots, which costs that node
    more than the check does. Not to be shared between threads.

    Args:
        settings: The URL of Redis.
        read_timeout_s: How long a call waits for an answer.
    """

    def __init__(self, settings: Settings, *, read_timeout_s: float = READ_TIMEOUT_S) -> None:
        self._settings = settings
        self._read_timeout_s = read_timeout_s
        self._store: RedisStore | None = None

    def __call__(self) -> RedisStore:
        """The store.

        Raises:
            SettingsError: No URL is set, or it cannot be parsed.
            StoreUnavailable, StoreRefused: A Cluster does not answer, or refuses.
        """
        if self._store is None:
            self._store = RedisStore(self._settings, connect(self._settings, read_timeout_s=self._read_timeout_s))
        else:
            self._store.reconnect()
        return self._store

    def close(self) -> None:
        """Close the connections."""
        if self._store is not None:
            self._store.close()
