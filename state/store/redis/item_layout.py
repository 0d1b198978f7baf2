"""Where the items are: on a single server under the keys of all items, on a Cluster in buckets, a slot for each.

A version without buckets had all items of a Cluster in one slot. Whatever writes first moves them:

1. A string replaces their log of changes. From then on no worker of that version changes an item or a marker, because
   its script looks at the log before it writes. So what is moved does not change meanwhile.
2. Entries of outboxes that the items have are removed. What is left is applied to the buckets, as every outbox is.
3. The items are copied to their buckets.
4. The number of buckets replaces the items.

Each step may be repeated, and taken by several processes at once: nothing is read from a bucket before the last one,
and what a bucket has is not replaced.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from redis.cluster import RedisCluster
from redis.exceptions import ResponseError

from state.errors import StoreRefused
from state.store.redis.chunks import MAX_PART_BYTES, chunks
from state.store.redis.client import translate_errors
from state.store.redis.layout import ITEM_BUCKETS, ItemKeys, Keys, item_bucket, read_number
from state.store.redis.outbox import MARKER_SECONDS
from state.store.redis.script import Script

FIELDS_PER_READ = 500
CUSTOMERS_PER_CALL = 500


class ItemLayout:
    """The keys of the items; not to be shared between threads."""

    def __init__(self, client: Any, keys: Keys) -> None:
        self._client = client
        self._keys = keys
        self._add = Script("add_fields")
        self.is_divided = isinstance(client, RedisCluster)
        """Whether the items are in buckets, or will be with the first write."""
        self._ready = not self.is_divided
        self.buckets: Sequence[ItemKeys] = keys.buckets if self.is_divided else (keys.items,)
        """In the order of ``item_bucket`` on a Cluster."""

    def bucket_of(self, stock_code: str) -> int:
        """The index of an item's bucket."""
        return item_bucket(stock_code) if self.is_divided else 0

    def readable(self) -> Sequence[ItemKeys]:
        """Where the items are read: under the keys of all items while those of a Cluster are not in buckets yet."""
        return (self._keys.items,) if self._moved() is False else self.buckets

    def prepare(self) -> None:
        """Move the items of a Cluster into buckets where that has not been done; before anything is written.

        Raises:
            StoreUnavailable, StoreRefused: Redis does not answer, or the buckets have other items already.
        """
        if moved := self._moved():
            return
        with translate_errors(client=self._client):
            if moved is False and self._were_used() and not self._moved():
                raise StoreRefused(
                    "Redis has items in buckets, and since then an older version has written some to the slot of all "
                    "items: stop all workers and run: nextbasket rebuild --from-scratch"
                )
            self._move()

    def forget(self) -> None:
        """Delete all items, and what of them has not been moved; whatever writes next begins anew."""
        with translate_errors(client=self._client):
            for bucket in dict.fromkeys((*self.buckets, self._keys.items)):
                for key in bucket.in_order:
                    self._client.expire(key, -1)
        self._ready = not self.is_divided

    def _moved(self) -> bool | None:
        """Whether the buckets are used; None where nothing has been written, False where items are to be moved.

        Raises:
            StoreUnavailable, StoreRefused: Redis does not answer, or another number of buckets is used.
        """
        if self._ready:
            return True
        with translate_errors(client=self._client):
            try:
                number = self._client.get(self._keys.items.state)
            except ResponseError as error:
                if "WRONGTYPE" not in str(error):
                    raise
                return False
        if number is None:
            return None
        if number != b"%d" % ITEM_BUCKETS:
            raise StoreRefused(
                f"Redis has the items in {number[:20]!r} buckets, and this version knows {ITEM_BUCKETS}: "
                "another version wrote them; run that one."
            )
        self._ready = True
        return True

    def _were_used(self) -> bool:
        """Whether something was written to a bucket since the items were moved there."""
        with self._client.pipeline(transaction=False) as pipeline:
            for bucket in self.buckets:
                pipeline.get(bucket.version)
            return any(read_number(version) > 1 for version in pipeline.execute() if version is not None)

    def _move(self) -> None:
        client, old = self._client, self._keys.items
        client.set(old.changed, "moved into buckets")
        try:
            for customer_ids in self._waiting():
                self._trim(customer_ids)
            for bucket, fields in self._fields():
                self._add(client, [bucket.state], *fields)
            if (now := client.get(old.now)) is not None:
                client.set(self.buckets[0].now, now, nx=True)
            for bucket in self.buckets:
                client.set(bucket.version, 1, nx=True)
            client.set(old.state, ITEM_BUCKETS)
        except ResponseError:
            if not self._moved():  # otherwise another process has moved them in the meantime
                raise
        self._ready = True

    def _waiting(self) -> Iterator[list[str]]:
        """The customers that have outboxes."""
        keys, found = self._keys, self._client.scan_iter(self._keys.all_outboxes, count=1000)
        for some in chunks(found, len, most=CUSTOMERS_PER_CALL, most_bytes=MAX_PART_BYTES):
            yield [keys.customer_of_outbox(key) for key in some]

    def _trim(self, customer_ids: Sequence[str]) -> None:
        """Remove the entries of outboxes that the items which are moved have; their markers are not needed then."""
        keys = self._keys
        with self._client.pipeline(transaction=False) as pipeline:
            for customer_id in customer_ids:
                pipeline.get(keys.items.done(customer_id))
            markers = pipeline.execute()
        with self._client.pipeline(transaction=False) as pipeline:
            for customer_id, sequence in zip(customer_ids, markers, strict=True):
                if sequence is not None:
                    pipeline.zremrangebyscore(keys.outbox(customer_id), "-inf", sequence)
            pipeline.execute()
        with self._client.pipeline(transaction=False) as pipeline:
            for customer_id in customer_ids:
                pipeline.expire(keys.items.done(customer_id), MARKER_SECONDS)
            pipeline.execute()

    def _fields(self) -> Iterator[tuple[ItemKeys, list[bytes]]]:
        """The items that are to be moved, code, state and so on, by bucket in portions."""
        found = self._client.hscan_iter(self._keys.items.state, count=FIELDS_PER_READ)
        for some in chunks(found, lambda field: len(field[1]), most=20 * FIELDS_PER_READ, most_bytes=MAX_PART_BYTES):
            by_bucket: dict[int, list[bytes]] = {}
            for code, state in some:
                by_bucket.setdefault(self.bucket_of(code.decode()), []).extend((code, state))
            for number, fields in by_bucket.items():
                yield self.buckets[number], fields
