"""CustomerCache: the customers that a worker has read or written last, decoded, within a bound of memory."""

import sys
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from state.domain.history import HeldLine, line_count
from state.events.invoice import Invoice, Line
from state.store.redis.stored_customer import StoredCustomer

LINES_OF_A_CUSTOMER = 20
LINES_OF_AN_INVOICE = 2
BYTES_OF_A_LINE = 200
"""What a line takes in memory, with its columns; what else a customer takes is counted as lines."""
BYTES_OF_A_TEXT = 80
"""Bytes of a stock code or an id that are counted with its line; only longer ones are counted apart."""
JSON_OF_A_LINE = 48
"""Bytes of a line with a stock code of that size, as JSON."""


class _Held(NamedTuple):
    """A customer, the bytes of its long texts, and what it counts as, in lines."""

    stored: StoredCustomer
    text: int
    lines: int


class CustomerCache:
    """Stored customers by id; the one used least recently is dropped first. Not to be shared between threads."""

    def __init__(self, max_bytes: int) -> None:
        self._max_lines = max_bytes // BYTES_OF_A_LINE
        self._lines = 0
        self._customers: OrderedDict[str, _Held] = OrderedDict()

    def get(self, customer_id: str) -> StoredCustomer | None:
        """The customer, None where it is not held."""
        found = self._customers.get(customer_id)
        if found is None:
            return None
        self._customers.move_to_end(customer_id)
        return found.stored

    def put(self, customer_id: str, stored: StoredCustomer, added: Iterable[Invoice] = ()) -> None:
        """Hold a customer, unless it is larger than the bound.

        ``added``: the invoices that it got since it was put last; only their texts are counted then, because a history
        may be large.
        """
        before = self._customers.get(customer_id)
        self.drop(customer_id)
        history = stored.record.history
        lines = line_count(history)
        if before is not None:
            text = before.text + sum([_long_texts(one.lines) for one in added])
        elif stored.json_bytes:  # to look at each line that was read would take as long as to read it
            text = 2 * max(0, stored.json_bytes - JSON_OF_A_LINE * lines)  # a text may be there encoded as well
        else:
            text = sum([_long_texts(one.lines) for one in history.invoices])
        other = _text_bytes(history.dated_attributes) + len(stored.recommendation or b"")
        lines += LINES_OF_A_CUSTOMER + LINES_OF_AN_INVOICE * len(history.invoices) + (text + other) // BYTES_OF_A_LINE
        if lines > self._max_lines:
            return
        self._customers[customer_id] = _Held(stored, text, lines)
        self._lines += lines
        while self._lines > self._max_lines:
            _, dropped = self._customers.popitem(last=False)
            self._lines -= dropped.lines

    def drop(self, customer_id: str) -> None:
        """Forget a customer."""
        held = self._customers.pop(customer_id, None)
        self._lines -= held.lines if held else 0


def _long_texts(lines: Sequence[HeldLine | Line]) -> int:
    """The bytes of the stock codes and ids of lines that are longer than usual."""
    size = sys.getsizeof
    return sum(
        [
            max(0, size(line.stock_code) - BYTES_OF_A_TEXT) + (size(line.line_id) if line.line_id else 0)
            for line in lines
        ]
    )


def _text_bytes(dated: Mapping[str, tuple[int, str]]) -> int:
    """The bytes of the attributes of a customer."""
    return sum([sys.getsizeof(key) + sys.getsizeof(value) for key, (_, value) in dated.items()]) if dated else 0
