"""Outboxes: changes of items that wait in the slot of a customer, and are applied to the items at most once each.

On a Cluster all changes come this way, because no script can change a customer's slot and those of the items at once;
on a single Redis, where all items are one bucket, those of very large events do, so that no call takes long. Each entry
is applied in the buckets of its items. A marker in the slot of a bucket holds the last sequence that was applied there.
Then the outbox is trimmed. A crash in between loses nothing, because the events are delivered again and the outbox read
again, and counts nothing twice, because the markers outlive the trim.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from zlib import crc32

import msgspec

from state.domain.items import HALF_LIVES, SHARE_HALF_LIVES
from state.store.redis.bucket_changes import BucketChanges
from state.store.redis.client import translate_errors
from state.store.redis.commit import MAX_ENTRY_BYTES
from state.store.redis.layout import ItemKeys, Keys, pack, read_number
from state.store.redis.script import Script

MARKER_SECONDS = 86_400
"""How long a marker outlives the trim: longer than any worker that read the outbox before the trim can take."""
PORTION = 64
"""Entries of an outbox that are read at once."""
MAX_TRIMMED = 10_000
"""Markers of a bucket that wait for the next call, which lets them expire."""

Entries = Sequence[bytes]
"""Entry, sequence, entry, sequence and so on, the oldest first."""
_Call = dict[str, list[bytes]]
"""Entries of some customers for one bucket, which one script call applies."""

_unpack = msgspec.msgpack.Decoder().decode


class Outboxes:
    """Applies outboxes to the items; not to be shared between threads.

    Args:
        client: A connected client.
        keys: The names of the keys.
        buckets: The keys of the items in each bucket.
        bucket_of: Returns the index of the bucket of an item.
        changes: Collects what changed in each bucket, where somebody reads it.
    """

    def __init__(
        self,
        client: Any,
        keys: Keys,
        buckets: Sequence[ItemKeys],
        bucket_of: Callable[[str], int],
        changes: BucketChanges | None = None,
    ) -> None:
        self._client = client
        self._keys = keys
        self._buckets = buckets
        self._bucket_of = bucket_of
        self._changes = changes
        self._drain_items = Script("attributes", "items", "drain")
        self._trimmed: list[dict[str, int]] = [{} for _ in buckets]
        """Markers of each bucket that are to expire, with the last sequence that was applied and trimmed."""

    def drain(self, customer_ids: Sequence[str]) -> None:
        """Apply all that waits in the outboxes of some customers."""
        self.drain_from(self._read(customer_ids))
        self.flush()

    def drain_from(self, portions: Mapping[str, Entries]) -> None:
        """Apply what was read of some outboxes, at most ``PORTION`` entries each, and all that follows.

        The markers expire with a later call, or by ``flush``.
        """
        while portions := {customer_id: entries for customer_id, entries in portions.items() if entries}:
            self._apply(portions)
            full = [customer_id for customer_id, entries in portions.items() if len(entries) == 2 * PORTION]
            portions = self._read(full)

    def flush(self) -> None:
        """Let the markers expire that are not needed any more."""
        with translate_errors(client=self._client):
            list(self._call({number: {} for number, trimmed in enumerate(self._trimmed) if trimmed}))

    def _read(self, customer_ids: Sequence[str]) -> dict[str, Entries]:
        if not customer_ids:
            return {}
        with translate_errors(client=self._client), self._client.pipeline(transaction=False) as pipeline:
            for customer_id in customer_ids:
                pipeline.execute_command("ZRANGE", self._keys.outbox(customer_id), 0, PORTION - 1, "WITHSCORES")
            replies = pipeline.execute()
        return dict(zip(customer_ids, map(_flat, replies), strict=True))

    def _apply(self, portions: Mapping[str, Entries]) -> None:
        with translate_errors(client=self._client):
            by_bucket = self._by_bucket(portions)
            waiting = {number: list(_calls(entries)) for number, entries in by_bucket.items()}
            asked = range(len(self._buckets)) if self._changes is not None and self._changes.is_wanted else ()
            for number in asked:
                waiting.setdefault(number, [{}])
            while waiting:
                for number, handled in self._call({number: calls[0] for number, calls in waiting.items()}):
                    call, *later = waiting.pop(number)
                    if calls := [*filter(None, [_without(call, handled)]), *later]:
                        waiting[number] = calls
        self._trim(portions)
        for number, entries_of in by_bucket.items():
            trimmed, bucket = self._trimmed[number], self._buckets[number]
            trimmed.update((bucket.done(customer_id), entries[-1][0]) for customer_id, entries in entries_of.items())
        if len(self._buckets) == 1 or max(map(len, self._trimmed)) > MAX_TRIMMED:
            self.flush()

    def _call(self, calls: Mapping[int, _Call]) -> Iterator[tuple[int, int]]:
        """Run the script once in each of some buckets; yields bucket and number of entries that were handled."""
        packed = []
        for number, call in calls.items():
            bucket, trimmed = self._buckets[number], self._trimmed[number]
            since = False if self._changes is None else self._changes.since(number)
            settings = ((HALF_LIVES, SHARE_HALF_LIVES), since, len(call), MARKER_SECONDS, list(trimmed.values()))
            keys = [*bucket.in_order, *map(bucket.done, call), *trimmed]
            packed.append((keys, [pack(settings), *map(b"".join, call.values())]))
            self._trimmed[number] = {}
        for number, reply in zip(calls, self._drain_items.each(self._client, packed), strict=True):
            if isinstance(reply, Exception):
                raise reply
            handled, *changed = reply
            if changed and self._changes is not None:
                version, date, states = changed
                self._changes.add(
                    number,
                    version,
                    None if date is None else read_number(date),
                    None if states is None else dict(zip(states[::2], states[1::2], strict=True)),
                )
            yield number, handled

    def _by_bucket(self, portions: Mapping[str, Entries]) -> dict[int, dict[str, list[tuple[int, bytes]]]]:
        """Sequence and entry, of each customer for each bucket, the oldest first."""
        if len(self._buckets) == 1:
            return {0: {customer_id: _with_sequence(entries) for customer_id, entries in portions.items()}}
        found: dict[int, dict[str, list[tuple[int, bytes]]]] = {}
        for customer_id, entries in portions.items():
            for sequence, entry in _with_sequence(entries):
                for number, part in self._divided(entry, customer_id):
                    found.setdefault(number, {}).setdefault(customer_id, []).append((sequence, part))
        return found

    def _divided(self, entry: bytes, customer_id: str) -> Iterator[tuple[int, bytes]]:
        """The parts of an entry for the buckets of its items; one without items goes anywhere, with its date."""
        sequence, now, sales, changes = _unpack(entry)
        bucket_of = self._bucket_of
        parts: dict[int, tuple[list[Any], list[Any]]] = {}
        for sale in sales:
            if isinstance(sale[1], str):
                parts.setdefault(bucket_of(sale[1]), ([], []))[0].append(sale)
                continue
            date, lines = sale
            divided: dict[int, list[Any]] = {}
            for start in range(0, len(lines), 3):
                divided.setdefault(bucket_of(lines[start]), []).extend(lines[start : start + 3])
            for number, some in divided.items():
                parts.setdefault(number, ([], []))[0].append((date, some))
        for change in changes:
            if isinstance(change[0], str):  # of an older version
                parts.setdefault(bucket_of(change[0]), ([], []))[1].append(change)
                continue
            date, times, share, codes = change
            divided = {}
            for code in codes:
                divided.setdefault(bucket_of(code), []).append(code)
            for number, some in divided.items():
                parts.setdefault(number, ([], []))[1].append((date, times, share, some))
        if not parts:
            parts[crc32(customer_id.encode()) % len(self._buckets)] = ([], [])
        for number, (its_sales, its_changes) in parts.items():
            yield number, pack((sequence, now, its_sales, its_changes))

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


def _with_sequence(entries: Entries) -> list[tuple[int, bytes]]:
    """Sequence and entry of each entry."""
    return [(int(float(sequence)), entry) for entry, sequence in zip(entries[::2], entries[1::2], strict=True)]


def _without(call: Mapping[str, list[bytes]], handled: int) -> _Call:
    """The entries of a call after those that were handled."""
    rest: _Call = {}
    for customer_id, entries in call.items():
        if handled < len(entries):
            rest[customer_id] = entries[handled:]
        handled = max(0, handled - len(entries))
    return rest


def _calls(entries_of: Mapping[str, Sequence[tuple[int, bytes]]]) -> Iterator[_Call]:
    """The entries in script calls of bounded size, in order for each customer; an entry is never split."""
    call: _Call = {}
    size = 0
    for customer_id, entries in entries_of.items():
        for _, entry in entries:
            if size and size + len(entry) > MAX_ENTRY_BYTES:
                yield call
                call, size = {}, 0
            call.setdefault(customer_id, []).append(entry)
            size += len(entry)
    yield call
