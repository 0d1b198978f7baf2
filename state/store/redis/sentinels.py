"""Clients of the primary that Sentinels name, which leave an old primary soon after a failover."""

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool

LOOK_INTERVAL_S = 0.5
"""A client that is in use asks for the primary so often. Writes to an old one are lost."""
LOOK_TIMEOUT_S = 0.5
"""A call of Redis waits at most so long for each Sentinel that does not answer."""
PAUSE = 20
"""Times as long as it took to ask, a client does not ask again: Sentinels that hang delay few calls of Redis."""

_NO_RETRY = Retry(NoBackoff(), 0)


class PrimaryPool(SentinelConnectionPool):
    """Connections to the primary, which change to another one that the Sentinels name.

    redis-py asks them when it connects. After a failover, an old primary that is up takes writes until a Sentinel tells
    it otherwise, 10 to 20 seconds later; all these writes are lost.

    Args:
        sentinels: Addresses of the Sentinels.
        of_sentinel: Options of connections to them.
        service: The name of the primary.
        options: Options of connections to the primary.
    """

    def __init__(
        self, sentinels: Sequence[tuple[str, int]], of_sentinel: dict[str, Any], service: str, **options: Any
    ) -> None:
        super().__init__(service, Sentinel(sentinels, sentinel_kwargs=of_sentinel), **options)  # type: ignore[no-untyped-call]
        quick = {"socket_timeout": LOOK_TIMEOUT_S, "socket_connect_timeout": LOOK_TIMEOUT_S, "retry": _NO_RETRY}
        self._quick = Sentinel(sentinels, sentinel_kwargs=of_sentinel | quick)  # type: ignore[no-untyped-call]
        self._next_look = time.monotonic() + LOOK_INTERVAL_S

    def get_connection(self, *args: Any, **options: Any) -> Any:
        """A connection to the primary, as ``ConnectionPool.get_connection``."""
        if time.monotonic() >= self._next_look:
            self._look()
        return super().get_connection(*args, **options)

    def _look(self) -> None:
        """Close the idle connections if there is another primary; one in use is closed when it is released."""
        began = time.monotonic()
        with suppress(RedisError):  # while they are choosing, they name none
            address = self._quick.discover_master(self.service_name)  # type: ignore[no-untyped-call]
            if self.master_address not in (None, address):
                self.get_master_address()  # type: ignore[no-untyped-call]
        ended = time.monotonic()
        self._next_look = ended + max(LOOK_INTERVAL_S, PAUSE * (ended - began))


def primary_client(
    sentinels: Sequence[tuple[str, int]], service: str, of_sentinel: dict[str, Any], options: dict[str, Any]
) -> redis.Redis:
    """A client of the primary of a service; for the arguments see ``PrimaryPool``."""
    return redis.Redis.from_pool(PrimaryPool(sentinels, of_sentinel, service, **options))
