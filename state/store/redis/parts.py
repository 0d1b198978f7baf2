"""Marks in every part of a Redis Cluster: a node that comes back empty, while others have their data, lacks its own.

The slots are divided into ``PARTS`` ranges, and each has a key. They are written after ``{items}:run``, and
``{items}:parts`` after them. So a part without its key is a loss where ``{items}:parts`` is there, or where others have
theirs and the run is gone.
"""

from collections.abc import Sequence
from functools import cache
from itertools import count
from typing import Any

from redis.crc import key_slot

from state.store.protocol import StoreMark
from state.store.redis.layout import Keys, read_number

PARTS = 64
"""Ranges of 256 slots. A node of a Cluster has some thousands."""
_SLOTS = 16_384


@cache
def part_tags() -> tuple[str, ...]:
    """A hash tag in each range of slots, in order."""
    found: dict[int, str] = {}
    for number in count():
        found.setdefault(key_slot(b"%d" % number) * PARTS // _SLOTS, str(number))
        if len(found) == PARTS:
            return tuple(found[part] for part in range(PARTS))
    raise AssertionError


class ClusterParts:
    """The mark of a store on a Redis Cluster.

    Args:
        client: A connected client of the Cluster.
        keys: The names of the keys.
    """

    def __init__(self, client: Any, keys: Keys) -> None:
        self._client = client
        self._keys = keys
        self._parts = [keys.part(tag) for tag in part_tags()]

    def mark(self) -> StoreMark:
        """The mark, with the number of parts that are lost.

        Errors are those of Redis. What is written later is read earlier, so that workers that are just writing it are
        not taken for a loss.
        """
        complete = self._get([self._keys.parts])[0]
        found = PARTS - self._get(self._parts).count(None)
        # The version before the items were divided into buckets, and those of the buckets.
        keys = [bucket.version for bucket in (self._keys.items, *self._keys.buckets)]
        run, *versions = self._get([self._keys.run, *keys])
        buckets = tuple(read_number(version or b"0") for version in versions)
        lost = PARTS - found if complete is not None or (run is None and found) else 0
        return StoreMark(
            None if run is None else run.decode(), sum(buckets), PARTS, lost, complete is not None, buckets
        )

    def record(self, run: str) -> None:
        """Record a run unless one is recorded, and the marks of the parts.

        Parts that are lost stay without theirs, because that is how other workers and ``rebuild`` know of the loss.
        """
        if self.mark().lost_parts:
            self._set([self._keys.parts])
            self._client.set(self._keys.run, run, nx=True)
            return
        self._client.set(self._keys.run, run, nx=True)
        self.restore()

    def restore(self) -> None:
        """Record the marks of all parts, because the data is complete again."""
        self._set(self._parts)
        self._set([self._keys.parts])

    def _get(self, keys: Sequence[str]) -> list[bytes | None]:
        with self._client.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.get(key)
            values: list[bytes | None] = pipeline.execute()
        return values

    def _set(self, keys: Sequence[str]) -> None:
        with self._client.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.set(key, "1", nx=True)
            pipeline.execute()
