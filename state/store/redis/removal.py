"""Removes a customer from Redis: history, recommendation, outbox, and the marker of the outbox.

What the outbox holds is applied to the items first. Where the items are to lose the customer's purchases, the outbox
gets an entry with these changes in the step that deletes the history, so that a crash neither loses nor repeats them.
"""

from collections.abc import Sequence, Set
from typing import Any

from state.domain.history import CustomerHistory, demand_changes
from state.store.redis.client import translate_errors
from state.store.redis.commit import outbox_entries
from state.store.redis.layout import Keys
from state.store.redis.outbox import Outboxes
from state.store.redis.script import Script


class Removal:
    """Removes customers; not to be shared between threads."""

    def __init__(self, client: Any, keys: Keys) -> None:
        self._client = client
        self._keys = keys
        self._remove = Script("remove")
        self._outboxes = Outboxes(client, keys)

    def head(self, customer_id: str) -> tuple[bytes, bytes]:
        """The fields that every change of a history changes."""
        with translate_errors(client=self._client):
            mark, revision = self._client.hmget(self._keys.history(customer_id), ["m", "rev"])
        return mark or b"", revision or b""

    def remove(self, customer_id: str) -> bool:
        """Remove a customer, whatever their keys hold; returns whether there was a history or a recommendation."""
        self._outboxes.drain([customer_id])
        deleted = self._call(customer_id)
        keys = self._keys
        with translate_errors(client=self._client):
            for key in (keys.outbox(customer_id), keys.done(customer_id)):
                self._client.expire(key, -1)
        return deleted > 0

    def uncount(
        self, history: CustomerHistory, head: tuple[bytes, bytes], clock_ms: int, not_taken: Set[str] = frozenset()
    ) -> bool:
        """Remove a history that still has the fields ``head``, and its purchases from the items; False where not.

        The purchases of the invoices ``not_taken`` stay counted.
        """
        customer_id = history.customer_id
        counted = [invoice for invoice in history.invoices if invoice.invoice_no not in not_taken]
        changes = [change for invoice in counted for change in demand_changes(invoice, None)]
        first = max(clock_ms, self._last_sequence(customer_id) + 1)
        oldest = min(invoice.date for invoice in history.invoices)
        entries, _ = outbox_entries(first, oldest, [], changes) if changes else ([], first)
        if self._call(customer_id, head, entries) < 0:
            return False
        self._outboxes.drain([customer_id])
        return True

    def _call(
        self, customer_id: str, head: tuple[bytes, bytes] = (b"", b""), entries: Sequence[str | bytes] = ()
    ) -> int:
        keys = self._keys
        of_customer = [keys.history(customer_id), keys.recommendation(customer_id), keys.outbox(customer_id)]
        with translate_errors(client=self._client):
            return int(self._remove(self._client, of_customer, *head, *entries))

    def _last_sequence(self, customer_id: str) -> int:
        """The greatest sequence that was applied, or is in the outbox."""
        keys = self._keys
        with translate_errors(client=self._client):
            applied = self._client.get(keys.done(customer_id))
            waiting = self._client.zrange(keys.outbox(customer_id), -1, -1, withscores=True)
        return max(int(applied or 0), *(int(score) for _, score in waiting), 0)
