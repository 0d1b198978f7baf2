from state.settings import load_settings
from state.store.memory import MemoryStore
from state.store.protocol import StoreMark
from state.store.redis.durability import Durability
from stream.durability_watch import DurabilityWatch
from stream.loss_watch import LossWatch, loss
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
