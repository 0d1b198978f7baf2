"""ItemReader: reads the items that changed since a version, from one bucket or from the buckets of a Cluster."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from redis.exceptions import ResponseError

from state.store.redis.bucket_changes import BucketChanges
from state.store.redis.item_layout import ItemLayout
from state.store.redis.layout import ItemKeys, read_codes, read_number

CODES_PER_READ = 500

Found = tuple[int, int | None, dict[bytes, bytes]]
"""Version, greatest date, and packed items by stock code."""


class ItemReader:
    """Reads items; not to be shared between threads. Errors are those of Redis.

    Args:
        client: A connected client.
        layout: Where the items are.
        changes: What the writer of the buckets has found.
    """

    def __init__(self, client: Any, layout: ItemLayout, changes: BucketChanges) -> None:
        self._client = client
        self._layout = layout
        self._changes = changes

    def read(self, since: int) -> Found:
        """What changed after a version (0: all). The version of buckets is the sum of theirs.

        Those of the last ``MAX_READINGS`` versions that this reader returned are known bucket by bucket; for another
        one all items are read.
        """
        if not self._layout.is_divided:
            return self._of({self._layout.buckets[0]: since})[0]
        if (buckets := self._layout.readable()) is not self._layout.buckets:
            try:
                return self._not_moved(buckets[0], since)
            except ResponseError:
                if self._layout.readable() is not self._layout.buckets:  # otherwise they were moved meanwhile
                    raise
        wanted = self._changes.unknown(since)
        found = self._of({self._layout.buckets[number]: version for number, version in wanted.items()})
        for number, (version, date, states) in zip(wanted, found, strict=True):
            self._changes.add_read(number, version, date, states)
        return self._changes.take()

    def _of(self, buckets: Mapping[ItemKeys, int]) -> list[Found]:
        """What changed in each of some buckets after a version."""
        if not buckets:
            return []
        with self._client.pipeline(transaction=False) as pipeline:
            for bucket, since in buckets.items():
                # The version first: later changes have a higher one and are read next time.
                pipeline.get(bucket.version)
                pipeline.get(bucket.now)
                pipeline.xrange(bucket.changed, min=f"({since}-0")
            replies = pipeline.execute()
        found: list[Found] = []
        codes_of: dict[int, list[bytes]] = {}
        for number, (bucket, since) in enumerate(buckets.items()):
            held, date, log = replies[3 * number : 3 * number + 3]
            version = read_number(held or b"0")
            states: dict[bytes, bytes] = {}
            if 0 < since < version and _is_complete(log, since, version):
                codes_of[number] = list({code.encode() for _, fields in log for code in read_codes(fields[b"codes"])})
            elif version != since:  # the log of changes does not reach back
                states.update(self._all_items(bucket))
            found.append((version, None if date is None else read_number(date), states))
        keys = [bucket.state for bucket in buckets]
        for number, code, state in self._items_of((keys[number], number, codes) for number, codes in codes_of.items()):
            found[number][2][code] = state
        return found

    def _not_moved(self, bucket: ItemKeys, since: int) -> Found:
        """All items of a Cluster that are not in buckets yet, none at the same version; their log may be gone."""
        held, date = self._client.get(bucket.version), self._client.get(bucket.now)
        version = read_number(held or b"0")
        states = {} if version == since else dict(self._all_items(bucket))
        return version, None if date is None else read_number(date), states

    def _all_items(self, bucket: ItemKeys) -> Iterator[tuple[bytes, bytes]]:
        yield from self._client.hscan_iter(bucket.state, count=CODES_PER_READ)

    def _items_of(self, wanted: Iterable[tuple[str, int, Sequence[bytes]]]) -> Iterator[tuple[int, bytes, bytes]]:
        """Some items of hashes, with their numbers, code and state; in few round trips, of bounded size."""
        parts = [
            (key, number, codes[start : start + CODES_PER_READ])
            for key, number, codes in wanted
            for start in range(0, len(codes), CODES_PER_READ)
        ]
        if len(parts) == 1:
            replies = [self._client.hmget(parts[0][0], parts[0][2])]
        elif parts:
            with self._client.pipeline(transaction=False) as pipeline:
                for key, _, codes in parts:
                    pipeline.hmget(key, codes)
                replies = pipeline.execute()
        for index, (_, number, codes) in enumerate(parts):
            for code, state in zip(codes, replies[index], strict=True):
                if state is not None:
                    yield number, code, state


def _is_complete(log: Sequence[tuple[bytes, Any]], since: int, version: int) -> bool:
    """Whether the log of changes after a version has each version up to another one.

    It may have later ones too, and may have been trimmed at its beginning in between.
    """
    return len(log) >= version - since and int(log[0][0].partition(b"-")[0]) == since + 1
