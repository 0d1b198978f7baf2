"""The receipt of an erasure: what was found and removed where, and when the rest expires; signed, and without an id."""

import hmac
from collections.abc import Sequence

import msgspec

from state.domain.identities import Pseudonyms


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was found of a customer in one location.

    ``found`` and ``removed`` count keys, records or files; None where they were not counted. ``remains`` is a sentence
    about what is left and when it expires, empty where nothing is.
    """

    location: str
    found: int | None = None
    removed: int | None = None
    remains: str = ""


class Receipt(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one erasure did.

    ``customer`` is a pseudonym, ``ids`` the number of ids under which the customer had purchases, ``erased_at`` a date
    in ISO 8601. ``signature``: see ``sign``.
    """

    customer: str
    ids: int
    erased_at: str
    findings: tuple[Finding, ...]
    signature: str = ""


def sign(receipt: Receipt, pseudonyms: Pseudonyms) -> Receipt:
    """The receipt with its signature: HMAC-SHA256 under the erasure key of its JSON without one."""
    return msgspec.structs.replace(receipt, signature=pseudonyms.sign(_content(receipt)))


def is_genuine(receipt: Receipt, pseudonyms: Pseudonyms) -> bool:
    """Whether the signature is that of the receipt."""
    return hmac.compare_digest(receipt.signature, pseudonyms.sign(_content(receipt)))


def concerns(receipt: Receipt, customer_ids: Sequence[str], pseudonyms: Pseudonyms) -> bool:
    """Whether the receipt is that of one of these ids."""
    return receipt.customer in {pseudonyms.of(customer_id) for customer_id in customer_ids}


def _content(receipt: Receipt) -> bytes:
    return msgspec.json.encode(msgspec.structs.replace(receipt, signature=""))
