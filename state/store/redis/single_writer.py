"""Writes to a single Redis: one script call a batch changes histories and items atomically."""

from collections.abc import Iterable, Sequence
from typing import Any

from state.domain.items import HALF_LIVES, SHARE_HALF_LIVES
from state.store.redis.client import translate_errors
from state.store.redis.layout import Answer, Keys, pack, read_answer
from state.store.redis.script import Script

Events = list[tuple[Any, ...]]


class SingleWriter:
    """The writer of ``RedisStore`` for a single server; its batches have a bounded size."""

    def __init__(self, client: Any, keys: Keys, *, window: int, cap: int, ttl: int) -> None:
        self._client = client
        self._keys = keys
        self._bounds = (window, cap, ttl)
        self._apply = Script("attributes", "history", "items", "apply")
        self._confirm = Script("attributes", "history", "confirm")
        self._reserve = Script("reserve")

    def apply(self, customers: Sequence[tuple[str, Events]], clock_ms: int) -> Answer:
        """Applies the events of some customers."""
        keys = [*self._keys.items, *self._keys_of(customer_id for customer_id, _ in customers)]
        batch = pack((*self._bounds, clock_ms, (HALF_LIVES, SHARE_HALF_LIVES), [events for _, events in customers]))
        with translate_errors(_names(customers), self._client):
            return read_answer(self._apply(self._client, keys, batch))

    def confirm(self, entries: Sequence[tuple[str, Any]]) -> None:
        """Saves what was published: customer and (revision, JSON or False, prior recommendation)."""
        keys = self._keys_of(customer_id for customer_id, _ in entries)
        with translate_errors(_names(entries), self._client):
            self._confirm(self._client, keys, pack((self._bounds[2], [entry for _, entry in entries])))

    def reserve(self, customers: Sequence[tuple[str, int]], clock_ms: int | bool) -> list[bytes]:
        """Runs reserve.lua for customers and their revisions."""
        keys = self._keys_of(customer_id for customer_id, _ in customers)
        with translate_errors(_names(customers), self._client):
            packed = pack((clock_ms, [revision for _, revision in customers]))
            return list(self._reserve(self._client, keys, packed))

    def _keys_of(self, customer_ids: Iterable[str]) -> list[str]:
        """The keys of each customer's history and recommendation."""
        keys = self._keys
        return [key for one in customer_ids for key in (keys.history(one), keys.recommendation(one))]


def _names(customers: Sequence[tuple[str, Any]]) -> dict[int, str]:
    """The customer of each number in an error of a script."""
    return {number: f"customer {customer_id}" for number, (customer_id, _) in enumerate(customers, 1)}
