"""The protocol of the store of histories, items and recommendations, and its results.

There are two implementations, ``MemoryStore`` and ``RedisStore``; one contract suite runs on both.
"""

from collections.abc import Iterator, Sequence, Set
from typing import NamedTuple, Protocol

import msgspec

from state.domain.history import CustomerHistory
from state.domain.items import ItemState
from state.domain.recommendation import Recommendation
from state.events.invoice import Invoice
from state.events.shop_dialect import ShopDialect


class PriorRecommendation(msgspec.Struct, frozen=True, array_like=True):
    """The recommendation in force when the first line of a purchase invoice arrived.

    ``model`` is the name and the version of the model, joined by a slash.
    """

    invoice_no: str
    rec_id: str
    model: str
    stock_codes: list[str]


class CustomerUpdate(msgspec.Struct):
    """One customer after a call of ``apply``.

    ``revision`` is that of the history now, ``published`` the one last confirmed (0: never); while they differ, a
    recommendation is pending. ``changed``: this call changed the history. ``last``: the last confirmed recommendation.
    ``priors``, ordered by invoice number: the prior recommendations of the invoices with purchase lines in this call,
    new lines or repeated ones. An invoice is scored until an invoice with another prior recommendation appears. An
    invoice older than the purchases before its recommendation is not scored. ``pending_before``: a recommendation was
    pending before this call, so that somebody may have sent one that is not confirmed.
    """

    history: CustomerHistory
    revision: int
    published: int
    changed: bool
    last: Recommendation | None
    priors: list[PriorRecommendation]
    pending_before: bool = False


class ApplyResult(msgspec.Struct):
    """The effect of one ``apply``: an update of each customer in order of first appearance, and counts by name.

    Counts: ``lines_new``, ``lines_known`` (delivered before), ``lines_behind`` (of invoices behind the watermark).
    ``refused``: the index in the batch of each invoice that was not applied, with the reason for its dead letter.
    """

    updates: list[CustomerUpdate]
    counts: dict[str, int]
    refused: list[tuple[int, str]] = []


class CustomerState(msgspec.Struct, frozen=True):
    """A customer's history, and its revision."""

    history: CustomerHistory
    revision: int


class CustomerSnapshot(msgspec.Struct, frozen=True):
    """A customer's history with what was made of it.

    ``revision`` and ``published`` are those of ``CustomerUpdate``; ``last`` is the last confirmed recommendation.
    ``expires_in``: seconds until the history expires, None where it does not.
    """

    history: CustomerHistory
    revision: int
    published: int
    last: Recommendation | None
    expires_in: int | None


class ItemChanges(msgspec.Struct):
    """The items that changed since a version, and the version to pass next time.

    ``now``: the greatest date accepted so far, as in ``Store.now``.
    """

    states: dict[str, ItemState]
    version: int
    now: int | None


class StoreMark(msgspec.Struct, frozen=True):
    """What shows that a store lost data: ``run``, made once for its contents, and the version of its items.

    ``run`` is None where none is recorded, as in an empty store. ``parts``: into how many a Cluster is divided, 0 on a
    single server, and ``lost_parts`` those that came back empty while others have their data. ``complete``: whether all
    is recorded that later shows a loss. ``buckets``: the versions of which ``version`` is the sum, empty on a single
    server; each of them rises, and one alone shows that its node went back.
    """

    run: str | None
    version: int
    parts: int = 0
    lost_parts: int = 0
    complete: bool = True
    buckets: tuple[int, ...] = ()


def merge_updates(earlier: CustomerUpdate | None, later: CustomerUpdate) -> CustomerUpdate:
    """The update of one customer after two consecutive calls of ``apply``."""
    if earlier is None:
        return later
    priors = {prior.invoice_no: prior for prior in (*earlier.priors, *later.priors)}
    return msgspec.structs.replace(
        later,
        changed=earlier.changed or later.changed,
        priors=[priors[number] for number in sorted(priors)],
        pending_before=earlier.pending_before,
    )


def cap_exceeded(customer_id: str, cap: int) -> str:
    """The reason why an invoice is refused whose lines would make a history too long."""
    return (
        f"The history of customer {customer_id} would hold more than {cap:,} lines; "
        "NEXTBASKET_MAX_HISTORY_LINES is the bound."
    )


def prior_recommendation(last: Recommendation, invoice_no: str) -> PriorRecommendation:
    """A recommendation as the prior recommendation of an invoice."""
    model = f"{last.model.name}/{last.model.version}"
    return PriorRecommendation(invoice_no, last.rec_id, model, [item.stock_code for item in last.items])


class DueEntry(NamedTuple):
    """A customer in the index of who is due: ``value`` begins with the revision, a little-endian double."""

    customer_id: str
    revision: int
    value: bytes


class DueShard(NamedTuple):
    """Some customers of the index of who is due: the first parts of their values joined, and the rest of each."""

    customer_ids: list[str]
    heads: bytes
    rests: list[str] | None


class DueIndex(Protocol):
    """A few packed numbers of every customer, from which a list of who is due is made; lost entries cost time only."""

    def record(self, entries: Sequence[DueEntry]) -> None:
        """Replace entries, except those with a later revision; an empty value deletes."""
        ...

    def shards(self, head_size: int, *, with_rest: bool) -> Iterator[DueShard]:
        """All entries; ``head_size``: bytes of the first part of a value, the rest is text."""
        ...

    def forget(self, customer_ids: Sequence[str]) -> int:
        """Delete everything that the index has of customers, whatever their revision; returns how many it had."""
        ...

    def is_complete(self) -> bool:
        """Whether it has every customer: it was compared with all histories, and whatever wrote since recorded."""
        ...

    def set_complete(self, complete: bool) -> None:
        """Set ``is_complete``; False after histories were written without ``record``."""
        ...


class Store(Protocol):
    """Stores customers' histories, the state of items and the last recommendations.

    Every method raises ``StoreUnavailable`` for a temporary failure and ``StoreRefused`` for a permanent one:
    ``CustomerRefused`` where what is stored for one customer is the cause.
    """

    def apply(self, invoices: Sequence[Invoice], *, clock_ms: int) -> ApplyResult:
        """Add invoices, idempotently: each history changes atomically, each new purchase counts once in the items.

        Anonymous invoices and invoices without lines are skipped. An invoice whose lines would exceed the bound of a
        history is refused as a whole. ``clock_ms`` (wall clock in milliseconds) is used for revisions only.
        """
        ...

    def confirm(self, recommendations: Sequence[Recommendation], unchanged: Sequence[tuple[str, int]] = ()) -> None:
        """Save published recommendations and raise ``published``; a lower revision than the saved one is ignored.

        ``unchanged``: (customer, revision) of recommendations that did not change and were not published again.
        """
        ...

    def current_ids(self, customer_ids: Sequence[str]) -> list[str]:
        """The id under which each customer's purchases are: another one where the customer was merged."""
        ...

    def history(self, customer_id: str) -> CustomerHistory | None:
        """The history of a customer, None for an unknown one."""
        ...

    def customers(self, customer_ids: Sequence[str]) -> list[CustomerState | None]:
        """History and revision of each of some customers, read in one call; None for an unknown one."""
        ...

    def revisions(self, customer_ids: Sequence[str]) -> list[int]:
        """The revision of each of some histories, read in one call; 0 for an unknown customer."""
        ...

    def snapshots(self, customer_ids: Sequence[str]) -> list[CustomerSnapshot | None]:
        """The snapshot of each of some customers, read in one call; None for an unknown one."""
        ...

    def reserve(self, customers: Sequence[tuple[str, int]], *, clock_ms: int) -> list[int | None]:
        """Raise the revision of each customer (id, revision) whose revision is still the given one.

        Returns the new revisions, as ``apply`` would give them; None where the history has changed since. Nothing is
        published or confirmed with it: the recommendation of that revision is pending.
        """
        ...

    def withdraw(self, customers: Sequence[tuple[str, int]]) -> None:
        """Delete the recommendation of each customer (id, revision) whose revision is still the given one."""
        ...

    def customer_ids(self) -> Iterator[list[str]]:
        """The ids of all customers, each once, in portions and no particular order."""
        ...

    def histories(self) -> Iterator[CustomerHistory]:
        """All histories in no particular order, loaded in portions."""
        ...

    def recommendation(self, customer_id: str) -> Recommendation | None:
        """The last confirmed recommendation of a customer, None where there is none."""
        ...

    def last_recommendations(self, customer_ids: Sequence[str]) -> list[Recommendation | None]:
        """The last confirmed recommendation of each of some customers, read in one call; None where there is none."""
        ...

    def recommendations(self) -> Iterator[Recommendation]:
        """The last confirmed recommendation of every customer, in no particular order."""
        ...

    def items(self, since: int = 0) -> ItemChanges:
        """The states of the items that changed after version ``since`` (0: all)."""
        ...

    def now(self) -> int | None:
        """The greatest date accepted so far, seconds since 1970, or None before the first."""
        ...

    def mark(self) -> StoreMark:
        """The mark of the store's contents."""
        ...

    def record_run(self, run: str) -> str:
        """Record a run unless one is recorded, in one step; returns the one that is recorded then.

        On a Cluster also a mark in each of its parts, except those that are lost.
        """
        ...

    def restore_parts(self) -> None:
        """Record that no part is lost any more, because all data was written anew."""
        ...

    def clock(self) -> float | None:
        """The clock of the server, seconds since 1970; None where there is none, or it may not be asked."""
        ...

    def dialect(self) -> ShopDialect | None:
        """The recorded dialect in which the histories are written, None where there is none."""
        ...

    def record_dialect(self, dialect: ShopDialect) -> ShopDialect:
        """Record the dialect unless one is recorded, in one step; returns the one that is recorded then."""
        ...

    def remove(self, customer_id: str) -> bool:
        """Remove a customer, but not the demand of the items; returns whether there was anything."""
        ...

    def remove_merged(
        self, customer_id: str, revision: int, *, clock_ms: int, not_taken: Set[str] = frozenset()
    ) -> bool:
        """Remove a customer whose invoices another one has now, and their demand, which is counted twice.

        The demand of the invoices ``not_taken``, which are older than the window of the other one, stays.

        Returns False, and does nothing, where the history has another revision.
        """
        ...

    def raise_watermark(self, customer_id: str, watermark: tuple[int, str], *, clock_ms: int) -> None:
        """Raise the watermark of a history to at least this one; its invoices, and its revision, stay."""
        ...

    def reconnect(self) -> None:
        """Use new connections from now on."""
        ...

    def close(self) -> None:
        """Release connections."""
        ...
