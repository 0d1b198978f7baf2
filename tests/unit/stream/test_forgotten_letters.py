"""Which dead letters that are set aside go with an erased customer."""

from collections.abc import Mapping, Sequence

import msgspec

from stream.messages import Incoming, IncomingHeaders
from stream.pipeline.dead_letters import dead_letter
from stream.tools.traces import forget_letters


class Spool:
    """Letters in memory."""

    def __init__(self) -> None:
        self.letters: dict[str, bytes] = {}

    def put(self, letters: Mapping[str, bytes]) -> bool:
        self.letters |= letters
        return True

    def first(self, count: int) -> dict[str, bytes]:
        return dict(list(self.letters.items())[:count])

    def drop(self, positions: Sequence[str]) -> None:
        for position in positions:
            del self.letters[position]

    def count(self) -> int:
        return len(self.letters)


def packed(key: bytes | None, value: bytes | None, offset: int, headers: IncomingHeaders = ()) -> bytes:
    event = Incoming(value, key, "invoices", 0, offset, headers=headers)
    return msgspec.msgpack.encode(dead_letter(event, "why", topic="dead", when="now"))


def test_a_letter_is_of_a_customer_by_its_key_its_value_or_a_header_of_its_event() -> None:
    spool = Spool()
    spool.put(
        {
            "key": packed(b"91", b"{}", 0),
            "value": packed(None, b'{"customer_id": 91}', 1),
            "header": packed(None, b"{}", 2, (("ce_subject", b"91"),)),
            "offset": packed(None, b"{}", 91),
            "other": packed(b"910", b'{"customer_id": 910}', 3, (("ce_subject", b"910"), ("x", None))),
        }
    )
    assert forget_letters(spool, "91").found == 3
    assert set(spool.letters) == {"offset", "other"}
