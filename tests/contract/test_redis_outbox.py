"""The outbox of a customer, on a Cluster and for large events on every Redis: drained once, whatever crashes."""

import msgspec
import pytest

from state import HALF_LIVES, Settings, StoreUnavailable
from state.store.memory import MemoryStore
from state.store.redis.outbox import MARKER_SECONDS, Outboxes
from state.store.redis.store import RedisStore
from tests.contract.conftest import RedisStores, item_keys
from tests.contract.test_order import same_items
from tests.contract.test_store import CLOCK, invoice, line

BATCH = [invoice("1", 100, customer="first"), invoice("1", 100, customer="c"), invoice("1", 100, customer="last")]


class TestOutbox:
    """The items change by way of an outbox; a crash at any point counts a sale once."""

    @pytest.fixture
    def outbox_store(self, redis_stores: RedisStores, monkeypatch: pytest.MonkeyPatch) -> RedisStore:
        """A store that sends all changes of items by way of the outbox, as all do with large events."""
        monkeypatch.setattr("state.store.redis.commit.MAX_CHANGES", 0)
        return redis_stores()

    @staticmethod
    def outbox(store: RedisStore) -> int:
        return sum(int(store._client.zcard(store._keys.outbox(name))) for name in ("first", "c", "last"))

    @staticmethod
    def expected() -> MemoryStore:
        memory = MemoryStore(Settings())
        memory.apply(BATCH, clock_ms=CLOCK)
        return memory

    def test_it_is_empty_after_a_batch_and_the_markers_go(self, outbox_store: RedisStore) -> None:
        outbox_store.apply(BATCH, clock_ms=CLOCK)
        assert self.outbox(outbox_store) == 0
        outbox_store._writer.flush()  # on a Cluster the next call lets them expire
        assert 0 < outbox_store._client.ttl(item_keys(outbox_store, "A").done("c")) <= MARKER_SECONDS
        assert same_items(outbox_store.items().states, self.expected().items().states)

    def test_a_crash_before_the_items(self, outbox_store: RedisStore, monkeypatch: pytest.MonkeyPatch) -> None:
        with monkeypatch.context() as crash:
            crash.setattr(Outboxes, "_apply", _crash)
            with pytest.raises(StoreUnavailable):
                outbox_store.apply(BATCH, clock_ms=CLOCK)
        assert (self.outbox(outbox_store), outbox_store.items().states) == (3, {})
        outbox_store.apply(BATCH, clock_ms=CLOCK)
        assert self.outbox(outbox_store) == 0
        assert same_items(outbox_store.items().states, self.expected().items().states)

    def test_a_crash_before_the_trim(self, outbox_store: RedisStore, monkeypatch: pytest.MonkeyPatch) -> None:
        with monkeypatch.context() as crash:
            crash.setattr(Outboxes, "_trim", _crash)
            with pytest.raises(StoreUnavailable):
                outbox_store.apply(BATCH, clock_ms=CLOCK)
        assert self.outbox(outbox_store) == 3
        assert outbox_store._client.ttl(item_keys(outbox_store, "A").done("c")) == -1  # for as long as it takes
        outbox_store.apply(BATCH, clock_ms=CLOCK)
        assert self.outbox(outbox_store) == 0
        assert same_items(outbox_store.items().states, self.expected().items().states)

    def test_a_slow_worker_that_read_the_outbox_before_the_trim(
        self, outbox_store: RedisStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        slow = []
        with monkeypatch.context() as hold:
            hold.setattr(Outboxes, "drain_from", lambda _, waiting: slow.append(waiting))
            outbox_store.apply(BATCH, clock_ms=CLOCK)
        outbox_store.apply(BATCH, clock_ms=CLOCK)
        outbox_store._writer._outboxes.drain_from(slow[0])
        assert same_items(outbox_store.items().states, self.expected().items().states)

    def test_an_outbox_filled_before_there_were_shares(
        self, outbox_store: RedisStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as crash:
            crash.setattr(Outboxes, "_apply", _crash)
            with pytest.raises(StoreUnavailable):
                outbox_store.apply([invoice("1", 100, line("A"))], clock_ms=CLOCK)
        outbox = outbox_store._keys.outbox("c")
        ((entry, score),) = outbox_store._client.zrange(outbox, 0, -1, withscores=True)
        sequence, now, _, _ = msgspec.msgpack.decode(entry)
        outbox_store._client.delete(outbox)
        old = (sequence, now, [[100, "A", 2.0, "ITEM A"]], [["A", 100, 1]])
        outbox_store._client.zadd(outbox, {msgspec.msgpack.encode(old): score})
        outbox_store.apply([invoice("1", 100, line("A"))], clock_ms=CLOCK)
        state = outbox_store.items().states["A"]
        assert (state.demand, state.sold, state.shares) == ((1.0,) * len(HALF_LIVES), 1, (0.0, 0.0, 0.0))

    def test_a_history_rebuilt_after_a_loss_counts_on(self, outbox_store: RedisStore) -> None:
        outbox_store.apply(BATCH, clock_ms=CLOCK)
        outbox_store._client.delete(outbox_store._keys.history("c"))
        outbox_store.apply([invoice("2", 200)], clock_ms=CLOCK + 1)
        outbox_store.apply([invoice("2", 200, customer="c")], clock_ms=CLOCK + 2)
        assert outbox_store.items().states["A"].sold == 4


def _crash(*_: object) -> None:
    raise StoreUnavailable("the worker was killed here")
