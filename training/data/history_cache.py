"""History cache: the histories of a log's customers, the most recently used in memory, the others in a file."""

from collections import OrderedDict
from collections.abc import Iterator, MutableMapping

import msgspec

from state.domain.history import CustomerHistory
from training.data.temporary_database import TemporaryDatabase

CAPACITY = 5_000
"""Histories in memory: about 20 kB each in a shop such as UCI's."""

_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(CustomerHistory)


class HistoryCache(MutableMapping[str, CustomerHistory]):
    """Histories by customer id, in the order in which the customers were added; none can be deleted.

    In memory are the ids of all, and the ``capacity`` histories used last; the others are in a temporary SQLite
    database, a file without a name that ends with the process.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._row: dict[str, int] = {}
        self._in_memory: OrderedDict[str, CustomerHistory] = OrderedDict()
        self._database = TemporaryDatabase()
        self._database.execute("CREATE TABLE history (row INTEGER PRIMARY KEY, content BLOB)")

    def __getitem__(self, customer: str) -> CustomerHistory:
        row = self._row[customer]
        history = self._in_memory.get(customer)
        if history is None:
            (content,) = self._database.execute("SELECT content FROM history WHERE row = ?", (row,)).fetchone()
            history = _DECODER.decode(content)
        self._use(customer, history)
        return history

    def __setitem__(self, customer: str, history: CustomerHistory) -> None:
        self._row.setdefault(customer, len(self._row))
        self._use(customer, history)

    def __delitem__(self, customer: str) -> None:
        raise TypeError("A log only grows: no history can be deleted.")

    def __iter__(self) -> Iterator[str]:
        return iter(self._row)

    def __len__(self) -> int:
        return len(self._row)

    def __contains__(self, customer: object) -> bool:
        return customer in self._row

    def _use(self, customer: str, history: CustomerHistory) -> None:
        """Put a history into memory, and write the one that was used longest ago to the file where memory is full."""
        self._in_memory[customer] = history
        self._in_memory.move_to_end(customer)
        if len(self._in_memory) > self._capacity:
            evicted, content = self._in_memory.popitem(last=False)
            row = (self._row[evicted], _ENCODER.encode(content))
            self._database.execute("INSERT OR REPLACE INTO history VALUES (?, ?)", row)
