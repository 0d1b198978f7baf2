"""Takes invoices, and other messages: checks them as a worker does, publishes them, answers once Kafka has confirmed.

The events of all waiting requests are published together: lists in one transaction, so that readers see all events of
a request or none; single events without, which is quicker. A request is refused as a whole before anything of it is
sent. Where Kafka does not confirm, the same request may be sent again, since a repeated line counts once.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from state.domain.identities import Identities
from state.errors import InvalidEvent
from state.events.wire import Decoder
from state.settings import Settings
from stream.api.problems import FieldError, Problem, invalid_request, unavailable
from stream.errors import BrokerUnavailable, MessageTooLarge, PublisherUnavailable
from stream.messages import Headers, Message
from stream.pipeline.ports import Publisher

MAX_ERRORS = 20
"""Greatest number of invalid events that an answer names."""


class Receipt(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was accepted: Kafka has confirmed it.

    ``anonymous``: events without a customer; they are not recommended for. ``excluded_lines``: lines that count
    nowhere, by reason. ``erased``: events of erased customers, which were not sent.
    """

    accepted: int
    anonymous: int
    excluded_lines: dict[str, int]
    erased: int = 0


class InvoiceBody(msgspec.Struct, frozen=True):
    """A body with one invoice or a list, and the headers of its records: the trace of its request."""

    content: bytes
    trace: Headers = ()


class _Event(NamedTuple):
    """A valid event of a body."""

    message: Message
    customer_id: str | None
    date: int
    excluded_lines: Mapping[str, int]


Accepted = tuple[Receipt, list[Message]]
"""The receipt and the messages of a request that is not refused."""


class Ingestion:
    """Answers batches of request bodies, in one thread.

    Args:
        settings: The topic, and the bounds of an event.
        connect: Makes sure that the topic exists and returns the publisher; called again until it succeeds.
        connect_lists: Returns a publisher that sends all messages of a call or none.
        clock: Seconds since 1970; dates too far ahead of it are refused.
        lookup: Returns which of some customers are merged or erased.
        count_erased: Counts events of erased customers.
    """

    def __init__(
        self,
        settings: Settings,
        connect: Callable[[], Publisher],
        connect_lists: Callable[[], Publisher],
        clock: Callable[[], float] = time.time,
        *,
        lookup: Callable[[Sequence[str]], Identities] = lambda customer_ids: Identities(),
        count_erased: Callable[[int], None] = lambda events: None,
    ) -> None:
        self._topic = settings.topics.invoices
        self._decoder = Decoder(settings)
        self._connect = connect
        self._clock = clock
        self._connect_lists = connect_lists
        self._lookup = lookup
        self._count_erased = count_erased
        self._publisher: Publisher | None = None
        self._lists: Publisher | None = None
        self._split = msgspec.json.Decoder(list[msgspec.Raw]).decode

    def answer(self, bodies: Sequence[InvoiceBody | tuple[Message, ...]]) -> list[Receipt | Exception]:
        """A receipt, or a problem, for each body with invoices, or messages that are checked already."""
        read = self._without_erased(
            [self._read(each) if isinstance(each, InvoiceBody) else _checked(each) for each in bodies]
        )
        accepted = [each[1] for each in read if isinstance(each, tuple)]
        single = [messages[0] for messages in accepted if len(messages) == 1]
        failed = self._publish(single) if single else {}
        failed |= self._publish_lists([messages for messages in accepted if len(messages) > 1])
        return [each if isinstance(each, Problem) else _outcome(*each, failed) for each in read]

    def close(self) -> None:
        """Close the publishers."""
        for publisher in (self._publisher, self._lists):
            if publisher is not None:
                publisher.close()

    def _without_erased(self, read: Sequence[list[_Event] | Accepted | Problem]) -> list[Accepted | Problem]:
        """The messages of each body but those of erased customers, and the receipt for when they are confirmed."""
        events = [event for each in read if isinstance(each, list) for event in each]
        customers = {event.customer_id: None for event in events if event.customer_id is not None}
        known = self._lookup(list(customers))
        answers: list[Accepted | Problem] = []
        for each in read:
            if not isinstance(each, list):
                answers.append(each)
                continue
            sent = [one for one in each if one.customer_id is None or not known.covers(one.customer_id, one.date)]
            excluded: Counter[str] = Counter()
            for event in sent:
                excluded.update(event.excluded_lines)
            anonymous = sum(event.customer_id is None for event in sent)
            erased = len(each) - len(sent)
            if erased:
                self._count_erased(erased)
            receipt = Receipt(len(sent), anonymous, dict(excluded), erased)
            answers.append((receipt, [event.message for event in sent]))
        return answers

    def _read(self, body: InvoiceBody) -> list[_Event] | Problem:
        """The events of a body."""
        now = int(self._clock())
        try:
            events = self._events(body.content)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            return invalid_request(f"The body is not JSON ({error}); it must be an invoice, or a list of invoices.")
        if not events:
            return invalid_request("The list is empty; it must have at least one invoice.")
        read: list[_Event] = []
        wrong = 0
        errors: list[FieldError] = []
        for index, event in enumerate(events):
            try:
                invoice = self._decoder.decode(event, now=now)
                key = invoice.customer_id.encode() if invoice.customer_id else None
            except InvalidEvent as error:
                wrong += 1
                if len(errors) < MAX_ERRORS:
                    errors.append(FieldError(str(error), error.field, index))
                continue
            message = Message(self._topic, key, event, body.trace)
            read.append(_Event(message, invoice.customer_id, invoice.date, invoice.excluded_lines))
        if errors:
            first = errors[0]
            all_of_them = f"{wrong:,} of {len(events):,} events are invalid, and none was sent."
            detail = first.detail if len(events) == 1 else f"{all_of_them} [{first.index}]: {first.detail}"
            return invalid_request(detail, errors)
        return read

    def _events(self, body: bytes) -> list[bytes]:
        """The events of a body, byte by byte as they were sent."""
        text = body.strip(b" \t\r\n")
        if not text.startswith(b"["):
            return [text]
        return [bytes(each) for each in self._split(text)]

    def _publish(self, messages: Sequence[Message]) -> dict[int, Problem]:
        """The messages that were not confirmed, by their identity."""
        try:
            if self._publisher is None:
                self._publisher = self._connect()
            self._publisher.publish(messages)
        except BrokerUnavailable as error:
            return dict.fromkeys(map(id, messages), _not_sent(error))
        except PublisherUnavailable as error:
            problem = unavailable(f"Kafka did not confirm in time ({error}). Send the same again; it counts once.")
            return dict.fromkeys(map(id, error.undelivered), problem)
        except MessageTooLarge as error:
            return dict.fromkeys(map(id, error.messages), _too_large(error))
        return {}

    def _publish_lists(self, lists: Sequence[Sequence[Message]]) -> dict[int, Problem]:
        """Publish lists in one transaction; returns the messages of those that were not sent, by their identity."""
        failed: dict[int, Problem] = {}
        while lists:
            messages = [message for each in lists for message in each]
            try:
                if self._lists is None:
                    self._connect()  # makes sure that the topic exists
                    self._lists = self._connect_lists()
                self._lists.publish(messages)
            except BrokerUnavailable as error:
                return failed | dict.fromkeys(map(id, messages), _not_sent(error))
            except PublisherUnavailable as error:
                problem = unavailable(
                    f"Kafka did not confirm in time ({error}). All of the list is sent or nothing; send the same "
                    "again, it counts once."
                )
                return failed | dict.fromkeys(map(id, messages), problem)
            except MessageTooLarge as error:  # nothing was sent: the other lists are tried again without those
                failed |= dict.fromkeys(map(id, error.messages), _too_large(error))
                lists = [each for each in lists if not any(id(message) in failed for message in each)]
            else:
                break
        return failed


def _not_sent(error: Exception) -> Problem:
    return unavailable(f"{error}. Nothing was sent.")


def _too_large(error: MessageTooLarge) -> Problem:
    detail = f"{error}; its topic takes smaller ones."
    return Problem(413, "too-large", "An event is too large for Kafka", detail)


def _checked(messages: tuple[Message, ...]) -> Accepted:
    return Receipt(len(messages), 0, {}), list(messages)


def _outcome(receipt: Receipt, messages: Sequence[Message], failed: dict[int, Problem]) -> Receipt | Exception:
    return next((failed[id(message)] for message in messages if id(message) in failed), receipt)
