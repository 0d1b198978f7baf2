import threading
from collections.abc import Mapping, Sequence
from random import Random

import msgspec
import pytest

from stream.errors import MessageTooLarge, PublisherUnavailable, Stopped
from stream.messages import Incoming, Message
from stream.pipeline.confirmed_publisher import ConfirmedPublisher
from stream.pipeline.dead_letters import OMITTED_BYTES, OMITTED_HEADERS, OMITTED_SHA256, dead_letter
from stream.pipeline.memory_publisher import MemoryPublisher
from stream.pipeline.retry import RetryPolicy

DEAD = "dead"


class BoundedPublisher(MemoryPublisher):
    """Refuses messages whose value, key and headers have more than ``max_bytes`` bytes."""

    def __init__(self, max_bytes: int) -> None:
        super().__init__()
        self.max_bytes = max_bytes

    def publish(self, messages: Sequence[Message]) -> None:
        def fits(message: Message) -> bool:
            headers = sum(len(name) + len(value) for name, value in message.headers)
            return len(message.value or b"") + len(message.key or b"") + headers <= self.max_bytes

        super().publish([message for message in messages if fits(message)])
        if too_large := [message for message in messages if not fits(message)]:
            raise MessageTooLarge(too_large)


class FlakyPublisher(MemoryPublisher):
    """Confirms one message a call while there are more."""

    def publish(self, messages: Sequence[Message]) -> None:
        super().publish(messages[:1])
        if len(messages) > 1:
            raise PublisherUnavailable("one message a call", messages[1:])


def confirmed(publisher: MemoryPublisher, stop: threading.Event | None = None) -> ConfirmedPublisher:
    return ConfirmedPublisher(publisher, RetryPolicy(stop or threading.Event(), Random(1)), dead_letter_topic=DEAD)


def test_only_unconfirmed_messages_are_sent_again() -> None:
    publisher = FlakyPublisher()
    messages = [Message("t", b"%d" % number, b"") for number in range(3)]
    confirmed(publisher).publish(messages)
    assert publisher.messages == messages


def test_a_stop_in_an_outage_is_raised() -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        confirmed(FlakyPublisher(), stop).publish([Message("t", b"1", b""), Message("t", b"2", b"")])


def test_a_too_large_dead_letter_is_sent_without_the_headers_of_its_event() -> None:
    publisher = BoundedPublisher(2_000)
    event = Incoming(
        b"value", b"key", "invoices", 0, 7, headers=(("a", b"x" * 1_500), ("traceparent", None), ("b", b""))
    )
    whole = dead_letter(event, "why", topic=DEAD, when="now")
    large = dead_letter(msgspec.structs.replace(event, value=b"v" * 600), "why", topic=DEAD, when="now")
    confirmed(publisher).publish([whole, large])
    assert publisher.messages[0] == whole
    assert whole.headers[-3:] == (("a", b"x" * 1_500), ("traceparent", b""), ("b", b""))
    assert (publisher.messages[1].value, publisher.messages[1].headers) == (
        large.value,
        (*large.headers[:5], (OMITTED_HEADERS, b"3")),
    )


def test_a_too_large_dead_letter_is_sent_without_its_value() -> None:
    publisher = BoundedPublisher(2_000)
    confirmed(publisher).publish([Message(DEAD, b"key", b"x" * 3_000, (("source-offset", b"0"),))])
    (letter,) = publisher.messages
    headers = dict(letter.headers)
    assert (letter.key, letter.value) == (b"key", None)
    assert headers[OMITTED_BYTES] == b"3000"
    assert len(headers[OMITTED_SHA256]) == 64
    assert headers["source-offset"] == b"0"


def test_a_dead_letter_with_a_too_large_key_is_sent_without_both() -> None:
    publisher = BoundedPublisher(2_000)
    confirmed(publisher).publish([Message(DEAD, b"k" * 3_000, b"x" * 3_000)])
    (letter,) = publisher.messages
    assert (letter.key, letter.value) == (None, None)


def test_another_message_that_is_too_large_is_dropped_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    publisher = BoundedPublisher(10)
    small = Message("t", b"2", b"y")
    confirmed(publisher).publish([Message("t", b"1", b"x" * 100), small])
    assert publisher.messages == [small]
    assert "A message for t with key b'1' is too large and is dropped" in caplog.text


class ForbiddenTopic:
    """May not be written to until the look number ``looks``."""

    def __init__(self, looks: int) -> None:
        self.looks = looks

    def problem(self, largest: int = 0) -> str | None:
        return "dead may not be written to" if self.looks else None

    def check(self, largest: int = 0) -> str | None:
        self.looks -= 1
        return self.problem(largest)


class Spool:
    """Room for some letters."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.letters: dict[str, bytes] = {}

    def put(self, letters: Mapping[str, bytes]) -> bool:
        if len(self.letters) + len(letters) > self.room:
            return False
        self.letters.update(letters)
        return True

    def first(self, count: int) -> dict[str, bytes]:
        return self.letters

    def drop(self, positions: Sequence[str]) -> None:
        raise NotImplementedError

    def count(self) -> int:
        return len(self.letters)


def letter(offset: int) -> Message:
    return dead_letter(Incoming(b"value", b"key", "invoices", 3, offset), "why", topic=DEAD, when="now")


@pytest.mark.parametrize(("room", "looks_taken"), [(None, 3), (1, 3), (2, 0)], ids=["no spool", "full", "room"])
def test_letters_wait_for_their_topic_or_are_set_aside_and_nothing_else_waits(
    room: int | None, looks_taken: int, caplog: pytest.LogCaptureFixture
) -> None:
    publisher, topic = MemoryPublisher(), ForbiddenTopic(3)
    spool = None if room is None else Spool(room)
    letters = [letter(7), letter(8)]
    ConfirmedPublisher(
        publisher,
        RetryPolicy(threading.Event(), Random(1)),
        dead_letter_topic=DEAD,
        letter_topic=topic,
        spool=spool,
    ).publish([letters[0], Message("t", b"1", b"x"), letters[1]])
    assert "dead may not be written to" in caplog.text
    assert 3 - topic.looks == looks_taken
    if looks_taken:
        assert publisher.messages == [Message("t", b"1", b"x"), *letters]
    else:
        assert publisher.messages == [Message("t", b"1", b"x")]
        assert spool is not None
        assert list(spool.letters) == ["invoices/3/7", "invoices/3/8"]
        assert [msgspec.msgpack.decode(one, type=Message) for one in spool.letters.values()] == letters
