"""RedisStore: the store on Redis, one server or a Cluster (docs/reference/state.md has the layout of the keys)."""

from collections.abc import Iterator, Sequence, Set
from contextlib import suppress
from itertools import islice
from typing import Any

import msgspec
from redis.cluster import RedisCluster

from state.domain.history import CustomerHistory
from state.domain.identities import Identities
from state.domain.items import ItemState
from state.domain.merge import raise_watermark
from state.domain.recommendation import Recommendation
from state.errors import StateError, StoreRefused, StoreUnavailable
from state.events.dates import DAY
from state.events.invoice import Invoice
from state.events.shop_dialect import ShopDialect
from state.settings import Settings
from state.store.protocol import ApplyResult, CustomerSnapshot, CustomerState, ItemChanges, StoreMark
from state.store.redis.chunks import MAX_PART_BYTES, chunks
from state.store.redis.client import connect, disconnect, is_forbidden, translate_errors
from state.store.redis.commit import MAX_CHANGES
from state.store.redis.durability import Durability, read_durability
from state.store.redis.histories import Histories
from state.store.redis.identities import read_aliases
from state.store.redis.item_layout import ItemLayout
from state.store.redis.item_reader import ItemReader
from state.store.redis.layout import (
    Keys,
    pack,
    read_dialect,
    read_item,
    read_number,
    read_recommendation,
    write_dialect,
    write_item,
    write_recommendation,
)
from state.store.redis.parts import ClusterParts
from state.store.redis.removal import Removal
from state.store.redis.script import Script
from state.store.redis.stored_customer import read_customer, read_history, read_revision
from state.store.redis.writers import ClusterWriter, SingleWriter

CUSTOMERS_PER_CALL = 1_000
KEYS_PER_READ = 500


class RedisStore:
    """Implements ``Store``; not to be shared between threads.

    Args:
        settings: The URL of Redis, the namespace, and the bounds of a history.
        client: A client to use instead of one for the configured URL (no ``decode_responses``); ``close`` closes it.

    Raises:
        SettingsError: No URL is set, or it cannot be parsed.
    """

    def __init__(self, settings: Settings, client: Any = None) -> None:
        self._client: Any = connect(settings) if client is None else client
        self._keys = Keys(settings.key_prefix)
        self._clock_forbidden = False
        self._layout = ItemLayout(self._client, self._keys)
        self._removal = Removal(self._client, self._keys, self._layout)
        self._parts = ClusterParts(self._client, self._keys) if isinstance(self._client, RedisCluster) else None
        writer = ClusterWriter if isinstance(self._client, RedisCluster) else SingleWriter
        self._writer: ClusterWriter | SingleWriter = writer(
            self._client, self._keys, self._layout, ttl=settings.history_ttl_days * DAY
        )
        self._reader = ItemReader(self._client, self._layout, self._writer.bucket_changes)
        self._histories = Histories(
            self._client,
            self._keys,
            self._writer,
            window=settings.window,
            cap=settings.max_history_lines,
            cache_bytes=settings.customer_cache_mb * 1_000_000,
        )

    def apply(self, invoices: Sequence[Invoice], *, clock_ms: int) -> ApplyResult:
        """See ``Store.apply``."""
        return self._histories.apply(invoices, clock_ms)

    def confirm(self, recommendations: Sequence[Recommendation], unchanged: Sequence[tuple[str, int]] = ()) -> None:
        """See ``Store.confirm``."""
        entries: Iterator[tuple[str, tuple[int, str | bool]]] = iter(
            [
                *((one.customer_id, (one.revision, write_recommendation(one).decode())) for one in recommendations),
                *((customer_id, (revision, False)) for customer_id, revision in unchanged),
            ]
        )
        for chunk in chunks(entries, _size_of, most=CUSTOMERS_PER_CALL, most_bytes=MAX_PART_BYTES):
            self._histories.confirm(chunk)

    def history(self, customer_id: str) -> CustomerHistory | None:
        """See ``Store.history``."""
        key = self._keys.history(customer_id)
        with translate_errors(client=self._client, key=f"The key {key}"):
            fields = self._client.hgetall(key)
            return read_history(customer_id, fields) if fields else None

    def current_ids(self, customer_ids: Sequence[str]) -> list[str]:
        """See ``Store.current_ids``; needs no erasure key."""
        known = Identities(read_aliases(self._client, self._keys, customer_ids))
        return [known.current(each) for each in customer_ids]

    def customers(self, customer_ids: Sequence[str]) -> list[CustomerState | None]:
        """See ``Store.customers``."""
        replies = self._read("hgetall", [self._keys.history(customer_id) for customer_id in customer_ids])
        found: list[CustomerState | None] = []
        for customer_id, fields in zip(customer_ids, replies, strict=True):
            with translate_errors({1: f"customer {customer_id}"}):
                record = read_customer(customer_id, fields, None).record
            found.append(CustomerState(record.history, record.revision) if fields else None)
        return found

    def revisions(self, customer_ids: Sequence[str]) -> list[int]:
        """See ``Store.revisions``."""
        keys = [self._keys.history(customer_id) for customer_id in customer_ids]
        found = []
        for customer_id, values in zip(customer_ids, self._read("hmget", keys, ["m", "rev"]), strict=True):
            with translate_errors({1: f"customer {customer_id}"}):
                found.append(read_revision(*values))
        return found

    def snapshots(self, customer_ids: Sequence[str]) -> list[CustomerSnapshot | None]:
        """See ``Store.snapshots``."""
        if not customer_ids:
            return []
        key_of = "A key of a customer"  # the error of a pipeline names it
        with translate_errors(client=self._client, key=key_of), self._client.pipeline(transaction=False) as pipeline:
            for customer_id in customer_ids:
                pipeline.hgetall(self._keys.history(customer_id))
                pipeline.ttl(self._keys.history(customer_id))
                pipeline.get(self._keys.recommendation(customer_id))
            replies = pipeline.execute()
        found: list[CustomerSnapshot | None] = []
        for index, customer_id in enumerate(customer_ids):
            fields, ttl, json = replies[3 * index : 3 * index + 3]
            with translate_errors({1: f"customer {customer_id}"}):
                found.append(_snapshot(customer_id, fields, ttl, json) if fields else None)
        return found

    def reserve(self, customers: Sequence[tuple[str, int]], *, clock_ms: int) -> list[int | None]:
        """See ``Store.reserve``."""
        raised = [
            revision
            for start in range(0, len(customers), CUSTOMERS_PER_CALL)
            for revision in self._writer.reserve(customers[start : start + CUSTOMERS_PER_CALL], clock_ms)
        ]
        return [int(revision) if revision else None for revision in raised]

    def withdraw(self, customers: Sequence[tuple[str, int]]) -> None:
        """See ``Store.withdraw``."""
        for start in range(0, len(customers), CUSTOMERS_PER_CALL):
            self._writer.reserve(customers[start : start + CUSTOMERS_PER_CALL], False)

    def customer_ids(self) -> Iterator[list[str]]:
        """See ``Store.customer_ids``."""
        for keys in self._scan(self._keys.all_histories):
            yield [self._keys.customer(key) for key in keys]

    def histories(self) -> Iterator[CustomerHistory]:
        """See ``Store.histories``. Remembers the keys seen, because a scan may return a key twice."""
        for keys in self._scan(self._keys.all_histories):
            for key, fields in zip(keys, self._read("hgetall", keys), strict=True):
                if fields:  # otherwise it was deleted meanwhile
                    with translate_errors(client=self._client):
                        history = read_history(self._keys.customer(key), fields)
                    yield history

    def recommendation(self, customer_id: str) -> Recommendation | None:
        """See ``Store.recommendation``."""
        key = self._keys.recommendation(customer_id)
        with translate_errors(client=self._client, key=f"The key {key}"):
            json = self._client.get(key)
            return read_recommendation(json) if json else None

    def last_recommendations(self, customer_ids: Sequence[str]) -> list[Recommendation | None]:
        """See ``Store.last_recommendations``."""
        replies = self._read("get", [self._keys.recommendation(customer_id) for customer_id in customer_ids])
        found: list[Recommendation | None] = []
        for customer_id, json in zip(customer_ids, replies, strict=True):
            with translate_errors({1: f"customer {customer_id}"}):
                found.append(read_recommendation(json) if json else None)
        return found

    def recommendations(self) -> Iterator[Recommendation]:
        """See ``Store.recommendations``."""
        for keys in self._scan(self._keys.all_recommendations):
            for json in self._read("get", keys):
                if json:
                    with translate_errors(client=self._client):
                        recommendation = read_recommendation(json)
                    yield recommendation

    def items(self, since: int = 0) -> ItemChanges:
        """See ``Store.items``. A rebuilt Redis has a lower version than ``since``; then all items are returned."""
        with translate_errors(client=self._client):
            found = self._writer.changed_items.take(since) or self._reader.read(since)
            version, latest, packed_states = found
            states = {code.decode(): read_item(code.decode(), packed) for code, packed in packed_states.items()}
        return ItemChanges(states, version, latest)

    def now(self) -> int | None:
        """See ``Store.now``."""
        with translate_errors(client=self._client), self._client.pipeline(transaction=False) as pipeline:
            for bucket in self._layout.readable():
                pipeline.get(bucket.now)
            return max((read_number(date) for date in pipeline.execute() if date is not None), default=None)

    def mark(self) -> StoreMark:
        """See ``Store.mark``."""
        if self._parts is not None:
            with translate_errors(client=self._client):
                return self._parts.mark()
        with translate_errors(client=self._client), self._client.pipeline(transaction=False) as pipeline:
            pipeline.get(self._keys.run)
            pipeline.get(self._keys.items.version)
            run, version = pipeline.execute()
            return StoreMark(None if run is None else run.decode(), read_number(version or b"0"))

    def record_run(self, run: str) -> str:
        """See ``Store.record_run``."""
        with translate_errors(client=self._client):
            if self._parts is not None:
                self._parts.record(run)
            else:
                self._client.set(self._keys.run, run, nx=True)
        return self.mark().run or run

    def restore_parts(self) -> None:
        """See ``Store.restore_parts``."""
        if self._parts is not None:
            with translate_errors(client=self._client):
                self._parts.restore()

    def clock(self) -> float | None:
        """See ``Store.clock``; on a Cluster that of one primary."""
        client = self._client
        if self._clock_forbidden:
            return None
        try:
            with translate_errors(client=client):
                if isinstance(client, RedisCluster):
                    client = client.get_redis_connection(client.get_primaries()[0])  # type: ignore[no-untyped-call]
                seconds, microseconds = client.time()
        except StoreUnavailable as error:
            if not is_forbidden(error):
                raise
            self._clock_forbidden = True
            return None
        return int(seconds) + int(microseconds) / 1_000_000

    def dialect(self) -> ShopDialect | None:
        """See ``Store.dialect``."""
        with translate_errors(client=self._client):
            recorded = self._client.get(self._keys.dialect)
            return None if recorded is None else read_dialect(recorded)

    def record_dialect(self, dialect: ShopDialect) -> ShopDialect:
        """See ``Store.record_dialect``."""
        with translate_errors(client=self._client):
            self._client.set(self._keys.dialect, write_dialect(dialect), nx=True)
        return self.dialect() or dialect

    def forget_invoices(self, customer_id: str, invoice_nos: Sequence[str], *, clock_ms: int) -> None:
        """Remove invoices from a history, which gets a new revision, or is deleted where it has no other."""
        numbers = set(invoice_nos)

        def without(history: CustomerHistory) -> CustomerHistory | None:
            invoices = tuple(one for one in history.invoices if one.invoice_no not in numbers)
            if len(invoices) == len(history.invoices):
                return history
            return msgspec.structs.replace(history, invoices=invoices) if invoices else None

        self._histories.change(customer_id, without, clock_ms)

    def remove(self, customer_id: str) -> bool:
        """See ``Store.remove``."""
        return self._removal.remove(customer_id)

    def remove_merged(
        self, customer_id: str, revision: int, *, clock_ms: int, not_taken: Set[str] = frozenset()
    ) -> bool:
        """See ``Store.remove_merged``."""
        head = self._removal.head(customer_id)  # before the history: a change in between makes the two differ
        state = self.customers([customer_id])[0]
        if state is None or state.revision != revision:
            return False
        return self._removal.uncount(state.history, head, clock_ms, not_taken)

    def raise_watermark(self, customer_id: str, watermark: tuple[int, str], *, clock_ms: int) -> None:
        """See ``Store.raise_watermark``."""
        self._histories.change(
            customer_id, lambda history: raise_watermark(history, watermark), clock_ms, new_revision=False
        )

    def set_now(self, now: int, items: Sequence[ItemState]) -> None:
        """Set the greatest date accepted, also to an earlier one, and replace the states of some items.

        That takes several calls of bounded size. The date comes last, so that after an interruption it shows what is
        left to do.
        """
        self._layout.prepare()
        script = Script("attributes", "items", "set_items")
        by_bucket: dict[int, list[ItemState]] = {}
        for item in items:
            by_bucket.setdefault(self._layout.bucket_of(item.stock_code), []).append(item)
        buckets = [bucket.in_order for bucket in self._layout.buckets]
        with translate_errors(client=self._client):
            for number, some in by_bucket.items():
                states = ((item.stock_code, write_item(item)) for item in some)
                for part in chunks(states, lambda state: len(pack(state)), most=MAX_CHANGES, most_bytes=MAX_PART_BYTES):
                    script(self._client, buckets[number], pack((False, part)))
            for keys in buckets:
                script(self._client, keys, pack((now, [])))

    def probe(self) -> None:
        """Run each command that the store needs once, on keys of no customer, without an effect.

        Raises:
            StoreRefused: The user of Redis may not run one of them.
            StoreUnavailable: Redis does not answer, or cannot write now.
        """
        script = Script("probe")
        keys = self._keys
        try:
            with translate_errors(client=self._client):
                for key in keys.probes:  # one by one, because on a Cluster they are in several slots
                    script.send(self._client, [key])
                    script(self._client, [key])
                    self._client.zremrangebyscore(key, "-inf", "-inf")
                bucket = self._layout.buckets[0]
                self._client.xrange(bucket.changed, count=1)
                self._client.hscan(bucket.state, count=1)
                self._client.hmget(bucket.state, [""])
        except StoreUnavailable as error:
            if not is_forbidden(error):
                raise
            raise StoreRefused(
                f"The user of Redis lacks a permission ({error}); the commands it needs are listed in "
                "docs/how-to/secure-kafka-and-redis.md."
            ) from error

    def durability(self) -> list[Durability]:
        """Eviction policy and persistence of the server, or of each primary of a Cluster.

        Raises:
            StoreUnavailable, StoreRefused: Redis does not answer, or refuses the password.
        """
        with translate_errors(client=self._client):
            return read_durability(self._client)

    def empty(self) -> None:
        """Remove all histories and items, so that a rebuild counts no line twice. No worker may run meanwhile.

        Recommendations, and what is known of customers, stay.

        Raises:
            StoreUnavailable, StoreRefused: Redis does not answer, or refuses; some keys may be removed by then.
        """
        for pattern in (self._keys.all_outboxes, self._keys.all_done, self._keys.all_histories):
            for keys in self._scan(pattern):
                self._read("expire", keys, -1)  # a right that an erasure needs too
        self._layout.forget()

    def reconnect(self) -> None:
        """See ``Store.reconnect``."""
        disconnect(self._client)
        self._clock_forbidden = False

    def close(self) -> None:
        """See ``Store.close``."""
        with suppress(StateError):  # what is left to do saves memory only
            self._writer.flush()
        self._client.close()

    def _scan(self, pattern: str) -> Iterator[list[bytes]]:
        seen: set[bytes] = set()
        found = iter(self._client.scan_iter(match=pattern, count=1000))
        while True:
            with translate_errors(client=self._client):
                chunk = list(islice(found, KEYS_PER_READ))
            if not chunk:
                return
            new = [key for key in dict.fromkeys(chunk) if key not in seen]
            seen.update(new)
            if new:
                yield new

    def _read(self, command: str, keys: Sequence[bytes | str], *arguments: Any) -> list[Any]:
        key_of = "A key of a customer"  # the error of a pipeline names it
        with translate_errors(client=self._client, key=key_of), self._client.pipeline(transaction=False) as pipeline:
            for key in keys:
                getattr(pipeline, command)(key, *arguments)
            replies: list[Any] = pipeline.execute()
        return replies


def _snapshot(customer_id: str, fields: dict[bytes, bytes], ttl: int, json: bytes | None) -> CustomerSnapshot:
    record = read_customer(customer_id, fields, json).with_last()
    return CustomerSnapshot(
        history=record.history,
        revision=record.revision,
        published=record.published,
        last=record.last,
        expires_in=ttl if ttl >= 0 else None,
    )


def _size_of(entry: tuple[str, tuple[int, str | bool]]) -> int:
    """The bytes of a recommendation that is confirmed."""
    _, (_, json) = entry
    return len(json.encode()) if isinstance(json, str) else 0
