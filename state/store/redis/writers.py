"""Writes commits to a single Redis, in one script call with their changes of items, or to a Cluster, one by one."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from state.domain.items import HALF_LIVES, SHARE_HALF_LIVES
from state.store.redis.bucket_changes import BucketChanges
from state.store.redis.changed_items import ChangedItems
from state.store.redis.client import translate_errors
from state.store.redis.commit import Commit
from state.store.redis.item_layout import ItemLayout
from state.store.redis.layout import Keys, pack
from state.store.redis.outbox import PORTION, Outboxes
from state.store.redis.script import Script

Confirmation = tuple[int, str | bool]
"""Revision, and the recommendation as JSON, False where it did not change."""


class SingleWriter:
    """The writer of ``RedisStore`` for a single server."""

    by_outbox = False

    def __init__(self, client: Any, keys: Keys, layout: ItemLayout, *, ttl: int) -> None:
        self._client = client
        self._keys = keys
        self._ttl = ttl
        self._commit = Script("attributes", "items", "customer", "commit")
        self._confirm = Script("customer", "confirm")
        self._reserve = Script("customer", "reserve")
        self._outboxes = Outboxes(client, keys, layout.buckets, layout.bucket_of)
        self.changed_items = ChangedItems()
        self.bucket_changes = BucketChanges(0)

    def commit(self, commits: Sequence[Commit]) -> set[str]:
        """Write some commits; returns the customers that were not as expected, for whom nothing was written."""
        keys = [
            *self._keys.items.in_order,
            *_keys_of(self._keys.history, self._keys.outbox, (one.customer_id for one in commits)),
        ]
        packed = pack((self._ttl, (HALF_LIVES, SHARE_HALF_LIVES), [one.packed for one in commits]))
        values = [value for one in commits for value in one.values]
        with translate_errors(_names([one.customer_id for one in commits]), self._client):
            reply: list[Any] = self._commit(self._client, keys, packed, *values)
        left_alone, *changed = reply
        if left_alone == -1:  # the items are too large for one call
            half = len(commits) // 2
            parts = (commits[:half], commits[half:]) if half else ([commits[0].by_outbox()],)
            return {customer_id for part in parts for customer_id in self.commit(part)}
        others = {commits[number].customer_id for number in left_alone}
        waiting = [one.customer_id for one in commits if one.after.outbox and one.customer_id not in others]
        self._outboxes.drain(waiting)
        if waiting:
            self.changed_items.forget()
        elif changed:
            self.changed_items.add(*changed)
        return others

    def confirm(self, entries: Sequence[tuple[str, Confirmation]]) -> list[bytes | None]:
        """Save what was published; returns the new heads, None where nothing was saved."""
        customer_ids = [customer_id for customer_id, _ in entries]
        keys = list(_keys_of(self._keys.history, self._keys.recommendation, customer_ids))
        packed = pack((self._ttl, [entry for _, entry in entries]))
        with translate_errors(_names(customer_ids), self._client):
            heads: list[bytes | None] = self._confirm(self._client, keys, packed)
        return heads

    def reserve(self, customers: Sequence[tuple[str, int]], clock_ms: int | bool) -> list[bytes]:
        """Runs reserve.lua for customers and their revisions."""
        customer_ids = [customer_id for customer_id, _ in customers]
        keys = list(_keys_of(self._keys.history, self._keys.recommendation, customer_ids))
        with translate_errors(_names(customer_ids), self._client):
            packed = pack((clock_ms, [revision for _, revision in customers]))
            return list(self._reserve(self._client, keys, packed))

    def flush(self) -> None:
        """Does nothing: no marker of an outbox waits for a later call."""


class ClusterWriter:
    """The writer of ``RedisStore`` for a Cluster, where the items are in another slot than a customer."""

    by_outbox = True

    def __init__(self, client: Any, keys: Keys, layout: ItemLayout, *, ttl: int) -> None:
        self._client = client
        self._keys = keys
        self._ttl = ttl
        self._commit = Script("customer", "commit_one")
        self._confirm = Script("customer", "confirm")
        self._reserve = Script("customer", "reserve")
        self._layout = layout
        self.bucket_changes = BucketChanges(len(layout.buckets))
        self._outboxes = Outboxes(client, keys, layout.buckets, layout.bucket_of, self.bucket_changes)
        self.changed_items = ChangedItems()

    def commit(self, commits: Sequence[Commit]) -> set[str]:
        """Write some commits; returns the customers that were not as expected, for whom nothing was written."""
        self._layout.prepare()
        keys = self._keys
        calls: list[tuple[str, list[str], list[str | bytes]]] = [
            (
                one.customer_id,
                [keys.history(one.customer_id), keys.outbox(one.customer_id)],
                [pack((self._ttl, PORTION, one.packed)), *one.values],
            )
            for one in commits
        ]
        others: set[str] = set()
        outboxes: dict[str, Sequence[bytes]] = {}
        for customer_id, (is_other, *entries) in self._each(self._commit, calls):
            if is_other:
                others.add(customer_id)
            else:
                outboxes[customer_id] = entries
        self._outboxes.drain_from(outboxes)
        return others

    def confirm(self, entries: Sequence[tuple[str, Confirmation]]) -> list[bytes | None]:
        """Save what was published; returns the new heads, None where nothing was saved."""
        calls: list[tuple[str, list[str], list[str | bytes]]] = [
            (
                customer_id,
                [self._keys.history(customer_id), self._keys.recommendation(customer_id)],
                [pack((self._ttl, [entry]))],
            )
            for customer_id, entry in entries
        ]
        return [heads[0] for _, heads in self._each(self._confirm, calls)]

    def reserve(self, customers: Sequence[tuple[str, int]], clock_ms: int | bool) -> list[bytes]:
        """Runs reserve.lua for customers and their revisions."""
        calls: list[tuple[str, list[str], list[str | bytes]]] = [
            (
                customer_id,
                [self._keys.history(customer_id), self._keys.recommendation(customer_id)],
                [pack((clock_ms, [revision]))],
            )
            for customer_id, revision in customers
        ]
        return [raised for _, (raised,) in self._each(self._reserve, calls)]

    def flush(self) -> None:
        """Let the markers of outboxes expire that no later call did; see ``Outboxes``."""
        self._outboxes.flush()

    def _each(
        self, script: Script, calls: Sequence[tuple[str, list[str], list[str | bytes]]]
    ) -> Iterator[tuple[str, Any]]:
        """Runs a script once for each customer, pipelined; yields customer and reply."""
        with translate_errors(client=self._client):
            replies = script.each(self._client, [(keys, arguments) for _, keys, arguments in calls])
        for (customer_id, _, _), reply in zip(calls, replies, strict=True):
            with translate_errors({1: f"customer {customer_id}"}, self._client):
                if isinstance(reply, Exception):
                    raise reply
            yield customer_id, reply


def _keys_of(one: Any, other: Any, customer_ids: Iterable[str]) -> Iterator[str]:
    """Two keys of each customer."""
    for customer_id in customer_ids:
        yield one(customer_id)
        yield other(customer_id)


def _names(customer_ids: Sequence[str]) -> dict[int, str]:
    """The customer of each number in an error of a script."""
    return {number: f"customer {customer_id}" for number, customer_id in enumerate(customer_ids, 1)}
