"""An index of who is due in memory."""

from collections.abc import Iterator, Sequence

from state.store.protocol import DueEntry, DueShard


class MemoryDueIndex:
    """An index in memory, in two shards; counts the entries that were written."""

    def __init__(self) -> None:
        self.entries: dict[str, DueEntry] = {}
        self.complete = False
        self.written: list[str] = []

    def record(self, entries: Sequence[DueEntry]) -> None:
        for entry in entries:
            stored = self.entries.get(entry.customer_id)
            if stored is None or stored.revision <= entry.revision:
                self.written.append(entry.customer_id)
                self.entries[entry.customer_id] = entry
                if not entry.value:
                    del self.entries[entry.customer_id]

    def shards(self, head_size: int, *, with_rest: bool) -> Iterator[DueShard]:
        for parity in (0, 1):
            found = [each for each in self.entries.values() if len(each.customer_id) % 2 == parity]
            heads = b"".join(each.value[:head_size] for each in found)
            rests = [each.value[head_size:].decode() for each in found] if with_rest else None
            yield DueShard([each.customer_id for each in found], heads, rests)

    def forget(self, customer_ids: Sequence[str]) -> int:
        return sum(self.entries.pop(customer_id, None) is not None for customer_id in customer_ids)

    def is_complete(self) -> bool:
        return self.complete

    def set_complete(self, complete: bool) -> None:
        self.complete = complete
