"""What the records of a batch turn out to be."""

from typing import NamedTuple

from state.events.customer_changes import CustomerChange
from state.events.invoice import Invoice
from stream.messages import Incoming


class DecodedEvent(NamedTuple):
    """An invoice, and the record it was decoded from."""

    record: Incoming
    invoice: Invoice


class DecodedChange(NamedTuple):
    """A change of a customer, and the record it was decoded from."""

    record: Incoming
    change: CustomerChange


class RejectedEvent(NamedTuple):
    """A record for the dead letters. ``cause`` is the metric's label, ``reason`` a sentence for the operator."""

    record: Incoming
    cause: str
    reason: str
