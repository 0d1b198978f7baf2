"""Histories: one of each customer of a log, the ones last touched in memory, the others in a file."""

from collections import OrderedDict
from collections.abc import Iterator, MutableMapping

import msgspec

from state.domain.history import CustomerHistory
from training.data.temporary_database import TemporaryDatabase

MOST = 5_000
"""Histories in memory: about 20 kB each in a shop such as UCI's."""

_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(CustomerHistory)


class HistoryCache(MutableMapping[str, CustomerHistory]):
    """The history of each customer by customer id, in the order in which customers came; none can be taken out.

    It holds ids for all, and the ``most`` histories that were touched last; the rest lies in a temporary database of
    SQLite, a file without a name that is gone with the process.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._place: dict[str, int] = {}
        self._held: OrderedDict[str, CustomerHistory] = OrderedDict()
        self._database = TemporaryDatabase()
        self._database.execute("CREATE TABLE history (place INTEGER PRIMARY KEY, content BLOB)")

    def __getitem__(self, customer: str) -> CustomerHistory:
        place = self._place[customer]
        held = self._held.get(customer)
        if held is None:
            found = self._database.execute("SELECT content FROM history WHERE place = ?", (place,)).fetchone()
            held = _DECODER.decode(found[0])
        self._hold(customer, held)
        return held

    def __setitem__(self, customer: str, history: CustomerHistory) -> None:
        self._place.setdefault(customer, len(self._place))
        self._hold(customer, history)

    def __delitem__(self, customer: str) -> None:
        raise TypeError("A log only grows: no history is taken out.")

    def __iter__(self) -> Iterator[str]:
        return iter(self._place)

    def __len__(self) -> int:
        return len(self._place)

    def __contains__(self, customer: object) -> bool:
        return customer in self._place

    def _hold(self, customer: str, history: CustomerHistory) -> None:
        self._held[customer] = history
        self._held.move_to_end(customer)
        if len(self._held) > self._most:
            oldest, its = self._held.popitem(last=False)
            row = (self._place[oldest], _ENCODER.encode(its))
            self._database.execute("INSERT OR REPLACE INTO history VALUES (?, ?)", row)
