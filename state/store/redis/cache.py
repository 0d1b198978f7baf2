"""CustomerCache: the customers that a worker has read or written last, decoded, within a bound of memory."""

from collections import OrderedDict

from state.domain.history import line_count
from state.store.redis.stored_customer import StoredCustomer

MAX_LINES = 200_000
"""Bound of the lines that are held, some 200 bytes each; what else a customer takes is counted as lines."""
LINES_OF_A_CUSTOMER = 20
LINES_OF_AN_INVOICE = 2


class CustomerCache:
    """Stored customers by id; the one used least recently is dropped first. Not to be shared between threads."""

    def __init__(self, max_lines: int = MAX_LINES) -> None:
        self._max_lines = max_lines
        self._lines = 0
        self._customers: OrderedDict[str, tuple[StoredCustomer, int]] = OrderedDict()

    def get(self, customer_id: str) -> StoredCustomer | None:
        """The customer, None where it is not held."""
        found = self._customers.get(customer_id)
        if found is None:
            return None
        self._customers.move_to_end(customer_id)
        return found[0]

    def put(self, customer_id: str, stored: StoredCustomer) -> None:
        """Hold a customer, unless it is larger than the bound."""
        self.drop(customer_id)
        history = stored.record.history
        lines = LINES_OF_A_CUSTOMER + LINES_OF_AN_INVOICE * len(history.invoices) + line_count(history)
        if lines > self._max_lines:
            return
        self._customers[customer_id] = (stored, lines)
        self._lines += lines
        while self._lines > self._max_lines:
            _, (_, dropped) = self._customers.popitem(last=False)
            self._lines -= dropped

    def drop(self, customer_id: str) -> None:
        """Forget a customer."""
        _, lines = self._customers.pop(customer_id, (None, 0))
        self._lines -= lines
