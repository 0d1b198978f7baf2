"""The store's protocol: what both sides need of a place that keeps histories, items and recommendations.

Two implementations ship, ``memory_store`` and ``redis_store``; one contract suite runs on both.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

import msgspec

from state.domain.history import CustomerHistory
from state.domain.items import ItemState
from state.domain.recommendation import Recommendation
from state.events.invoice import Invoice


class PriorRecommendation(msgspec.Struct, frozen=True, array_like=True):
    """What was recommended before the first line of a purchase invoice arrived.

    ``model`` is its name and version with a slash between.
    """

    invoice_no: str
    rec_id: str
    model: str
    stock_codes: list[str]


class CustomerUpdate(msgspec.Struct):
    """One customer after a call of ``apply``: everything the next step needs, in one answer.

    ``revision`` is that of the history as it stands now, ``published`` the one last confirmed (0: never), so a
    recommendation is owed while the two differ. ``changed``: this call changed the history. ``last``: the
    recommendation last confirmed. ``priors``, by invoice number: what to score the invoices against of which this
    call brought purchase lines, new or delivered before. An invoice is scored until one appears that another
    recommendation stood before; one older than what the customer had bought by then is not scored.
    """

    history: CustomerHistory
    revision: int
    published: int
    changed: bool
    last: Recommendation | None
    priors: list[PriorRecommendation]


class ApplyResult(msgspec.Struct):
    """The effect of one ``apply``: the touched customers in order of first appearance, and counts by name.

    Counts: ``lines_new``, ``lines_known`` (delivered before), ``lines_behind`` (of invoices behind the watermark).
    ``refused``: positions in the batch of the invoices that were not applied, each with its reason; they belong in the
    dead letters.
    """

    updates: list[CustomerUpdate]
    counts: dict[str, int]
    refused: list[tuple[int, str]] = []


class ItemChanges(msgspec.Struct):
    """Items that changed since a version, and the version to ask from next time.

    ``now``: the greatest date accepted so far, as ``Store.now`` gives it.
    """

    states: dict[str, ItemState]
    version: int
    now: int | None


def merge_updates(earlier: CustomerUpdate | None, later: CustomerUpdate) -> CustomerUpdate:
    """One customer after two calls of ``apply`` that followed each other."""
    if earlier is None:
        return later
    priors = {standing.invoice_no: standing for standing in (*earlier.priors, *later.priors)}
    return msgspec.structs.replace(
        later,
        changed=earlier.changed or later.changed,
        priors=[priors[number] for number in sorted(priors)],
    )


def cap_exceeded(customer_id: str, cap: int) -> str:
    """Why an invoice is refused whose lines would make a history too long."""
    return (
        f"The history of customer {customer_id} would hold more than {cap:,} lines; "
        "NEXTBASKET_MAX_HISTORY_LINES is the bound."
    )


def prior_recommendation(last: Recommendation, invoice_no: str) -> PriorRecommendation:
    """A recommendation as what stands against an invoice."""
    model = f"{last.model.name}/{last.model.version}"
    return PriorRecommendation(invoice_no, last.rec_id, model, [item.stock_code for item in last.items])


class Store(Protocol):
    """Keeps customers' histories, the items' state and the last recommendations.

    Every method raises ``StoreUnavailable`` when the store cannot answer now and ``StoreRefused`` when it never will.
    """

    def apply(self, invoices: Sequence[Invoice], *, clock_ms: int) -> ApplyResult:
        """Take facts in, idempotently: each customer's history atomically, each new purchase counted once in the items.

        Anonymous invoices and invoices without lines are passed over. An invoice that would push a history over the
        cap of lines is refused whole. ``clock_ms`` (wall clock, ms) feeds revisions only.
        """
        ...

    def confirm(self, recommendations: Sequence[Recommendation], unchanged: Sequence[tuple[str, int]] = ()) -> None:
        """Keep published recommendations, unless a higher revision stands, and move ``published`` on.

        ``unchanged``: (customer, revision) whose answer stayed the same and was not sent again.
        """
        ...

    def history(self, customer_id: str) -> CustomerHistory | None:
        """One customer's history, or None for a stranger."""
        ...

    def histories(self) -> Iterator[CustomerHistory]:
        """Every history, in no particular order, without loading them all."""
        ...

    def recommendation(self, customer_id: str) -> Recommendation | None:
        """The recommendation last confirmed for a customer."""
        ...

    def recommendations(self) -> Iterator[Recommendation]:
        """Every recommendation last confirmed, in no particular order."""
        ...

    def items(self, since: int = 0) -> ItemChanges:
        """The states of the items that changed after version ``since`` (0: all)."""
        ...

    def now(self) -> int | None:
        """The greatest date accepted so far, seconds since 1970, or None before the first."""
        ...

    def close(self) -> None:
        """Release connections."""
        ...
