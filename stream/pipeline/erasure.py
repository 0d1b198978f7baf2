"""Erases a customer: lists the customer as erased, removes what the store holds, deletes the recommendation, signs.

The list comes first, in Kafka and then in the store, and the removal second. Whoever changes a customer's state looks
at the list before and after. So a change either sees the list, or is removed here.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import msgspec

from state.domain.identities import Erasure, Identities
from state.domain.receipt import Finding, Receipt, sign
from state.errors import SettingsError
from state.events.dates import to_iso
from state.store.identities import ALIAS_PREFIX, ERASURE_PREFIX, IdentityRecord, IdentityStore, write_record
from state.store.protocol import Store
from stream.messages import Message

RECEIPT_PREFIX = "receipt:"

NO_KEY = (
    "No erasure key is set, so nobody can be listed as erased; set NEXTBASKET_ERASURE_KEY_FILE "
    "(docs/how-to/erase-a-customer.md)."
)

OUT_OF_REACH = (
    Finding(
        "files of Redis",
        remains="The append-only file and snapshots have what was deleted until they are written anew: BGREWRITEAOF "
        "and BGSAVE, on every server and replica.",
    ),
    Finding(
        "models",
        remains="Versions of tifu_knn and up_cf that exist now may have a vector of the purchases, under a keyed hash; "
        "train, then nextbasket models prune.",
    ),
    Finding(
        "files of yours",
        remains="Not reached: what nextbasket wrote for you (export, due --output, webhook --dead-letters, "
        "evaluate --predictions-out, eda), tables, what subscribers copied, and backups.",
    ),
)
"""What an erasure does not look into; every receipt names it."""

Forget = Callable[[str], Sequence[Finding]]
"""Removes what is elsewhere about a customer, and returns what it found."""


class Traces(NamedTuple):
    """What removes a customer elsewhere than in the store.

    ``derived``: what was computed from the history, or for it; it goes with the id, also by a merge. ``received``: what
    was sent by the shop and waits, such as dead letters; an erasure alone removes it.
    """

    derived: Sequence[Forget] = ()
    received: Sequence[Forget] = ()


NO_TRACES = Traces()


class Eraser:
    """Erases customers.

    Args:
        store: Histories and recommendations.
        identities: The lists of merged and erased customers.
        publish: Publishes messages and waits for their confirmation.
        customers_topic: Where both lists are.
        recommendations_topic: Where the recommendation is.
        traces: What removes the rest.
        remains: What remains in Kafka, and until when.
    """

    def __init__(
        self,
        *,
        store: Store,
        identities: IdentityStore,
        publish: Callable[[Sequence[Message]], None],
        customers_topic: str,
        recommendations_topic: str,
        traces: Traces = NO_TRACES,
        remains: Callable[[], Sequence[Finding]] = tuple,
    ) -> None:
        self._store = store
        self._identities = identities
        self._publish = publish
        self._customers_topic = customers_topic
        self._recommendations_topic = recommendations_topic
        self._traces = traces
        self._remains = remains

    def erase(self, customer_id: str, known: Identities, *, clock: float) -> tuple[Receipt, list[str]]:
        """Erase a customer under all ids; may be repeated. Returns the receipt, and the ids.

        Args:
            customer_id: Any of the customer's ids.
            known: Both lists.
            clock: Seconds since 1970.

        Raises:
            SettingsError: No erasure key is set.
            StoreUnavailable, StoreRefused: The store does not answer, or refuses; erase again.
        """
        pseudonyms = known.pseudonyms
        if pseudonyms is None:
            raise SettingsError(NO_KEY)
        current = known.current(customer_id)
        ids = [current, *known.merged_into(current)]
        names = {each: pseudonyms.of(each) for each in ids}
        erasures = {name: self._erasure(known.erasures.get(name), int(clock)) for name in names.values()}
        self._publish(
            [
                *(self._record(ERASURE_PREFIX + name, _listed(one)) for name, one in erasures.items()),
                *(self._record(ALIAS_PREFIX + alias, None) for alias in ids[1:]),
            ]
        )
        self._identities.erase(erasures, ids[1:])
        findings = self.remove(ids)
        receipt = sign(
            Receipt(names[current], len(ids), to_iso(int(clock)), (*findings, *self._remains(), *OUT_OF_REACH)),
            pseudonyms,
        )
        value = msgspec.json.encode(receipt)
        self._publish([self._record(f"{RECEIPT_PREFIX}{names[current]}:{int(clock * 1000)}", value)])
        return receipt, ids

    def readmit(self, customer_id: str, known: Identities, *, clock: float) -> bool:
        """Count a customer's invoices again from now on; those dated before stay passed over. False: not listed.

        Raises:
            SettingsError: No erasure key is set.
            StoreUnavailable, StoreRefused: The store does not answer, or refuses.
        """
        if known.pseudonyms is None:
            raise SettingsError(NO_KEY)
        name = known.pseudonyms.of(customer_id)
        erasure = known.erasures.get(name)
        if erasure is None:
            return False
        if erasure.returned is None:
            self.remove([customer_id])
            erasure = msgspec.structs.replace(erasure, returned=int(clock))
            self._publish([self._record(ERASURE_PREFIX + name, _listed(erasure))])
            self._identities.erase({name: erasure}, ())
        return True

    def remove(self, customer_ids: Sequence[str]) -> list[Finding]:
        """Remove what there is under some ids, and delete their recommendations; returns what was found."""
        found = [self._store.remove(each) for each in customer_ids]
        return [
            Finding("histories in Redis", sum(found), sum(found)),
            *_sums(forget(each) for each in customer_ids for forget in self._traces.received),
            *self.withdraw(customer_ids),
        ]

    def withdraw(self, customer_ids: Sequence[str]) -> list[Finding]:
        """Delete the recommendations of some ids, and what else was derived from their histories; these stay."""
        findings = _sums(forget(each) for each in customer_ids for forget in self._traces.derived)
        self._publish([Message(self._recommendations_topic, each.encode(), None) for each in customer_ids])
        return findings

    def _erasure(self, before: Erasure | None, clock: int) -> Erasure:
        """The entry of the list; an order that comes twice changes nothing."""
        return Erasure(clock) if before is None or before.returned is not None else before

    def _record(self, key: str, value: bytes | None) -> Message:
        return Message(self._customers_topic, key.encode(), value)


def _sums(found: Iterable[Sequence[Finding]]) -> list[Finding]:
    """One finding for each location."""
    by_location: dict[str, Finding] = {}
    for one in (finding for some in found for finding in some):
        before = by_location.get(one.location)
        if before is not None and one.found is not None:
            found_before, removed_before = before.found or 0, before.removed or 0
            one = msgspec.structs.replace(
                one, found=found_before + one.found, removed=removed_before + (one.removed or 0)
            )
        by_location[one.location] = one
    return list(by_location.values())


def _listed(erasure: Erasure) -> bytes:
    return write_record(IdentityRecord(erased=erasure.erased, returned=erasure.returned))
