import time

import pytest

from state.domain.identities import Erasure, Pseudonyms
from state.events.invoice import Invoice, Line
from state.settings import load_settings
from state.store.identities import MemoryIdentities
from state.store.memory import MemoryStore
from state.store.protocol import StoreMark
from state.store.redis.durability import Durability
from stream.durability_watch import DurabilityWatch
from stream.loss_watch import LossWatch, loss, removed_customers
from stream.pipeline.recent_writes import PER_SECOND, SECONDS, RecentWrites
from tests.services.group import wait_until
from tests.unit.stream.harness import ProcessorHarness, invoice


def test_an_emptied_store_a_new_one_and_one_that_went_back_are_losses() -> None:
    before = StoreMark("a", 1_200)
    assert "at version 1,200, and it is empty" in (loss(before, StoreMark(None, 0)) or "")
    assert "was filled again and is at version 1,300" in (loss(before, StoreMark("b", 1_300)) or "")
    assert "lost its last 3 changes" in (loss(before, StoreMark("a", 1_197)) or "")
    assert loss(before, StoreMark("a", 1_201)) is None
    assert loss(before, before) is None


def test_a_store_of_a_version_without_a_mark_has_lost_nothing() -> None:
    assert loss(StoreMark(None, 0), StoreMark(None, 1_200)) is None


def test_an_emptied_store_is_reported_once_and_marked_again() -> None:
    stores = [MemoryStore(load_settings({}))]
    losses: list[int] = []
    watch = LossWatch(lambda: stores[-1], lambda: losses.append(1), interval_s=0.01)
    watch.start(committed=0)
    first = stores[0].mark().run
    assert first is not None
    stores.append(MemoryStore(load_settings({})))
    wait_until(lambda: bool(losses), "the loss is noticed", 5)
    wait_until(lambda: stores[-1].mark().run not in (None, first), "the store is marked again", 5)
    watch.stop()
    assert losses == [1]


def test_a_store_without_the_last_writes_is_a_loss_though_its_version_is_higher(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def written_by(events: list[tuple[str, int]]) -> MemoryStore:
        store = MemoryStore(load_settings({}))
        store.record_run("the same")
        for number, (customer, clock) in enumerate(events):
            store.apply([Invoice(str(number), customer, number, (Line("A", 1_000, 1.0),))], clock_ms=clock)
        return store

    before = written_by([("7", 1), ("8", 1), ("8", 2)])
    replica = written_by([("7", 1), ("8", 1), *[("9", 3)] * 9])
    assert replica.mark().version > before.mark().version
    stores, losses, written = [before], list[int](), RecentWrites()
    watch = LossWatch(lambda: stores[-1], lambda: losses.append(1), written, interval_s=0.01)
    watch.start()
    written.add(zip("78", before.revisions("78"), strict=True))
    written.add([])
    stores.append(replica)
    wait_until(lambda: bool(losses), "the loss is noticed", 5)
    watch.stop()
    assert losses == [1]
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith(
        "Redis lost its last writes: of 2 histories that this worker wrote in the last seconds, 1 are"
    )


def test_a_customer_who_was_erased_or_merged_is_no_loss() -> None:
    pseudonyms = Pseudonyms("k" * 32)
    identities = MemoryIdentities(pseudonyms)
    identities.erase({pseudonyms.of("erased"): Erasure(1)}, ())
    identities.alias("old", "new")
    assert removed_customers(identities, ["erased", "old", "new", "other"]) == {"erased", "old"}
    store, losses, written = MemoryStore(load_settings({})), list[int](), RecentWrites()
    written.add([("erased", 1), ("old", 1)])
    watch = LossWatch(
        lambda: store,
        lambda: losses.append(1),
        written,
        lambda ids: removed_customers(identities, ids),
        interval_s=0.01,
    )
    watch.start()
    time.sleep(0.1)
    assert not losses
    written.add([("other", 1)])
    wait_until(lambda: bool(losses), "the other one is missing", 5)
    watch.stop()


def test_the_last_writes_of_each_second_are_remembered() -> None:
    seconds = [100.0]
    written = RecentWrites(lambda: seconds[-1])
    written.add((str(number), 1) for number in range(1_000))
    written.add([("999", 2)])
    assert len(written.revisions()) == PER_SECOND
    assert written.revisions()["999"] == 2
    seconds.append(110.0)
    written.add([("999", 3), ("a", 1)])
    assert len(written.revisions()) == PER_SECOND + 1
    assert written.revisions()["999"] == 3
    seconds.append(100.0 + SECONDS + 1)
    assert written.revisions() == {"999": 3, "a": 1}
    written.clear()
    assert not written.revisions()


def test_an_empty_store_of_a_group_that_has_read_before_is_a_loss() -> None:
    losses: list[int] = []
    watch = LossWatch(lambda: MemoryStore(load_settings({})), lambda: losses.append(1), interval_s=60)
    watch.start(committed=400)
    watch.stop()
    assert losses == [1]


def test_evicted_keys_are_counted_from_look_to_look_and_over_a_restart() -> None:
    evicted = [5, 5, 9, 2]
    counted: list[int] = []
    watch = DurabilityWatch(
        lambda: [Durability("noeviction", True, evicted.pop(0))], lambda _: None, counted.append, interval_s=0.01
    )
    watch.start([Durability("noeviction", True, 3)])
    wait_until(lambda: not evicted, "all looks are taken", 5)
    watch.stop()
    assert counted == [2, 4, 2]


def test_all_items_are_read_again_after_a_loss() -> None:
    harness = ProcessorHarness()
    harness.process(invoice("1", "7", "2011-12-09T10:00:00Z", "A"))
    store = harness.store
    assert isinstance(store, MemoryStore)
    del store._items["A"], store._item_versions["A"]  # lost, without a lower version
    harness.process(invoice("2", "7", "2011-12-09T11:00:00Z", "B"))
    assert {item["stock_code"] for item in harness.recommendations()[-1]["items"]} == {"A", "B"}
    harness.processor.store_lost_data()
    harness.process(invoice("3", "8", "2011-12-09T12:00:00Z", "B", "C"))
    assert {item["stock_code"] for item in harness.recommendations()[-1]["items"]} == {"B", "C"}
