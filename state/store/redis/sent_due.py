"""Which due customers were published for a day: one set a day and window, which expires."""

from collections.abc import Sequence
from typing import Any

from state.events.dates import DAY
from state.settings import Settings
from state.store.redis.client import connect, translate_errors
from state.store.redis.layout import Keys

EXPIRY_S = 2 * DAY
"""A day's list is published on that day; the second day is for a run that began before midnight."""


class RedisSentDue:
    """Remembers published customers by day; not to be shared between threads.

    Raises:
        SettingsError: No URL of Redis is set, or it cannot be parsed.
    """

    def __init__(self, settings: Settings, client: Any = None) -> None:
        self._client: Any = connect(settings) if client is None else client
        self._keys = Keys(settings.key_prefix)

    def unsent(self, day: str, customer_ids: Sequence[str]) -> list[str]:
        """Those of some customers that are not recorded for the day, in order.

        Raises:
            StoreUnavailable, StoreRefused: Redis does not answer, or refuses.
        """
        if not customer_ids:
            return []
        with translate_errors(client=self._client):
            known = self._client.smismember(self._keys.sent_due(day), list(customer_ids))
        return [customer_id for customer_id, is_known in zip(customer_ids, known, strict=True) if not is_known]

    def record(self, day: str, customer_ids: Sequence[str]) -> None:
        """Record customers for the day; the record expires after ``EXPIRY_S``.

        Raises:
            StoreUnavailable, StoreRefused: Redis does not answer, or refuses.
        """
        key = self._keys.sent_due(day)
        with translate_errors(client=self._client), self._client.pipeline() as pipeline:
            pipeline.sadd(key, *customer_ids)
            pipeline.expire(key, EXPIRY_S)
            pipeline.execute()

    def forget(self, customer_id: str) -> int:
        """Remove a customer from the records of all days; returns from how many.

        Raises:
            StoreUnavailable, StoreRefused: Redis does not answer, or refuses.
        """
        with translate_errors(client=self._client):
            keys = list(self._client.scan_iter(match=self._keys.all_sent_due, count=1_000))
            return sum(int(self._client.srem(key, customer_id)) for key in keys)

    def close(self) -> None:
        """Release connections."""
        self._client.close()
