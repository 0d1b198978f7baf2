"""Removes a customer from Redis: history, recommendation, outbox, and the markers of the outbox.

What the outbox holds is applied to the items first. Where the items are to lose the customer's purchases, the outbox
gets an entry with these changes in the step that deletes the history, so that a crash neither loses nor repeats them.
"""

from collections.abc import Sequence, Set
from typing import Any

from state.domain.history import CustomerHistory, demand_changes
from state.store.redis.client import translate_errors
from state.store.redis.commit import outbox_entries
from state.store.redis.item_layout import ItemLayout
from state.store.redis.layout import Keys
from state.store.redis.outbox import Outboxes
from state.store.redis.script import Script


class Removal:
    """Removes customers; not to be shared between threads."""

    def __init__(self, client: Any, keys: Keys, layout: ItemLayout) -> None:
        self._client = client
        self._keys = keys
        self._layout = layout
        self._remove = Script("remove")
        self._outboxes = Outboxes(client, keys, layout.buckets, layout.bucket_of)

    def head(self, customer_id: str) -> tuple[bytes, bytes]:
        """The fields that every change of a history changes."""
        with translate_errors(client=self._client):
            mark, revision = self._client.hmget(self._keys.history(customer_id), ["m", "rev"])
        return mark or b"", revision or b""

    def remove(self, customer_id: str) -> bool:
        """Remove a customer, whatever their keys hold; returns whether there was a history or a recommendation."""
        self._layout.prepare()
        self._outboxes.drain([customer_id])
        deleted = self._call(customer_id)
        keys = self._keys
        with translate_errors(client=self._client):
            for key in (keys.outbox(customer_id), *self._markers(customer_id)):
                self._client.expire(key, -1)
        return deleted > 0

    def uncount(
        self, history: CustomerHistory, head: tuple[bytes, bytes], clock_ms: int, not_taken: Set[str] = frozenset()
    ) -> bool:
        """Remove a history that still has the fields ``head``, and its purchases from the items; False where not.

        The purchases of the invoices ``not_taken`` stay counted.
        """
        self._layout.prepare()
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
        outbox = self._keys.outbox(customer_id)
        with translate_errors(client=self._client), self._client.pipeline(transaction=False) as pipeline:
            for marker in self._markers(customer_id):
                pipeline.get(marker)
            applied = pipeline.execute()
            waiting = self._client.zrange(outbox, -1, -1, withscores=True)
        return max(*(int(sequence or 0) for sequence in applied), *(int(score) for _, score in waiting), 0)

    def _markers(self, customer_id: str) -> list[str]:
        """On a Cluster that of a version without buckets too."""
        return [bucket.done(customer_id) for bucket in dict.fromkeys((*self._layout.buckets, self._keys.items))]
