"""How far the refresh of recommendations is: one hash with a field for each partition, and the last request for one."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from state.errors import StoreRefused
from state.settings import Settings
from state.store.redis.client import connect, translate_errors
from state.store.redis.layout import Keys, read_number

_MAX_REQUEST = 40
"""Characters of a time in ISO 8601, and some."""


class RedisRefreshProgress:
    """Stores the packed progress of each partition; not to be shared between threads.

    Raises:
        SettingsError: No URL of Redis is set, or it cannot be parsed.
        StoreUnavailable, StoreRefused: From every method, where Redis does not answer, or refuses.
    """

    def __init__(self, settings: Settings, client: Any = None) -> None:
        self._client: Any = connect(settings) if client is None else client
        self._keys = Keys(settings.key_prefix)

    def load(self) -> dict[int, bytes]:
        """What is stored for each partition."""
        with translate_errors(client=self._client):
            found = self._client.hgetall(self._keys.refresh_shards)
            return {read_number(partition): packed for partition, packed in found.items()}

    def save(self, shards: Mapping[int, bytes]) -> None:
        """Replace what is stored for some partitions, at least one."""
        fields: Any = {str(partition): packed for partition, packed in shards.items()}
        with translate_errors(client=self._client):
            self._client.hset(self._keys.refresh_shards, mapping=fields)

    def asked(self) -> str:
        """The last request, which is its time, '' where there is none.

        Raises:
            StoreRefused: The key holds something else.
        """
        with translate_errors(client=self._client):
            stored = (self._client.get(self._keys.refresh_asked) or b"").decode()
        try:
            if stored and (len(stored) > _MAX_REQUEST or datetime.fromisoformat(stored).tzinfo is None):
                raise ValueError("no time")
        except ValueError as error:
            raise StoreRefused(
                f"{self._keys.refresh_asked} holds something else than the time of a request; "
                "nextbasket refresh --now writes it anew."
            ) from error
        return stored

    def ask(self, request: str) -> None:
        """Record a request."""
        with translate_errors(client=self._client):
            self._client.set(self._keys.refresh_asked, request)

    def close(self) -> None:
        """Release connections."""
        self._client.close()
