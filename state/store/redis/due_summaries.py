"""The stored summaries of customers: one string per shard, each in a separate slot; they expire."""

from collections.abc import Mapping
from typing import Any

from state.events.dates import DAY
from state.settings import Settings
from state.store.redis.client import connect, translate_errors
from state.store.redis.layout import Keys

EXPIRY_S = 8 * DAY
"""Longer than a week, so that a weekly list uses them too."""
SHARDS_PER_CALL = 16


class RedisDueSummaries:
    """Stores packed summaries; not to be shared between threads.

    Two that are written at the same time replace each other, and either is valid, because readers compare revisions.

    Raises:
        SettingsError: No URL of Redis is set, or it cannot be parsed.
    """

    def __init__(self, settings: Settings, client: Any = None) -> None:
        self._client: Any = connect(settings) if client is None else client
        self._keys = Keys(settings.key_prefix)

    def load(self, shards: int) -> list[bytes | None]:
        """What is stored for each of the shards 0 to ``shards`` - 1, None where there is nothing.

        Raises:
            StoreUnavailable, StoreRefused: Redis does not answer, or refuses.
        """
        found: list[bytes | None] = []
        for start in range(0, shards, SHARDS_PER_CALL):
            with translate_errors(client=self._client), self._client.pipeline(transaction=False) as pipeline:
                for shard in range(start, min(start + SHARDS_PER_CALL, shards)):
                    pipeline.get(self._keys.due_summaries(shard))
                found += pipeline.execute()
        return found

    def save(self, shards: Mapping[int, bytes]) -> None:
        """Replace some shards; they expire after ``EXPIRY_S``.

        Raises:
            StoreUnavailable, StoreRefused: Redis does not answer, or refuses.
        """
        for shard, packed in shards.items():
            with translate_errors(client=self._client):
                self._client.set(self._keys.due_summaries(shard), packed, ex=EXPIRY_S)

    def close(self) -> None:
        """Release connections."""
        self._client.close()
