"""CustomerRecord: what a store holds for a customer, and the pure function that applies events to it."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

import msgspec

from state.domain.history import (
    MOST_LINES_OF_A_CODE,
    AddedInvoice,
    CustomerHistory,
    DemandChange,
    HeldInvoice,
    add_invoice,
    demand_changes,
    line_count,
    lines_with_codes,
    size_in_lines,
)
from state.domain.recommendation import Recommendation
from state.events.attributes import Attributes
from state.events.invoice import Invoice
from state.store.protocol import ApplyResult, CustomerUpdate, PriorRecommendation, cap_exceeded, prior_recommendation


class ScoringState(msgspec.Struct, frozen=True):
    """The recommendation in force, and the invoices to score against it: those that first appeared while it was.

    ``newest``: the newest purchase (date, invoice number) before it; an older invoice is not scored.
    """

    prior: PriorRecommendation | None = None
    newest: tuple[int, str] | None = None
    invoices: frozenset[str] = frozenset()


NO_SCORING = ScoringState()


class CustomerRecord(msgspec.Struct, frozen=True):
    """A history, its revision, the one last published (0: never), what is scored, and the last recommendation."""

    history: CustomerHistory
    revision: int = 0
    published: int = 0
    scoring: ScoringState = NO_SCORING
    last: Recommendation | None = None


class AppliedEvents(NamedTuple):
    """The effect of some events on a customer.

    ``changed``: the history changed. ``accepted``: at least one event was not refused. ``priors``: by invoice number.
    ``refused``: the indices of the events that were refused. ``now``: the greatest date of those that count, None
    without one. The purchase lines of ``invoices`` and then ``demand_changes`` change the items.
    ``pending_before``: see ``CustomerUpdate``.
    """

    record: CustomerRecord
    changed: bool
    accepted: bool
    priors: dict[str, PriorRecommendation]
    refused: list[int]
    lines_new: int
    lines_known: int
    lines_behind: int
    now: int | None
    invoices: list[Invoice]
    demand_changes: list[DemandChange]
    pending_before: bool = False


def apply_events(
    record: CustomerRecord, events: Sequence[tuple[int, Invoice]], *, window: int, cap: int, clock_ms: int
) -> AppliedEvents:
    """Apply some events, each with its index, to the customer of a record.

    An event whose lines would bring the history beyond ``cap`` lines is refused as a whole.
    """
    batch = _Batch(record, window, cap)
    for _, events_of_one in groupby(events, key=_part):
        parts = list(events_of_one)
        if len(parts) == 1 or not batch.add_parts([invoice for _, invoice in parts]):
            for index, invoice in parts:
                batch.add(index, invoice)
    return batch.result(len(events), clock_ms)


def _part(event: tuple[int, Invoice]) -> tuple[str, int, Attributes]:
    """What parts of an invoice have in common that can be added as one."""
    _, invoice = event
    return invoice.invoice_no, invoice.date, invoice.attributes


class _Batch:
    """The events of a customer in a batch, while they are added."""

    def __init__(self, record: CustomerRecord, window: int, cap: int) -> None:
        self._record = record
        self._window = window
        self._cap = cap
        self._history = record.history
        self._scoring = record.scoring
        self._most_lines = MOST_LINES_OF_A_CODE * line_count(record.history)
        self._counts = {"new": 0, "known": 0, "behind": 0}
        self._refused: list[int] = []
        self._priors: dict[str, PriorRecommendation] = {}
        self._invoices: list[Invoice] = []
        self._changes = _InvoiceChanges()

    def add(self, index: int, invoice: Invoice) -> None:
        """Add an invoice, or refuse it."""
        added = add_invoice(self._history, invoice, self._window)
        if self._fits(added):
            self._accept(invoice, added)
        else:
            self._refused.append(index)

    def add_parts(self, parts: Sequence[Invoice]) -> bool:
        """Add parts of an invoice as one, which costs less; returns False where the result might not be the same."""
        invoice = msgspec.structs.replace(parts[0], lines=tuple(line for part in parts for line in part.lines))
        added = add_invoice(self._history, invoice, self._window)
        stays = added.after is None or any(one is added.after for one in reversed(added.history.invoices))
        if not stays or not self._fits(added):
            return False
        self._accept(invoice, added)
        return True

    def _fits(self, added: AddedInvoice) -> bool:
        """Whether a history is within the cap; it is counted only where there might be too much."""
        if not added.new_lines:
            return True
        most = self._most_lines + lines_with_codes(added.new_lines)
        if most > self._cap and (most := size_in_lines(added.history)) > self._cap:
            return False
        self._most_lines = most
        return True

    def _accept(self, invoice: Invoice, added: AddedInvoice) -> None:
        self._counts["new"] += len(added.new_lines)
        self._counts["known"] += added.known_lines
        if added.behind_watermark:
            self._counts["behind"] += len(invoice.lines)
            self._history = added.history
            return
        if invoice.is_purchase:
            self._scoring, prior = _score(self._record, self._history, self._scoring, invoice, added.before)
            if prior is not None:
                self._priors[invoice.invoice_no] = prior
        is_new = added.before is None and added.after is not None
        if len(added.history.invoices) < len(self._history.invoices) + is_new:
            held = self._scoring.invoices.intersection(one.invoice_no for one in added.history.invoices)
            self._scoring = msgspec.structs.replace(self._scoring, invoices=held)
        self._history = added.history
        self._invoices.append(invoice)
        self._changes.add(added)

    def result(self, events: int, clock_ms: int) -> AppliedEvents:
        record = self._record
        changed = self._history is not record.history
        if changed:
            revision = max(record.revision + 1, clock_ms)
            record = msgspec.structs.replace(record, history=self._history, scoring=self._scoring, revision=revision)
        return AppliedEvents(
            record=record,
            changed=changed,
            accepted=len(self._refused) < events,
            priors=self._priors,
            refused=self._refused,
            lines_new=self._counts["new"],
            lines_known=self._counts["known"],
            lines_behind=self._counts["behind"],
            now=max([invoice.date for invoice in self._invoices], default=None),
            invoices=self._invoices,
            demand_changes=self._changes.demand_changes(),
            pending_before=self._record.revision != self._record.published,
        )


def update_of(applied: AppliedEvents) -> CustomerUpdate:
    """The update that a store returns for a customer."""
    record = applied.record
    return CustomerUpdate(
        history=record.history,
        revision=record.revision,
        published=record.published,
        changed=applied.changed,
        last=record.last,
        priors=[applied.priors[number] for number in sorted(applied.priors)],
        pending_before=applied.pending_before,
    )


def events_by_customer(invoices: Iterable[Invoice]) -> dict[str, list[tuple[int, Invoice]]]:
    """The invoices that belong to a history, with their indices, by customer in order of first appearance."""
    events: dict[str, list[tuple[int, Invoice]]] = {}
    for index, invoice in enumerate(invoices):
        if invoice.customer_id is not None and invoice.lines:
            events.setdefault(invoice.customer_id, []).append((index, invoice))
    return events


def result_of(applied: Iterable[tuple[str, AppliedEvents]], cap: int) -> ApplyResult:
    """The result of a store for some customers and what their events did, in order."""
    result = ApplyResult([], {"lines_new": 0, "lines_known": 0, "lines_behind": 0}, [])
    for customer_id, one in applied:
        result.counts["lines_new"] += one.lines_new
        result.counts["lines_known"] += one.lines_known
        result.counts["lines_behind"] += one.lines_behind
        result.refused += [(index, cap_exceeded(customer_id, cap)) for index in one.refused]
        if one.accepted:
            result.updates.append(update_of(one))
    result.refused.sort()
    return result


class _InvoiceChanges:
    """The invoices before and after some events: one code more changes all shares, so this is summed once a batch."""

    def __init__(self) -> None:
        self._open: dict[str, tuple[HeldInvoice | None, HeldInvoice]] = {}
        self._closed: list[tuple[HeldInvoice | None, HeldInvoice]] = []

    def add(self, added: AddedInvoice) -> None:
        if added.after is None:
            return
        number = added.after.invoice_no
        before = added.before
        if (change := self._open.get(number)) is not None:
            if change[1] is added.before:
                before = change[0]
            else:  # it had left the window
                self._closed.append(change)
        self._open[number] = (before, added.after)

    def demand_changes(self) -> list[DemandChange]:
        return [
            change
            for before, after in (*self._closed, *self._open.values())
            for change in demand_changes(before, after)
        ]


def _score(
    record: CustomerRecord,
    history: CustomerHistory,
    scoring: ScoringState,
    invoice: Invoice,
    held: HeldInvoice | None,
) -> tuple[ScoringState, PriorRecommendation | None]:
    """The recommendation to score a purchase invoice against, None without one, and the state with the invoice noted.

    It is the one in force when the invoice appears for the first time, unless the invoice is older than the purchases
    before that recommendation. ``held`` is the invoice as the history has it so far.
    """
    number = invoice.invoice_no
    if number not in scoring.invoices:
        if held is not None and held.is_purchase:
            return scoring, None
        prior = prior_recommendation(record.last, "") if record.last and record.published else None
        newest, invoices = scoring.newest, scoring.invoices
        if scoring.prior != prior:
            before = [(other.date, other.invoice_no) for other in history.invoices if other.invoice_no in invoices]
            newest, invoices = max([*before, newest] if newest else before, default=None), frozenset()
        if newest is not None and (invoice.date, number) < newest:
            return scoring, None
        scoring = ScoringState(prior, newest, invoices | {number})
    return scoring, msgspec.structs.replace(scoring.prior, invoice_no=number) if scoring.prior else None
