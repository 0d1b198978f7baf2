"""Writing to a single Redis: one script call a batch, histories and items together, all or nothing."""

from collections.abc import Iterable, Sequence
from typing import Any

from state.domain.items import HALF_LIVES, SHARE_HALF_LIVES
from state.store.redis.client import translate_errors
from state.store.redis.layout import Answer, Keys, pack, read_answer
from state.store.redis.script import Script

Events = list[tuple[Any, ...]]


class SingleWriter:
    """See ``RedisStore``, which gives batches of a bounded size."""

    def __init__(self, client: Any, keys: Keys, *, window: int, cap: int, ttl: int) -> None:
        self._client = client
        self._keys = keys
        self._bounds = (window, cap, ttl)
        self._apply = Script("attributes", "history", "items", "apply")
        self._confirm = Script("attributes", "history", "confirm")

    def apply(self, customers: Sequence[tuple[str, Events]], clock_ms: int) -> Answer:
        """Takes the events of some customers in."""
        names = [*self._keys.items, *self._both(customer_id for customer_id, _ in customers)]
        batch = pack((*self._bounds, clock_ms, (HALF_LIVES, SHARE_HALF_LIVES), [events for _, events in customers]))
        with translate_errors(_names(customers)):
            return read_answer(self._apply(self._client, names, batch))

    def confirm(self, entries: Sequence[tuple[str, Any]]) -> None:
        """Keeps what was published: customer and (revision, JSON or False, standing)."""
        names = self._both(customer_id for customer_id, _ in entries)
        with translate_errors(_names(entries)):
            self._confirm(self._client, names, pack((self._bounds[2], [entry for _, entry in entries])))

    def _both(self, customer_ids: Iterable[str]) -> list[str]:
        """Each customer's history and recommendation."""
        keys = self._keys
        return [key for one in customer_ids for key in (keys.history(one), keys.recommendation(one))]


def _names(customers: Sequence[tuple[str, Any]]) -> dict[int, str]:
    """What the numbers in a script's refusal stand for."""
    return {place: f"customer {customer_id}" for place, (customer_id, _) in enumerate(customers, 1)}
