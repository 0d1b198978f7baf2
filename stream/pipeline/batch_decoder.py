"""Decodes a batch of records: the clock in force, invoices, changes of customers, and what is rejected."""

import logging
from collections.abc import Callable, Sequence

from state.domain.clock import require_not_ahead_of_record
from state.errors import EventAhead, InvalidEvent
from state.events.customer_changes import CustomerChange
from state.events.invoice import Invoice
from state.events.shop_dialect import shop_dialect
from state.events.wire import Decoder
from state.settings import Settings
from stream.messages import CUT_OFF_HEADER, Incoming
from stream.monitoring import Metrics
from stream.pipeline.clock_check import ClockCheck
from stream.pipeline.decoded import DecodedChange, DecodedEvent, RejectedEvent
from stream.pipeline.event_headers import is_readable
from stream.pipeline.product_share import ProductShare

logger = logging.getLogger(__name__)


class BatchDecoder:
    """Decodes batches; used by one thread.

    Args:
        settings: Bounds and format of an event.
        clock_check: Compares the clock with that of the server, and with the records.
        metrics: Counts what belongs to no history.
        clock: Seconds since 1970.
    """

    def __init__(
        self, settings: Settings, clock_check: ClockCheck, metrics: Metrics, clock: Callable[[], float]
    ) -> None:
        self._settings = settings
        self._clock_check = clock_check
        self._metrics = metrics
        self._clock = clock
        self._decoder = Decoder(settings)
        self._product_share = ProductShare(shop_dialect(settings))

    def look_at_headers(self, batch: Sequence[Incoming]) -> None:
        """Count the events with header names that cannot be read, and log them."""
        unreadable = [
            record for record in batch if record.headers and not all(is_readable(name) for name, _ in record.headers)
        ]
        if unreadable:
            first = unreadable[0]
            logger.warning(
                "%d events have header names that are not UTF-8, the first at offset %d of %s, partition %d; such "
                "headers are ignored, and their producer should be repaired",
                len(unreadable), first.offset, first.topic, first.partition,
            )  # fmt: skip
            self._metrics.unreadable_headers(len(unreadable))

    def decode(
        self, batch: Sequence[Incoming]
    ) -> tuple[float, list[DecodedEvent], list[DecodedChange], list[RejectedEvent]]:
        """The clock, the invoices, the changes of customers, and the events that are rejected.

        Raises:
            ClockDiffers: The clock cannot be trusted.
        """
        self._clock_check.require_server()
        clock = self._clock()
        decoded: list[DecodedEvent] = []
        changes: list[DecodedChange] = []
        rejected: list[RejectedEvent] = []
        for record in batch:
            try:
                event = self._decode_one(record, int(clock))
                if isinstance(event, Invoice):
                    decoded.append(DecodedEvent(record, event))
                else:
                    changes.append(DecodedChange(record, event))
            except InvalidEvent as error:
                if isinstance(error, EventAhead):
                    self._clock_check.require_records()
                rejected.append(RejectedEvent(record, "invalid", str(error)))
        self._clock_check.clear_records()
        return clock, self._with_customer(decoded), changes, rejected

    def _decode_one(self, record: Incoming, now: int) -> Invoice | CustomerChange:
        if record.headers and CUT_OFF_HEADER in (headers := dict(record.headers)):
            size = (headers[CUT_OFF_HEADER] or b"").decode("ascii", "replace")
            raise InvalidEvent(
                f"The event has {size} bytes, of which only the first were read; it may have at most "
                f"{self._settings.max_event_bytes:,}."
            )
        invoice = self._decoder.decode_any(record.value, now=now)
        if not isinstance(invoice, Invoice):
            return invoice
        settings = self._settings
        require_not_ahead_of_record(
            invoice.date, record.timestamp, settings.max_days_ahead, settings.max_clock_difference_seconds
        )
        return invoice

    def _with_customer(self, decoded: Sequence[DecodedEvent]) -> list[DecodedEvent]:
        """The events that belong to a history; counts what the others are."""
        events: list[DecodedEvent] = []
        anonymous = 0
        for event in decoded:
            invoice = event.invoice
            self._product_share.count(invoice)
            for reason, count in invoice.excluded_lines.items():
                self._metrics.lines(reason, count)
            if invoice.customer_id is None:
                anonymous += 1
            elif invoice.lines:
                events.append(event)
        if anonymous:
            self._metrics.anonymous(anonymous)
        return events
