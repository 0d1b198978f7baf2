"""Writes to a Redis Cluster, where no script can change a customer's slot and the items' slot at once.

Histories: one script call a customer, pipelined; each call appends the changes of the items to an outbox in the slot of
the customer. Items: one script call applies the outboxes of the batch; a marker in the items' slot makes sure that each
entry is applied at most once. Then the outboxes are trimmed. A crash in between loses nothing, because the events are
delivered again and their outboxes read again, and counts nothing twice, because the marker outlives the trim.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from redis.exceptions import NoScriptError

from state.domain.items import HALF_LIVES, SHARE_HALF_LIVES
from state.store.redis.client import translate_errors
from state.store.redis.layout import Answer, Keys, pack, read_one_answer
from state.store.redis.script import Script

MARKER_SECONDS = 86_400
"""How long a marker outlives the trim: longer than any worker that read the outbox before the trim can take."""


class ClusterWriter:
    """The writer of ``RedisStore`` for a Cluster; its batches have a bounded size."""

    def __init__(self, client: Any, keys: Keys, *, window: int, cap: int, ttl: int) -> None:
        self._client = client
        self._keys = keys
        self._bounds = (window, cap, ttl)
        self._apply = Script("attributes", "history", "apply_one")
        self._drain_items = Script("attributes", "history", "items", "drain")
        self._confirm = Script("attributes", "history", "confirm")
        self._reserve = Script("reserve")

    def apply(self, customers: Sequence[tuple[str, list[tuple[Any, ...]]]], clock_ms: int) -> Answer:
        """Applies the events of some customers."""
        keys = self._keys
        calls = (
            (
                customer_id,
                [keys.history(customer_id), keys.recommendation(customer_id), keys.outbox(customer_id)],
                pack((*self._bounds, clock_ms, events)),
            )
            for customer_id, events in customers
        )
        answer = Answer([], [], 0, 0, 0)
        outboxes: list[tuple[str, list[bytes]]] = []
        for customer_id, (packed, *outbox) in self._each(self._apply, list(calls)):
            with translate_errors({1: f"customer {customer_id}"}, self._client):
                one = read_one_answer(packed)
            answer.customers.append(one.customer)
            answer.refused.extend(one.refused)
            answer.lines_new += one.lines_new
            answer.lines_known += one.lines_known
            answer.lines_behind += one.lines_behind
            if outbox:
                outboxes.append((customer_id, outbox))
        if outboxes:
            self._drain(outboxes)
        return answer

    def confirm(self, entries: Sequence[tuple[str, Any]]) -> None:
        """Saves what was published: customer and (revision, JSON or False, prior recommendation)."""
        keys = self._keys
        calls = [
            (
                customer_id,
                [keys.history(customer_id), keys.recommendation(customer_id)],
                pack((self._bounds[2], [entry])),
            )
            for customer_id, entry in entries
        ]
        for _ in self._each(self._confirm, calls):
            pass

    def reserve(self, customers: Sequence[tuple[str, int]], clock_ms: int | bool) -> list[bytes]:
        """Runs reserve.lua for customers and their revisions."""
        keys = self._keys
        calls = [
            (
                customer_id,
                [keys.history(customer_id), keys.recommendation(customer_id)],
                pack((clock_ms, [revision])),
            )
            for customer_id, revision in customers
        ]
        return [raised for _, (raised,) in self._each(self._reserve, calls)]

    def _drain(self, outboxes: Sequence[tuple[str, list[bytes]]]) -> None:
        """Applies outboxes to the items; an outbox is a list of entry, sequence, entry, sequence and so on."""
        markers = [self._keys.done(customer_id) for customer_id, _ in outboxes]
        entries = [b"".join(outbox[::2]) for _, outbox in outboxes]
        with translate_errors(client=self._client):
            half_lives = pack((HALF_LIVES, SHARE_HALF_LIVES))
            self._drain_items(self._client, [*self._keys.items, *markers], half_lives, *entries)
            self._trim(outboxes)
            with self._client.pipeline() as expiries:
                for marker in markers:
                    expiries.expire(marker, MARKER_SECONDS)
                expiries.execute()

    def _trim(self, outboxes: Sequence[tuple[str, list[bytes]]]) -> None:
        with self._client.pipeline() as trims:
            for customer_id, outbox in outboxes:
                trims.zremrangebyscore(self._keys.outbox(customer_id), "-inf", outbox[-1])
            trims.execute()

    def _each(self, script: Script, calls: Sequence[tuple[str, list[str], bytes]]) -> Iterator[tuple[str, Any]]:
        """Runs a script once for each customer, pipelined; yields customer and reply."""
        with translate_errors(client=self._client), self._client.pipeline() as pipeline:
            for _, keys, argument in calls:
                pipeline.execute_command("EVALSHA", script.sha1, len(keys), *keys, argument)
            replies = pipeline.execute(raise_on_error=False)
        for (customer_id, keys, argument), reply in zip(calls, replies, strict=True):
            with translate_errors({1: f"customer {customer_id}"}, self._client):
                if isinstance(reply, NoScriptError):  # the node does not have the script yet
                    reply = script(self._client, keys, argument)
                if isinstance(reply, Exception):
                    raise reply
            yield customer_id, reply
