"""The index of who is due: a hash per shard, in separate slots, from customer to packed numbers."""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from redis.cluster import RedisCluster

from state.events.dates import DAY
from state.settings import Settings
from state.store.protocol import DueEntry, DueShard
from state.store.redis.chunks import MAX_PART_BYTES, chunks
from state.store.redis.client import connect, translate_errors
from state.store.redis.layout import DUE_SHARDS, Keys, due_shard, pack
from state.store.redis.script import Script

MAX_ENTRIES = 1_000
"""Customers that are recorded in one call."""
COMPLETE_S = 8 * DAY
"""How long the index counts as complete before a list compares all revisions once more."""

_read_texts = msgspec.msgpack.Decoder(list[str]).decode


class RedisDueIndex:
    """Implements ``DueIndex``; not to be shared between threads.

    Raises, from every method:
        StoreUnavailable, StoreRefused: Redis does not answer, or refuses.
    """

    def __init__(self, settings: Settings, client: Any = None) -> None:
        self._client: Any = connect(settings) if client is None else client
        self._keys = Keys(settings.key_prefix)
        self._record = Script("due_record")
        self._read = Script("due_read")

    def record(self, entries: Sequence[DueEntry]) -> None:
        """See ``DueIndex.record``; on a Cluster one call a shard, pipelined."""
        for part in chunks(entries, lambda entry: len(entry.value), most=MAX_ENTRIES, most_bytes=MAX_PART_BYTES):
            self._record_part(part)

    def _record_part(self, entries: Sequence[DueEntry]) -> None:
        by_shard: dict[int, list[DueEntry]] = {}
        for entry in entries:
            by_shard.setdefault(due_shard(entry.customer_id), []).append(entry)
        shards = list(by_shard.items())
        one_by_one = isinstance(self._client, RedisCluster)
        parts = [[each] for each in shards] if one_by_one else [shards] if shards else []
        calls: list[tuple[list[str], list[bytes]]] = []
        for part in parts:
            heads = pack([[(one.customer_id, one.revision) for one in found] for _, found in part])
            keys = [self._keys.due_index(shard) for shard, _ in part]
            calls.append((keys, [heads, *(one.value for _, found in part for one in found)]))
        with translate_errors(client=self._client):
            for reply in self._record.each(self._client, calls):
                if isinstance(reply, Exception):
                    raise reply

    def shards(self, head_size: int, *, with_rest: bool) -> Iterator[DueShard]:
        """See ``DueIndex.shards``."""
        for shard in range(DUE_SHARDS):
            sizes = str(head_size).encode(), b"1" if with_rest else b"0"
            with translate_errors(client=self._client):
                found = self._read(self._client, [self._keys.due_index(shard)], *sizes)
                if found:
                    customers, heads, rests = found
                    yield DueShard(_read_texts(customers), heads, _read_texts(rests) if with_rest else None)

    def forget(self, customer_ids: Sequence[str]) -> int:
        """See ``DueIndex.forget``."""
        deleted = 0
        for customer_id in customer_ids:
            with translate_errors(client=self._client):
                deleted += int(self._client.hdel(self._keys.due_index(due_shard(customer_id)), customer_id))
        return deleted

    def is_complete(self) -> bool:
        """See ``DueIndex.is_complete``."""
        with translate_errors(client=self._client):
            return bool(self._client.get(self._keys.due_complete) == b"1")

    def set_complete(self, complete: bool) -> None:
        """See ``DueIndex.set_complete``."""
        with translate_errors(client=self._client):
            self._client.set(self._keys.due_complete, b"1" if complete else b"0", ex=COMPLETE_S)

    def close(self) -> None:
        """Release connections."""
        self._client.close()
