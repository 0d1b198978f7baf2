"""Reads a history of schema 1, a hash with a field for each invoice; it is written anew as schema 2.

Its fields: ``x`` invoice number to date, ``i…`` the lines of an invoice as JSON arrays without brackets, ``w``
watermark, ``rev`` and ``pub`` revisions, ``s`` what is scored, ``a`` attributes, ``q`` the last sequence of the outbox.
"""

from collections.abc import Mapping

import msgspec

from state.domain.attributes import NO_DATED_ATTRIBUTES
from state.domain.history import CustomerHistory, HeldInvoice, HeldLine
from state.store.customer import NO_SCORING, CustomerRecord, ScoringState
from state.store.protocol import PriorRecommendation

LINE_BREAK = ",\n"
"""Separates the lines of an invoice; within JSON strings a line break is escaped."""


class _Scoring(msgspec.Struct, array_like=True):
    """Lua has no null, so False means missing; an empty map is packed as an empty list."""

    prior: msgspec.Raw
    newest: tuple[int, str] | bool
    invoices: dict[str, bool] | list[str]


_read_index = msgspec.msgpack.Decoder(dict[str, int]).decode
_read_watermark = msgspec.msgpack.Decoder(tuple[int, str]).decode
_read_attributes = msgspec.msgpack.Decoder(dict[str, tuple[int, str]]).decode
_read_packed_scoring = msgspec.msgpack.Decoder(_Scoring).decode
_read_prior = msgspec.msgpack.Decoder(tuple[str, str, list[str]]).decode
_FALSE = b"\xc2"
_HEADER_BYTES = {0xD9: 2, 0xDA: 3, 0xDB: 5}
"""Of a packed string, by its first byte; the others have one. Lua packs bytes as a string, whatever they are."""
_read_lines = msgspec.json.Decoder(tuple[HeldLine, ...]).decode


def expected(fields: Mapping[bytes, bytes]) -> str:
    """What the scripts compare instead of a head: schema, revision and last published one."""
    return b" ".join((fields.get(b"v", b"1"), fields.get(b"rev", b"0"), fields.get(b"pub", b"0"))).decode()


def read_record(customer_id: str, fields: Mapping[bytes, bytes]) -> tuple[CustomerRecord, int]:
    """A customer, and the last sequence of the outbox."""
    index = _read_index(fields[b"x"])
    invoices = []
    for number, date in sorted(index.items(), key=lambda invoice: (invoice[1], invoice[0])):
        in_order = ",".join(sorted(fields[b"i" + number.encode()].decode().split(LINE_BREAK)))
        invoices.append(HeldInvoice(number, date, _read_lines(f"[{in_order}]")))
    watermark = _read_watermark(fields[b"w"]) if b"w" in fields else None
    attributes = _read_attributes(fields[b"a"]) if b"a" in fields else NO_DATED_ATTRIBUTES
    by_key = {key: attributes[key] for key in sorted(attributes)} if attributes else NO_DATED_ATTRIBUTES
    record = CustomerRecord(
        history=CustomerHistory(customer_id, tuple(invoices), watermark, by_key),
        revision=int(fields.get(b"rev", b"0")),
        published=int(fields.get(b"pub", b"0")),
        scoring=_read_scoring(fields[b"s"]) if b"s" in fields else NO_SCORING,
    )
    return record, int(fields.get(b"q", b"0"))


def _read_scoring(packed: bytes) -> ScoringState:
    scoring = _read_packed_scoring(packed)
    prior = bytes(scoring.prior)
    content = None if prior == _FALSE else _read_prior(prior[_HEADER_BYTES.get(prior[0], 1) :])
    newest = scoring.newest if isinstance(scoring.newest, tuple) else None
    return ScoringState(PriorRecommendation("", *content) if content else None, newest, frozenset(scoring.invoices))
