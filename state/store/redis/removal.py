"""Removes a customer from Redis: history, recommendation, outbox, and the marker of the outbox.

What the outbox holds is applied to the items first. Where the items are to lose the customer's purchases, the outbox
gets an entry with these changes in the step that deletes the history, so that a crash neither loses nor repeats them.
"""

from typing import Any

from state.domain.history import CustomerHistory, demand_changes
from state.domain.items import HALF_LIVES, SHARE_HALF_LIVES
from state.store.redis.client import translate_errors
from state.store.redis.layout import Keys, pack
from state.store.redis.script import Script

MARKER_SECONDS = 86_400
"""How long the marker of an outbox that was applied is needed: longer than any worker that read it before takes."""


class Removal:
    """Removes customers; not to be shared between threads."""

    def __init__(self, client: Any, keys: Keys) -> None:
        self._client = client
        self._keys = keys
        self._remove = Script("remove")
        self._drain = Script("attributes", "history", "items", "drain")

    def head(self, customer_id: str) -> tuple[bytes, bytes]:
        """The fields that every change of a history changes."""
        with translate_errors(client=self._client):
            mark, revision = self._client.hmget(self._keys.history(customer_id), ["m", "rev"])
        return mark or b"", revision or b""

    def remove(self, customer_id: str) -> bool:
        """Remove a customer, whatever their keys hold; returns whether there was a history or a recommendation."""
        self._apply_outbox(customer_id)
        deleted = self._call(customer_id)
        keys = self._keys
        with translate_errors(client=self._client):
            for key in (keys.outbox(customer_id), keys.done(customer_id)):
                self._client.expire(key, -1)
        return deleted > 0

    def uncount(self, history: CustomerHistory, head: tuple[bytes, bytes], clock_ms: int) -> bool:
        """Remove a history that still has the fields ``head``, and its purchases from the items; False where not."""
        customer_id = history.customer_id
        changes = [change for invoice in history.invoices for change in demand_changes(invoice, None)]
        sequence = max(clock_ms, self._last_sequence(customer_id) + 1)
        dates = [invoice.date for invoice in history.invoices]
        entry = pack((sequence, min(dates), [], changes)) if changes else b""
        if self._call(customer_id, head, (b"%d" % sequence, entry)) < 0:
            return False
        self._apply_outbox(customer_id)
        return True

    def _call(
        self,
        customer_id: str,
        head: tuple[bytes, bytes] = (b"", b""),
        entry: tuple[bytes, bytes] = (b"", b""),
    ) -> int:
        keys = self._keys
        of_customer = [keys.history(customer_id), keys.recommendation(customer_id), keys.outbox(customer_id)]
        with translate_errors(client=self._client):
            return int(self._remove(self._client, of_customer, *head, *entry))

    def _last_sequence(self, customer_id: str) -> int:
        """The greatest sequence that was applied, or is in the outbox."""
        keys = self._keys
        with translate_errors(client=self._client):
            applied = self._client.get(keys.done(customer_id))
            waiting = self._client.zrange(keys.outbox(customer_id), -1, -1, withscores=True)
        return max(int(applied or 0), *(int(score) for _, score in waiting), 0)

    def _apply_outbox(self, customer_id: str) -> None:
        keys = self._keys
        outbox, marker = keys.outbox(customer_id), keys.done(customer_id)
        with translate_errors(client=self._client):
            waiting = self._client.zrange(outbox, 0, -1, withscores=True)
            if not waiting:
                return
            entries = b"".join(entry for entry, _ in waiting)
            self._drain(self._client, [*keys.items, marker], pack((HALF_LIVES, SHARE_HALF_LIVES)), entries)
            self._client.zremrangebyscore(outbox, "-inf", waiting[-1][1])
            self._client.expire(marker, MARKER_SECONDS)
