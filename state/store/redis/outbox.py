"""Outboxes: changes of items that wait in the slot of a customer, and are applied to the items at most once each.

On a Cluster all changes come this way, because no script can change a customer's slot and the items' slot at once; on a
single Redis those of very large events do, so that no call takes long. A marker in the items' slot holds the last
sequence that was applied. Then the outbox is trimmed. A crash in between loses nothing, because the events are
delivered again and the outbox read again, and counts nothing twice, because the marker outlives the trim.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from state.domain.items import HALF_LIVES, SHARE_HALF_LIVES
from state.store.redis.client import translate_errors
from state.store.redis.commit import MAX_ENTRY_BYTES
from state.store.redis.layout import Keys, pack
from state.store.redis.script import Script

MARKER_SECONDS = 86_400
"""How long a marker outlives the trim: longer than any worker that read the outbox before the trim can take."""
PORTION = 64
"""Entries of an outbox that are read at once."""

Entries = Sequence[bytes]
"""Entry, sequence, entry, sequence and so on, the oldest first."""


class Outboxes:
    """Applies outboxes to the items."""

    def __init__(self, client: Any, keys: Keys) -> None:
        self._client = client
        self._keys = keys
        self._drain_items = Script("attributes", "items", "drain")

    def drain(self, customer_ids: Sequence[str]) -> None:
        """Apply all that waits in the outboxes of some customers."""
        self.drain_from(self._read(customer_ids))

    def drain_from(self, portions: Mapping[str, Entries]) -> None:
        """Apply what was read of some outboxes, at most ``PORTION`` entries each, and all that follows."""
        while portions := {customer_id: entries for customer_id, entries in portions.items() if entries}:
            self._apply(portions)
            full = [customer_id for customer_id, entries in portions.items() if len(entries) == 2 * PORTION]
            portions = self._read(full)

    def _read(self, customer_ids: Sequence[str]) -> dict[str, Entries]:
        if not customer_ids:
            return {}
        with translate_errors(client=self._client), self._client.pipeline(transaction=False) as pipeline:
            for customer_id in customer_ids:
                pipeline.execute_command("ZRANGE", self._keys.outbox(customer_id), 0, PORTION - 1, "WITHSCORES")
            replies = pipeline.execute()
        return dict(zip(customer_ids, map(_flat, replies), strict=True))

    def _apply(self, portions: Mapping[str, Entries]) -> None:
        markers = {customer_id: self._keys.done(customer_id) for customer_id in portions}
        half_lives = pack((HALF_LIVES, SHARE_HALF_LIVES))
        with translate_errors(client=self._client):
            for whole in _calls(portions):
                call = whole
                while call:
                    keys = [*self._keys.items, *(markers[customer_id] for customer_id in call)]
                    packed = (b"".join(entries) for entries in call.values())
                    call = _without(call, int(self._drain_items(self._client, keys, half_lives, *packed)))
        self._trim(portions)
        with translate_errors(client=self._client), self._client.pipeline(transaction=False) as expiries:
            for marker in markers.values():
                expiries.expire(marker, MARKER_SECONDS)
            expiries.execute()

    def _trim(self, portions: Mapping[str, Entries]) -> None:
        with translate_errors(client=self._client), self._client.pipeline(transaction=False) as trims:
            for customer_id, entries in portions.items():
                trims.zremrangebyscore(self._keys.outbox(customer_id), "-inf", entries[-1])
            trims.execute()


def _flat(reply: Sequence[Any]) -> Entries:
    """Entries and sequences one after the other, however the client groups them."""
    if reply and isinstance(reply[0], (tuple, list)):
        return [part if isinstance(part, bytes) else str(int(part)).encode() for pair in reply for part in pair]
    return reply


def _without(call: Mapping[str, list[bytes]], handled: int) -> dict[str, list[bytes]]:
    """The entries of a call after those that were handled."""
    rest: dict[str, list[bytes]] = {}
    for customer_id, entries in call.items():
        if handled < len(entries):
            rest[customer_id] = entries[handled:]
        handled = max(0, handled - len(entries))
    return rest


def _calls(portions: Mapping[str, Entries]) -> Iterator[dict[str, list[bytes]]]:
    """The entries in script calls of bounded size, in order for each customer; an entry is never split."""
    call: dict[str, list[bytes]] = {}
    size = 0
    for customer_id, entries in portions.items():
        for entry in entries[::2]:
            if size and size + len(entry) > MAX_ENTRY_BYTES:
                yield call
                call, size = {}, 0
            call.setdefault(customer_id, []).append(entry)
            size += len(entry)
    yield call
