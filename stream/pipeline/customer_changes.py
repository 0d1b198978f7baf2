"""What a batch does about merged and erased customers: before its invoices are applied, and after.

Before: merges and erasures take effect, invoices go to the id that has the customer's purchases, and those of erased
customers are passed over. The invoices of a merged customer are applied to the other one like any others, so a crash in
between loses nothing. After: the merged history is removed, and the lists are read once more. Where they changed
meanwhile, because another worker has the partition with the change, the events concerned are processed again.
"""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

from state.domain.history import CustomerHistory, size_in_lines
from state.domain.identities import Identities, MergeRefused
from state.domain.merge import add_history, held_events, merge_histories
from state.errors import AccessRefused, StoreUnavailable
from state.events.customer_changes import CustomerErased, CustomerMerged
from state.settings import Settings
from state.store.identities import ALIAS_PREFIX, IdentityRecord, IdentityStore, write_record
from state.store.protocol import Store
from stream.errors import BrokerUnavailable
from stream.messages import Incoming, Message
from stream.monitoring import Metrics
from stream.pipeline.decoded import DecodedChange, DecodedEvent, RejectedEvent
from stream.pipeline.erasure import NO_KEY, Eraser
from stream.pipeline.retry import RetryPolicy

logger = logging.getLogger(__name__)

T = TypeVar("T")

_Position = tuple[str, object, object]
"""The current id of a customer, and the erasures of both ids."""

MAX_WITHDRAWN = 100_000
"""Customers without a history whose recommendations were deleted, and are not deleted again."""


class Move(NamedTuple):
    """A merged customer whose invoices the batch applies to another one.

    ``revision`` and ``watermark`` are those of the merged history, ``into`` is the other customer. ``not_taken``: the
    numbers of invoices that are older than the window of the other one.
    """

    record: Incoming
    customer_id: str
    into: str
    revision: int
    watermark: tuple[int, str] | None
    not_taken: frozenset[str]


class CustomerPlan(NamedTuple):
    """What a batch is to apply.

    ``positions``: where the lists had each customer. ``moved``: the (customer, invoice number) of invoices that were
    applied under another id before; they are not scored again. ``waits``: the events of ``decoded`` are processed
    afterwards, because they may be behind the watermark of a merged history.
    """

    decoded: list[DecodedEvent]
    events: list[DecodedEvent]
    moves: list[Move]
    moved: frozenset[tuple[str, str]]
    positions: dict[str, _Position]
    waits: bool


class CustomerChanges:
    """Applies changes of customers, in the processor's thread.

    Args:
        settings: Bounds of a history, topics.
        store: Histories.
        identities: The lists of merged and erased customers.
        eraser: Erases a customer.
        publish: Publishes messages and waits for their confirmation.
        read_log: Reads both lists from Kafka, for a store that lost them.
        retry: How to wait for Redis and Kafka.
        metrics: Counters.
        clock: Seconds since 1970.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        store: Store,
        identities: IdentityStore,
        eraser: Eraser,
        publish: Callable[[Sequence[Message]], None],
        read_log: Callable[[], Identities],
        retry: RetryPolicy,
        metrics: Metrics,
        clock: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._store = store
        self._identities = identities
        self._eraser = eraser
        self._publish = publish
        self._read_log = read_log
        self._retry = retry
        self._metrics = metrics
        self._clock = clock
        self._withdrawn: dict[str, _Position] = {}

    def begin(
        self,
        decoded: list[DecodedEvent],
        changes: Sequence[DecodedChange],
        rejected: list[RejectedEvent],
        *,
        may_wait: bool,
    ) -> CustomerPlan:
        """Apply changes, and find what the invoices are to be applied to; appends the changes that are refused.

        ``may_wait``: events may wait for the merge of a history with a watermark; not those that have waited.
        """
        to_move: dict[str, Incoming] = {}
        for record, change in changes:
            if isinstance(change, CustomerErased):
                self._erase(record, change, rejected)
            elif self._merge(record, change, rejected):
                to_move[change.customer_id] = record
        ids = {event.invoice.customer_id: event.record for event in decoded}
        known = self._lookup([*(each for each in ids if each is not None), *to_move])
        to_move |= {each: record for each, record in ids.items() if each is not None and each in known.aliases}
        events: list[DecodedEvent] = []
        absent: dict[str, None] = {}
        passed_over = 0
        for event in decoded:
            invoice = known.resolve(event.invoice)
            if invoice is not None:
                events.append(DecodedEvent(event.record, invoice))
                continue
            passed_over += 1
            absent |= dict.fromkeys(self._never(known, str(event.invoice.customer_id)))
        if passed_over:
            self._metrics.erased_events(passed_over)
        self._remove_again(list(absent))
        moves, moved = self._moves(known, to_move)
        moving = {move.customer_id for move in moves}
        positions = {each: _position(known, each) for each in (*ids, *to_move, *moving) if each is not None}
        self._withdraw_once([each for each in positions if each not in moving], known)
        waits = may_wait and bool(events) and any(move.watermark is not None for move in moves)
        return CustomerPlan(
            decoded,
            moved if waits else [*moved, *events],
            moves,
            frozenset((_id(one), one.invoice.invoice_no) for one in moved),
            positions,
            waits,
        )

    def finish(
        self, plan: CustomerPlan, rejected: Sequence[RejectedEvent]
    ) -> tuple[list[DecodedEvent], list[DecodedChange]]:
        """Remove the histories that were merged; returns what is to be processed again, as it changed meanwhile."""
        refused = {event.record for event in rejected} if plan.moves else set()
        again: list[DecodedChange] = []
        removed: dict[str, _Position] = {}
        for move in plan.moves:
            position = plan.positions[move.customer_id]
            if move.record in refused:
                continue
            if self._redis(partial(self._remove_merged, move)):
                removed[move.customer_id] = position
            else:
                again.append(DecodedChange(move.record, CustomerMerged(move.customer_id, position[0])))
        self._withdraw(removed)
        known = self._lookup(list(plan.positions)) if plan.positions else Identities()
        changed = {each for each, position in plan.positions.items() if _position(known, each) != position}
        # What this worker published meanwhile may be behind the tombstone.
        self._withdraw({each: _position(known, each) for each in changed if _has_no_history(known, each)})
        if not changed and not plan.waits:
            return [], again
        return [
            event
            for event in plan.decoded
            if event.invoice.customer_id in changed or (plan.waits and known.resolve(event.invoice) is not None)
        ], again

    def _erase(self, record: Incoming, change: CustomerErased, rejected: list[RejectedEvent]) -> None:
        known = self._all()
        if known.pseudonyms is None:
            rejected.append(RejectedEvent(record, "refused", NO_KEY))
            return
        receipt, ids = self._redis(lambda: self._eraser.erase(change.customer_id, known, clock=self._clock()))
        self._metrics.erased_customer()
        logger.info("Erased a customer of %d ids; the receipt is under %s", len(ids), receipt.customer[:12])

    def _merge(self, record: Incoming, change: CustomerMerged, rejected: list[RejectedEvent]) -> bool:
        """Record the alias of a merge; returns whether the merged customer's invoices are to be moved."""
        while True:
            known = self._lookup([change.customer_id, change.into])
            listed = [
                one
                for each in (change.customer_id, change.into)
                for one in (known.erasure(each), known.erasure(known.current(each)))
                if one is not None and one.returned is None
            ]
            if listed:
                self._metrics.erased_events(1)
                logger.warning("A merge was passed over, because one of its customers is erased")
                return False
            try:
                pair = known.merge(change.customer_id, change.into)
            except MergeRefused as error:
                rejected.append(RejectedEvent(record, "refused", str(error)))
                return False
            if pair is None:
                break
            source, target = pair
            if not self._fits(source, target):
                reason = (
                    f"The merged history would hold more than {self._settings.max_history_lines:,} lines; "
                    "NEXTBASKET_MAX_HISTORY_LINES is the bound."
                )
                rejected.append(RejectedEvent(record, "refused", reason))
                return False
            if self._redis(partial(self._identities.alias, source, target)):
                self._metrics.merged_customer()
        known = self._lookup([change.customer_id])
        self._publish(
            [
                Message(
                    self._settings.topics.customers,
                    f"{ALIAS_PREFIX}{alias}".encode(),
                    write_record(IdentityRecord(into=target)),
                )
                for alias, target in known.aliases.items()
            ]
        )
        return True

    def _fits(self, source: str, target: str) -> bool:
        old, new = self._redis(lambda: self._store.customers([source, target]))
        if old is None or new is None:
            return True
        merged = merge_histories(old.history, new.history, self._settings.window)
        return size_in_lines(merged) <= self._settings.max_history_lines

    def _moves(self, known: Identities, to_move: dict[str, Incoming]) -> tuple[list[Move], list[DecodedEvent]]:
        """The merged customers that still have a history, and their invoices under the id that they go to."""
        if not to_move:
            return [], []
        # A chain of merges may have left a history at any of its ids.
        records = dict(to_move)
        for customer_id, record in to_move.items():
            at = customer_id
            while (at := known.aliases.get(at, "")) in known.aliases:
                records.setdefault(at, record)
        ids = list(records)
        states = self._redis(lambda: self._store.customers(ids))
        moves: list[Move] = []
        moved: list[DecodedEvent] = []
        others: dict[str, CustomerHistory] = {}
        for customer_id, state in zip(ids, states, strict=True):
            current = known.current(customer_id)
            if state is not None and current != customer_id:
                if current not in others:
                    other = self._redis(partial(self._store.history, current))
                    others[current] = CustomerHistory(current) if other is None else other
                attributes = others[current].dated_attributes
                others[current], behind = add_history(others[current], state.history, self._settings.window)
                watermark = state.history.watermark
                moves.append(Move(records[customer_id], customer_id, current, state.revision, watermark, behind))
                resolved = map(known.resolve, held_events(state.history, current, attributes))
                moved += [DecodedEvent(records[customer_id], one) for one in resolved if one is not None]
        return moves, moved

    def _remove_merged(self, move: Move) -> bool:
        """Remove a history that was merged; False where it changed since it was read."""
        clock_ms = int(self._clock() * 1000)
        if move.watermark is not None:  # before the removal, so that a crash in between does not lose it
            self._store.raise_watermark(move.into, move.watermark, clock_ms=clock_ms)
        removed = self._store.remove_merged(
            move.customer_id, move.revision, clock_ms=clock_ms, not_taken=move.not_taken
        )
        return removed or self._store.revisions([move.customer_id]) == [0]

    def _withdraw_once(self, customer_ids: Sequence[str], known: Identities) -> None:
        """Delete what another worker published while a customer was erased or merged, and ended; once a process."""
        new = {
            each: position
            for each in customer_ids
            if _has_no_history(known, each) and self._withdrawn.get(each) != (position := _position(known, each))
        }
        self._withdraw(new)

    def _withdraw(self, customers: dict[str, _Position]) -> None:
        if customers:
            self._redis(lambda: self._eraser.withdraw(list(customers)))
            if len(self._withdrawn) > MAX_WITHDRAWN:
                self._withdrawn.clear()
            self._withdrawn |= customers

    def _remove_again(self, customer_ids: Sequence[str]) -> None:
        """Remove what an event that came between an erasure and its list has left of some customers."""
        if not customer_ids:
            return
        revisions = self._redis(lambda: self._store.revisions(customer_ids))
        left = [each for each, revision in zip(customer_ids, revisions, strict=True) if revision]
        if left:
            self._redis(lambda: self._eraser.remove(left))

    def _never(self, known: Identities, customer_id: str) -> list[str]:
        """Those of a customer's ids that have no history, whatever the date."""
        return [
            each
            for each in {customer_id, known.current(customer_id)}
            if (one := known.erasure(each)) is not None and one.returned is None
        ]

    def _lookup(self, customer_ids: Sequence[str]) -> Identities:
        return self._complete(lambda: self._identities.lookup(customer_ids))

    def _all(self) -> Identities:
        return self._complete(self._identities.all)

    def _complete(self, read: Callable[[], Identities | None]) -> Identities:
        while (known := self._redis(read)) is None:
            logger.warning("Redis has no lists of merged and erased customers; reading them from Kafka")
            log = self._retry.call("Kafka", self._read_log, BrokerUnavailable)
            self._redis(partial(self._identities.restore, log))
        return known

    def _redis(self, operation: Callable[[], T]) -> T:
        return self._retry.call("Redis", operation, StoreUnavailable, AccessRefused)


def _position(known: Identities, customer_id: str) -> _Position:
    current = known.current(customer_id)
    return current, known.erasure(customer_id), known.erasure(current)


def _has_no_history(known: Identities, customer_id: str) -> bool:
    """Whether a customer is merged into another one, or erased."""
    erasure = known.erasure(customer_id)
    return customer_id in known.aliases or (erasure is not None and erasure.returned is None)


def _id(event: DecodedEvent) -> str:
    return str(event.invoice.customer_id)
