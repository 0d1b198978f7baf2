"""Rebuild: the histories and items of a store, computed again from events.

Histories are sets of lines, so events that are in a store already change nothing. A rebuild may run while workers do,
be interrupted, and be repeated.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import msgspec

from state.domain.clock import require_not_ahead_of_record
from state.domain.identities import Identities
from state.errors import CustomerRefused, EventAhead, InvalidEvent
from state.events.customer_changes import CustomerChange
from state.events.invoice import Invoice
from state.events.wire import Decoder
from state.settings import Settings
from state.store.protocol import Store
from state.wording import count
from stream.pipeline.clock_check import ClockCheck

BATCH = 512
"""Events of one call of the store."""


class RawEvent(NamedTuple):
    """The value of a record, and its timestamp in seconds since 1970; None where it comes from a table."""

    value: bytes | None
    timestamp: float | None = None


class RebuildLedger(msgspec.Struct):
    """What became of the events of one source.

    ``invalid``: they break the contract; ``refused``: the store does not take them; ``anonymous``: without a customer,
    or without a line that is a product. ``erased``: of customers who are erased. ``changes``: events that merge or
    erase a customer; those that a worker has processed are known already, the others wait for it. Lines are ``new``,
    ``known`` (in the store already) or ``behind`` (older than the window of their history).
    """

    source: str
    events: int = 0
    invalid: int = 0
    refused: int = 0
    anonymous: int = 0
    erased: int = 0
    changes: int = 0
    new: int = 0
    known: int = 0
    behind: int = 0
    reason: str = ""
    """Of the first event that was invalid or refused."""

    def sentences(self) -> list[str]:
        """The ledger in words."""
        found = [
            f"{self.source}: {count(self.events, 'event')}; {count(self.new, 'line')} restored, {self.known:,} were "
            f"there, {self.behind:,} are older than the window of their history."
        ]
        if self.anonymous:
            found.append(f"  {count(self.anonymous, 'event')} without a customer or without a product.")
        if self.erased:
            found.append(f"  {count(self.erased, 'event')} of erased customers passed over.")
        if self.changes:
            found.append(f"  {count(self.changes, 'event')} that merge or erase a customer.")
        if self.invalid or self.refused:
            found.append(
                f"  {count(self.invalid, 'invalid event')} and {self.refused:,} that Redis refuses were passed over, "
                f"as a worker does. The first: {self.reason}"
            )
        return found


def rebuild(
    store: Store,
    settings: Settings,
    batches: Iterable[Sequence[RawEvent]],
    ledger: RebuildLedger,
    *,
    clock: float,
    lookup: Callable[[Sequence[str]], Identities] = lambda customer_ids: Identities(),
) -> None:
    """Apply events to the store; counts into ``ledger``.

    Args:
        store: Where histories and items are.
        settings: Those of the workers, so that it takes what they take.
        batches: Events in the order in which they were sent.
        ledger: Of the source of the events.
        clock: Seconds since 1970; dates too far ahead of it are invalid.
        lookup: Returns which of some customers are merged or erased; invoices go where the workers take them.

    Raises:
        StoreUnavailable, StoreRefused: The store does not answer, or refuses; repeat the rebuild.
        ClockDiffers: An event is dated ahead of the clock, and so are most of the records before it.
    """
    decoder = Decoder(settings)
    check = ClockCheck(lambda: clock, lambda: None, settings.max_clock_difference_seconds)
    for batch in batches:
        check.add_timestamps([event.timestamp for event in batch])
        for start in range(0, len(batch), BATCH):
            invoices = []
            for event in batch[start : start + BATCH]:
                ledger.events += 1
                try:
                    invoice = _decode(decoder, settings, event, int(clock))
                except InvalidEvent as error:
                    if isinstance(error, EventAhead):
                        check.require_records()
                    ledger.invalid += 1
                    ledger.reason = ledger.reason or str(error)
                    continue
                if not isinstance(invoice, Invoice):
                    ledger.changes += 1
                elif invoice.customer_id is None or not invoice.lines:
                    ledger.anonymous += 1
                else:
                    invoices.append(invoice)
            known = lookup([str(invoice.customer_id) for invoice in invoices])
            resolved = [one for one in map(known.resolve, invoices) if one is not None]
            ledger.erased += len(invoices) - len(resolved)
            _apply(store, resolved, ledger, int(clock * 1000))


def _decode(decoder: Decoder, settings: Settings, event: RawEvent, now: int) -> Invoice | CustomerChange:
    invoice = decoder.decode_any(event.value, now=now)
    if not isinstance(invoice, Invoice):
        return invoice
    require_not_ahead_of_record(
        invoice.date, event.timestamp, settings.max_days_ahead, settings.max_clock_difference_seconds
    )
    return invoice


def _apply(store: Store, invoices: Sequence[Invoice], ledger: RebuildLedger, clock_ms: int) -> None:
    """Apply invoices in one call; one by one where the keys of a customer are at fault."""
    if not invoices:
        return
    try:
        applied = store.apply(invoices, clock_ms=clock_ms)
    except CustomerRefused as error:
        if len(invoices) == 1:
            ledger.refused += 1
            ledger.reason = ledger.reason or str(error)
            return
        for invoice in invoices:
            _apply(store, [invoice], ledger, clock_ms)
        return
    ledger.new += applied.counts["lines_new"]
    ledger.known += applied.counts["lines_known"]
    ledger.behind += applied.counts["lines_behind"]
    ledger.refused += len(applied.refused)
    if applied.refused:
        ledger.reason = ledger.reason or applied.refused[0][1]
