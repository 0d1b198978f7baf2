"""Which customer an event belongs to: merged customers have one history, and erased ones none.

Aliases lead from the id of a merged customer to the one that has its purchases. An erasure names nobody: it is listed
under a pseudonym, a keyed hash of the id, which only those who have the key can compute.
"""

import hashlib
import hmac
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from state.events.invoice import Invoice

MIN_KEY_CHARS = 32
"""Fewer characters of a key could be guessed."""


class MergeRefused(Exception):
    """Two customers cannot be merged; the message is the reason."""


class Pseudonyms:
    """Computes pseudonyms: HMAC-SHA256 of an id under a secret key, in hexadecimal."""

    def __init__(self, key: str) -> None:
        self._key = key.encode()

    @property
    def fingerprint(self) -> str:
        """Tells two keys apart, and says nothing about them."""
        return self._digest("fingerprint", "")[:16]

    def of(self, customer_id: str) -> str:
        """The pseudonym of a customer, 64 hexadecimal digits."""
        return self._digest("customer", customer_id)

    def sign(self, content: bytes) -> str:
        """The signature of a receipt, 64 hexadecimal digits."""
        return self._digest("receipt", content.decode())

    def _digest(self, purpose: str, text: str) -> str:
        return hmac.new(self._key, f"{purpose}\0{text}".encode(), hashlib.sha256).hexdigest()


class Erasure(msgspec.Struct, frozen=True, omit_defaults=True):
    """That a customer was erased, in seconds since 1970, and from which date on their invoices count again, if ever."""

    erased: int
    returned: int | None = None

    def covers(self, date: int) -> bool:
        """Whether an invoice of this date is passed over."""
        return self.returned is None or date < self.returned


class Identities(msgspec.Struct, frozen=True):
    """Aliases, from the id of a merged customer to another id, and erasures by pseudonym.

    Without ``pseudonyms``, which need a key, nobody is erased.
    """

    aliases: Mapping[str, str] = {}
    erasures: Mapping[str, Erasure] = {}
    pseudonyms: Pseudonyms | None = None

    def current(self, customer_id: str) -> str:
        """The id under which a customer's purchases are: the end of the chain of aliases."""
        seen = {customer_id}
        while (following := self.aliases.get(customer_id)) is not None and following not in seen:
            seen.add(following)
            customer_id = following
        return customer_id

    def merged_into(self, customer_id: str) -> list[str]:
        """The ids whose purchases are under a customer's id, in order."""
        return sorted(alias for alias in self.aliases if self.current(alias) == customer_id)

    def erasure(self, customer_id: str) -> Erasure | None:
        """The erasure of a customer, None for one who is not listed."""
        if self.pseudonyms is None or not self.erasures:
            return None
        return self.erasures.get(self.pseudonyms.of(customer_id))

    def resolve(self, invoice: Invoice) -> Invoice | None:
        """The invoice under the id that has the customer's purchases; None where the customer is erased."""
        if invoice.customer_id is None:
            return invoice
        if self.covers(invoice.customer_id, invoice.date):
            return None
        current = self.current(invoice.customer_id)
        return invoice if current == invoice.customer_id else msgspec.structs.replace(invoice, customer_id=current)

    def covers(self, customer_id: str, date: int) -> bool:
        """Whether an invoice of a customer with this date is passed over: one of the two ids is erased."""
        return any(
            erasure is not None and erasure.covers(date)
            for erasure in map(self.erasure, {customer_id, self.current(customer_id)})
        )

    def is_erased(self, customer_ids: Iterable[str]) -> bool:
        """Whether one of some customers is erased, and did not return."""
        return bool(self.erasures) and any(
            (found := self.erasure(each)) is not None and found.returned is None for each in customer_ids
        )

    def merge(self, old: str, new: str) -> tuple[str, str] | None:
        """The alias, from and to, that a merge of two customers adds; None where they are merged already.

        Both ends of a merge are followed along their chains, so merges may come in any order.

        Raises:
            MergeRefused: They are one id, or ``new`` is merged into ``old`` already.
        """
        if old == new:
            raise MergeRefused("A customer cannot be merged with the same id.")
        source, target = self.current(old), self.current(new)
        if source != target:
            return source, target
        if source == old:
            raise MergeRefused("The merge would be a cycle: the second customer is merged into the first already.")
        return None


class Resolver:
    """Resolves invoices, and counts those of erased customers in ``erased``."""

    def __init__(self, identities: Identities) -> None:
        self._identities = identities
        self.erased = 0

    def changed(self, customer_ids: Iterable[str]) -> frozenset[str]:
        """Those of some customers that are merged into another or were erased: of others no invoice changes."""
        known = self._identities
        return frozenset(
            each
            for each in customer_ids
            if (known.aliases and known.current(each) != each) or (known.erasures and known.erasure(each) is not None)
        )

    def __call__(self, invoices: Iterable[Invoice]) -> Iterator[Invoice]:
        """The invoices under the ids that have the customers' purchases, without those of erased customers."""
        for invoice in invoices:
            resolved = self._identities.resolve(invoice)
            if resolved is None:
                self.erased += 1
            else:
                yield resolved
