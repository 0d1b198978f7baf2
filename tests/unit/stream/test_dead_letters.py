import hashlib

from stream.messages import Incoming
from stream.pipeline.dead_letters import MAX_REASON_CHARS, dead_letter, without_value


def test_a_dead_letter_has_the_bytes_the_key_and_the_source_position() -> None:
    event = Incoming(b"\xff\x00", None, "invoices", 3, 91)
    letter = dead_letter(event, "Größe fehlt", topic="dead", when="2011-12-09T12:50:00Z")
    assert (letter.topic, letter.key, letter.value) == ("dead", None, b"\xff\x00")
    assert letter.headers == (
        ("reason", "Größe fehlt".encode()),
        ("source-topic", b"invoices"),
        ("source-partition", b"3"),
        ("source-offset", b"91"),
        ("dead-lettered-at", b"2011-12-09T12:50:00Z"),
    )


def test_a_long_reason_is_cut() -> None:
    letter = dead_letter(Incoming(b"", b"", "t", 0, 0), "x" * 10**6, topic="dead", when="")
    assert len(dict(letter.headers)["reason"]) == MAX_REASON_CHARS


def test_without_its_value_a_dead_letter_has_its_size_and_hash() -> None:
    whole = dead_letter(Incoming(b"abc", b"k", "t", 0, 0), "r", topic="dead", when="")
    letter = without_value(whole)
    assert letter.value is None
    assert letter.headers[:-2] == whole.headers
    assert letter.headers[-2:] == (
        ("omitted-bytes", b"3"),
        ("omitted-sha256", hashlib.sha256(b"abc").hexdigest().encode()),
    )
