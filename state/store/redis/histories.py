"""Histories: applies events by reading customers, merging in this process, and writing by compare-and-set.

A customer that another worker has changed in between is read and merged again. Customers stay decoded between their
events, so that most batches take one round trip.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import msgspec
import redis

from state.domain.history import CustomerHistory
from state.errors import StoreUnavailable
from state.events.invoice import Invoice
from state.store.customer import AppliedEvents, apply_events, events_by_customer, result_of
from state.store.protocol import ApplyResult
from state.store.redis.cache import CustomerCache
from state.store.redis.client import translate_errors, unreadable
from state.store.redis.commit import MAX_CHANGES, Commit, make_commit
from state.store.redis.layout import Keys
from state.store.redis.script import Script
from state.store.redis.stored_customer import StoredCustomer, read_customer, write_customer
from state.store.redis.writers import ClusterWriter, SingleWriter

MAX_CUSTOMERS_PER_CALL = 500
MAX_BYTES_PER_CALL = 2_000_000
"""Of what is written in one script call; a single customer may exceed it."""
CUSTOMERS_PER_READ = 64
MAX_ATTEMPTS = 50
"""After so many conflicts with other workers in a row the batch is tried again later."""

Events = list[tuple[int, Invoice]]


class Histories:
    """Reads and changes the histories of ``RedisStore``; not to be shared between threads.

    Args:
        client: A connected client.
        keys: The names of the keys.
        writer: Writes the commits.
        window: Greatest number of invoices of a history.
        cap: Greatest number of lines of a history.
        cache_bytes: Bound of the customers that stay decoded.
    """

    def __init__(
        self, client: Any, keys: Keys, writer: SingleWriter | ClusterWriter, *, window: int, cap: int, cache_bytes: int
    ) -> None:
        self._client = client
        self._keys = keys
        self._writer = writer
        self._window = window
        self._cap = cap
        self._cache = CustomerCache(cache_bytes)
        self._customers_per_call = MAX_CUSTOMERS_PER_CALL
        self._remove = Script("remove")

    def apply(self, invoices: Sequence[Invoice], clock_ms: int) -> ApplyResult:
        """See ``Store.apply``."""
        by_customer = events_by_customer(invoices)
        applied: dict[str, AppliedEvents] = {}
        waiting = by_customer
        for _ in range(MAX_ATTEMPTS):
            others: set[str] = set()
            commits: list[Commit] = []
            for customer_id, stored in self._read(waiting):
                one = self._merge(customer_id, stored, waiting[customer_id], clock_ms)
                commits.append(make_commit(customer_id, stored, one, clock_ms, by_outbox=self._writer.by_outbox))
            for call in self._calls(commits):
                refused = self._write(call)
                applied.update({one.customer_id: one.applied for one in call if one.customer_id not in refused})
                others |= refused
            if not others:
                # Not after each call: the calls of a batch would grow until one times out again, and none would end.
                self._customers_per_call = min(MAX_CUSTOMERS_PER_CALL, self._customers_per_call + 1)
                return result_of(((customer_id, applied[customer_id]) for customer_id in by_customer), self._cap)
            for customer_id in others:
                self._cache.drop(customer_id)
            waiting = {customer_id: events for customer_id, events in waiting.items() if customer_id in others}
        raise StoreUnavailable(
            f"Other workers change the same customers at the same time, such as {next(iter(waiting))}; "
            "are invoices keyed by customer?"
        )

    def confirm(self, entries: Sequence[tuple[str, tuple[int, str | bool]]]) -> None:
        """Save what was published: customer and (revision, JSON or False)."""
        heads = self._writer.confirm(entries)
        for (customer_id, (revision, json)), head in zip(entries, heads, strict=True):
            stored = self._cache.get(customer_id)
            if stored is None or head is None:
                continue
            new = msgspec.structs.replace(stored.head, published=revision, writes=stored.head.writes + 1)
            if new.text().encode() != head:  # another worker has changed it
                self._cache.drop(customer_id)
                continue
            changed = msgspec.structs.replace(
                stored,
                expected=new.text(),
                head=new,
                record=msgspec.structs.replace(stored.record, published=revision),
                recommendation=json.encode() if isinstance(json, str) else stored.recommendation,
            )
            self._cache.put(customer_id, changed)

    def change(
        self,
        customer_id: str,
        edit: Callable[[CustomerHistory], CustomerHistory | None],
        clock_ms: int,
        *,
        new_revision: bool = True,
    ) -> CustomerHistory | None:
        """Replace a history by what a function makes of it; None deletes it, with its recommendation.

        The items do not change. Without a new revision, what was recommended for the history remains in force. Returns
        the history then.

        Raises:
            StoreUnavailable: Redis does not answer, or others change the customer all the time.
        """
        self._cache.drop(customer_id)
        for _ in range(MAX_ATTEMPTS):
            ((_, stored),) = self._read([customer_id], cached=False)
            before = stored.record.history
            if not stored.expected or (after := edit(before)) is before:
                return before if stored.expected else None
            if after is None:
                if self._delete(customer_id, stored):
                    return None
                continue
            revision = stored.record.revision
            if new_revision:
                revision = max(revision + 1, clock_ms)
            record = msgspec.structs.replace(stored.record, history=after, revision=revision)
            changed, fields, gone = write_customer(stored, record, sequence=stored.head.sequence)
            values: list[str | bytes] = [part for field in fields.items() for part in field]
            packed: tuple[Any, ...] = (stored.expected, len(fields), gone, 0, True, False, [], [])
            none = AppliedEvents(record, True, True, {}, [], 0, 0, 0, None, [], [])
            if not self._writer.commit([Commit(customer_id, stored, changed, none, packed, values, 0, 0, clock_ms)]):
                return after
        raise StoreUnavailable(f"Others change customer {customer_id} at the same time")

    def _delete(self, customer_id: str, stored: StoredCustomer) -> bool:
        """Delete a history that is still as it was read; returns whether it was."""
        keys = self._keys
        of_customer = [keys.history(customer_id), keys.recommendation(customer_id), keys.outbox(customer_id)]
        head, revision = ("", str(stored.head.revision)) if stored.superseded else (stored.expected, "")
        with translate_errors({1: f"customer {customer_id}"}, self._client):
            return int(self._remove(self._client, of_customer, head, revision)) >= 0

    def _read(self, customer_ids: Iterable[str], *, cached: bool = True) -> Iterator[tuple[str, StoredCustomer]]:
        """Some customers, those held in the cache and those read from Redis, in order."""
        found = {each: self._cache.get(each) if cached else None for each in customer_ids}
        missing = [customer_id for customer_id, stored in found.items() if stored is None]
        for start in range(0, len(missing), CUSTOMERS_PER_READ):
            found.update(self._load(missing[start : start + CUSTOMERS_PER_READ]))
        for customer_id, stored in found.items():
            assert stored is not None
            yield customer_id, stored

    def _load(self, customer_ids: Sequence[str]) -> dict[str, StoredCustomer]:
        with translate_errors(client=self._client), self._client.pipeline(transaction=False) as pipeline:
            for customer_id in customer_ids:
                pipeline.hgetall(self._keys.history(customer_id))
                pipeline.get(self._keys.recommendation(customer_id))
            replies = pipeline.execute(raise_on_error=False)
        loaded: dict[str, StoredCustomer] = {}
        for customer_id, fields, recommendation in zip(customer_ids, replies[::2], replies[1::2], strict=True):
            with translate_errors({1: f"customer {customer_id}"}, self._client):
                for reply in (fields, recommendation):
                    if isinstance(reply, Exception):
                        raise _of_customer(reply)
                loaded[customer_id] = read_customer(customer_id, fields, recommendation)
        return loaded

    def _merge(self, customer_id: str, stored: StoredCustomer, events: Events, clock_ms: int) -> AppliedEvents:
        try:
            record = stored.with_last()
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise unreadable(f"customer {customer_id}", error) from error
        return apply_events(record, events, window=self._window, cap=self._cap, clock_ms=clock_ms)

    def _calls(self, commits: Iterable[Commit]) -> Iterator[list[Commit]]:
        """The commits in script calls of bounded size and time; a commit is never split."""
        call: list[Commit] = []
        changes = size = 0
        for one in commits:
            if call and (
                len(call) >= self._customers_per_call
                or changes + one.changes > MAX_CHANGES
                or size + one.size > MAX_BYTES_PER_CALL
            ):
                yield call
                call, changes, size = [], 0, 0
            call.append(one)
            changes += one.changes
            size += one.size
        if call:
            yield call

    def _write(self, call: Sequence[Commit]) -> set[str]:
        """Write a call; after one that timed out the next ones are half as large."""
        try:
            others = self._writer.commit(call)
        except StoreUnavailable as error:
            if isinstance(error.__cause__, redis.exceptions.TimeoutError):
                self._customers_per_call = max(1, len(call) // 2)
            raise
        for one in call:
            if one.customer_id not in others and one.applied.accepted:
                after = msgspec.structs.replace(one.after, outbox=False) if one.after.outbox else one.after
                self._cache.put(one.customer_id, after, one.applied.invoices)
        return others


def _of_customer(error: Exception) -> Exception:
    """An error of a plain command, as the scripts report it where the key of a customer is the cause."""
    if isinstance(error, redis.exceptions.ResponseError) and "WRONGTYPE" in str(error):
        return redis.exceptions.ResponseError(f"NEXTBASKET 1 {error}")
    return error
