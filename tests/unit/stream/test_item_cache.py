import pytest

from state.errors import DialectDiffers, StoreUnavailable
from state.events.invoice import Invoice, Line
from state.events.shop_dialect import ShopDialect
from state.settings import load_settings
from state.store.memory import MemoryStore
from state.store.protocol import ItemChanges
from stream.pipeline.item_cache import ItemCache


class RecordingStore(MemoryStore):
    """Records the version that each call of ``items`` starts from; is unavailable for ``down`` calls."""

    def __init__(self, down: int = 0) -> None:
        super().__init__(load_settings({}))
        self.down = down
        self.versions: list[int] = []

    def items(self, since: int = 0) -> ItemChanges:
        self.versions.append(since)
        if self.down:
            self.down -= 1
            raise StoreUnavailable("Redis does not answer")
        return super().items(since)

    def sell(self, number: str, date: int, *codes: str) -> None:
        self.apply([Invoice(number, "7", date, tuple(Line(code, 1_000, 1.0) for code in codes))], clock_ms=0)

    def rebuild(self) -> None:
        """Empties the store, as a Redis that lost its data."""
        MemoryStore.__init__(self, load_settings({}))


def test_an_empty_store_gives_an_empty_table() -> None:
    items = ItemCache(RecordingStore())
    items.refresh()
    assert (len(items.table), items.now) == (0, 0)


def test_a_refresh_reads_only_what_changed() -> None:
    store = RecordingStore()
    items = ItemCache(store)
    store.sell("1", 100, "A", "B")
    items.refresh()
    assert (items.table.codes, items.now) == (["A", "B"], 100)
    store.sell("2", 50, "C")
    items.refresh()
    assert (items.table.codes, items.now) == (["A", "B", "C"], 100)
    items.refresh()
    assert store.versions == [0, 1, 2]


def test_a_rebuilt_store_is_read_from_the_start() -> None:
    store = RecordingStore()
    items = ItemCache(store)
    for number in range(3):
        store.sell(str(number), 100, "OLD")
    items.refresh()
    store.rebuild()
    store.sell("1", 20, "NEW")
    items.refresh()
    assert (items.table.codes, items.now) == (["NEW"], 20)
    assert store.versions[-2:] == [3, 0]


def test_a_refresh_can_be_repeated_after_an_outage() -> None:
    store = RecordingStore(down=1)
    store.sell("1", 100, "A")
    items = ItemCache(store)
    with pytest.raises(StoreUnavailable):
        items.refresh()
    assert (items.table.codes, items.now) == ([], 0)
    items.refresh()
    assert (items.table.codes, items.now) == (["A"], 100)


def test_the_dialect_is_recorded_again_in_a_store_that_was_emptied() -> None:
    dialect, store = ShopDialect(name="uci"), RecordingStore()
    items = ItemCache(store, dialect)
    for number in range(3):
        store.sell(str(number), 100, "OLD")
    items.refresh()
    assert store.dialect() is None
    store.rebuild()
    store.sell("1", 20, "NEW")
    items.refresh()
    assert store.dialect() == dialect


def test_a_store_that_was_emptied_and_filled_in_another_dialect_is_refused() -> None:
    store = RecordingStore()
    items = ItemCache(store, ShopDialect(name="uci"))
    for number in range(3):
        store.sell(str(number), 100, "OLD")
    items.refresh()
    store.rebuild()
    store.record_dialect(ShopDialect(name="plain"))
    store.sell("1", 20, "NEW")
    with pytest.raises(DialectDiffers, match="NEXTBASKET_DIALECT=plain"):
        items.refresh()
