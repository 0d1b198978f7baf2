"""StoredCustomer: a customer as the hash in Redis has it (schema 2), and how it is read and written.

The head, ``m``, is compared and replaced by every write. The other fields are JSON, deflated: ``d`` has the dates of
all invoices, the inline lines and all that is small; ``b1``, ``b2`` and so on have the lines of a large history.
"""

import zlib
from collections.abc import Mapping

import msgspec

from state.domain.attributes import NO_DATED_ATTRIBUTES
from state.domain.history import CustomerHistory, HeldInvoice, HeldLine, line_order
from state.domain.recommendation import Recommendation
from state.store.customer import NO_SCORING, CustomerRecord, ScoringState
from state.store.protocol import PriorRecommendation
from state.store.redis import schema_1
from state.store.redis.blocks import INLINE, BlockLayout, rearrange
from state.store.redis.errors import check_schema
from state.store.redis.layout import read_number

SCHEMA = 2
"""Version of the hash of a history."""
MAX_FIELD_BYTES = 64 * 1024 * 1024
"""No field of this program is larger, unpacked."""
COMPRESSION = 1
"""The fastest: a history takes a fifth more than with the default, in half the time."""

Fields = Mapping[bytes, bytes]


class Head(msgspec.Struct, frozen=True):
    """What changes with every write: ``m`` has these numbers, separated by spaces.

    ``sequence`` is the last one of the outbox. ``writes`` counts the writes.
    """

    revision: int
    published: int
    sequence: int
    writes: int

    def text(self) -> str:
        """The head as it is stored."""
        return f"{self.revision} {self.published} {self.sequence} {self.writes}"


class StoredCustomer(msgspec.Struct, frozen=True):
    """A customer as it is stored.

    ``expected`` is what the scripts compare: the head, that of schema 1, or nothing for an unknown customer.
    ``record`` is without its recommendation, which is ``recommendation``, as stored. ``superseded``: the fields of
    schema 1, which go with the next write. ``outbox``: changes of the items may wait in the outbox. ``json_bytes``: of
    the JSON that it was read from, 0 where it was not read.
    """

    expected: str
    head: Head
    record: CustomerRecord
    layout: BlockLayout | None = None
    recommendation: bytes | None = None
    superseded: tuple[str, ...] = ()
    outbox: bool = False
    json_bytes: int = 0

    def with_last(self) -> CustomerRecord:
        """The record with its last recommendation."""
        if self.recommendation is None:
            return self.record
        return msgspec.structs.replace(self.record, last=_read_recommendation(self.recommendation))


class _Invoice(msgspec.Struct, array_like=True):
    invoice_no: str
    date: int
    lines: tuple[HeldLine, ...] = ()


class _Scoring(msgspec.Struct, array_like=True):
    prior: PriorRecommendation | None = None
    newest: tuple[int, str] | None = None
    invoices: tuple[str, ...] = ()


class _Data(msgspec.Struct, array_like=True):
    invoices: list[_Invoice]
    blocks: tuple[int, ...] = ()
    watermark: tuple[int, str] | None = None
    scoring: _Scoring | None = None
    attributes: dict[str, tuple[int, str]] = {}


_encode = msgspec.json.Encoder().encode
_read_data = msgspec.json.Decoder(_Data).decode
_read_block = msgspec.json.Decoder(list[tuple[str, tuple[HeldLine, ...]]]).decode
_read_recommendation = msgspec.json.Decoder(Recommendation).decode


def read_customer(customer_id: str, fields: Fields, recommendation: bytes | None) -> StoredCustomer:
    """A customer from the fields of the hash, none for an unknown one, and the stored recommendation.

    Raises:
        StoreRefused: A newer version of this program wrote it.
        DecodeError, UnicodeDecodeError: Something else wrote it.
    """
    if not fields:
        record = CustomerRecord(CustomerHistory(customer_id))
        return StoredCustomer("", Head(0, 0, 0, 0), record, recommendation=recommendation)
    schema = _schema(customer_id, fields)
    try:
        if schema == 1:
            record, sequence = schema_1.read_record(customer_id, fields)
            return StoredCustomer(
                expected=schema_1.expected(fields),
                head=Head(record.revision, record.published, sequence, 0),
                record=record,
                recommendation=recommendation,
                superseded=tuple(field.decode() for field in fields if field != b"v"),
                outbox=sequence > 0,
            )
        head = Head(*map(int, fields[b"m"].split(b" ")))
        history, layout, scoring, json_bytes = _read(customer_id, fields)
    except (KeyError, ValueError, TypeError, zlib.error) as error:
        raise msgspec.DecodeError(f"a field is missing or unreadable: {error}") from error
    record = CustomerRecord(history, head.revision, head.published, scoring)
    return StoredCustomer(
        head.text(), head, record, layout, recommendation, outbox=head.sequence > 0, json_bytes=json_bytes
    )


def read_history(customer_id: str, fields: Fields) -> CustomerHistory:
    """The history of a customer from the fields of the hash; for errors see ``read_customer``."""
    return read_customer(customer_id, fields, None).record.history


def read_revision(head: bytes | None, revision: bytes | None) -> int:
    """The revision from the head or, of schema 1, from its field."""
    return read_number(head.split(b" ")[0] if head else revision or b"0")


def _schema(customer_id: str, fields: Fields) -> int:
    try:
        schema = int(fields.get(b"v", b"1"))
    except ValueError as error:
        raise msgspec.DecodeError(f"the schema is no number: {error}") from error
    check_schema(customer_id, schema, SCHEMA)
    return schema


def _read(customer_id: str, fields: Fields) -> tuple[CustomerHistory, BlockLayout | None, ScoringState, int]:
    json = _inflate(fields[b"d"])
    json_bytes = len(json)
    data = _read_data(json)
    layout = None
    if data.blocks:
        blocks: dict[int, dict[str, tuple[HeldLine, ...]]] = {}
        for number in data.blocks:
            json = _inflate(fields[b"b%d" % number])
            json_bytes += len(json)
            blocks[number] = dict(_read_block(json))
        inline = {one.invoice_no: one.lines for one in data.invoices if one.lines}
        layout = _layout({**blocks, INLINE: inline})
        invoices = tuple(HeldInvoice(one.invoice_no, one.date, _lines(layout, one.invoice_no)) for one in data.invoices)
    else:
        invoices = tuple(HeldInvoice(one.invoice_no, one.date, one.lines) for one in data.invoices)
    scoring = data.scoring
    return (
        CustomerHistory(customer_id, invoices, data.watermark, data.attributes or NO_DATED_ATTRIBUTES),
        layout,
        ScoringState(scoring.prior, scoring.newest, frozenset(scoring.invoices)) if scoring else NO_SCORING,
        json_bytes,
    )


def _layout(blocks: dict[int, dict[str, tuple[HeldLine, ...]]]) -> BlockLayout:
    ids: dict[str, tuple[int, ...]] = {}
    for block_id, block in blocks.items():
        for number in block:
            ids[number] = (*ids.get(number, ()), block_id)
    for number, its in ids.items():
        if len(its) > 1:
            starts = {block_id: line_order(blocks[block_id][number][0]) for block_id in its}
            ids[number] = tuple(sorted(its, key=starts.__getitem__))
    return BlockLayout(blocks, ids)


def _lines(layout: BlockLayout, number: str) -> tuple[HeldLine, ...]:
    ids = layout.ids[number]
    if len(ids) == 1:
        return layout.blocks[ids[0]][number]
    return tuple(line for block_id in ids for line in layout.blocks[block_id][number])


def write_customer(
    stored: StoredCustomer, record: CustomerRecord, *, sequence: int
) -> tuple[StoredCustomer, dict[str, str | bytes], list[str]]:
    """A customer after a change: as it is stored then, the fields to write, and those to remove."""
    before = stored.record.history
    if stored.expected and not stored.superseded:
        layout, changed = rearrange(stored.layout, before, record.history)
    else:  # a new hash
        layout, changed = rearrange(None, CustomerHistory(before.customer_id), record.history)
    head = Head(record.revision, record.published, sequence, stored.head.writes + 1)
    fields: dict[str, str | bytes] = {"m": head.text(), "d": _write_data(record, layout)}
    gone = list(stored.superseded)
    if not stored.expected or stored.superseded:
        fields["v"] = str(SCHEMA)
    for block_id in changed:
        block = layout.blocks.get(block_id) if layout else None
        if block_id == INLINE:
            continue
        if block is None:
            gone.append(f"b{block_id}")
        else:
            fields[f"b{block_id}"] = _deflate(_encode(list(block.items())))
    after = StoredCustomer(
        expected=head.text(),
        head=head,
        record=msgspec.structs.replace(record, last=None),
        layout=layout,
        recommendation=stored.recommendation,
        outbox=sequence > 0,
        json_bytes=stored.json_bytes,
    )
    return after, fields, gone


def _write_data(record: CustomerRecord, layout: BlockLayout | None) -> bytes:
    history, scoring = record.history, record.scoring
    inline = None if layout is None else layout.blocks[INLINE]
    blocks = () if layout is None else tuple(sorted(number for number in layout.blocks if number != INLINE))
    noted = _Scoring(scoring.prior, scoring.newest, tuple(sorted(scoring.invoices)))
    invoices = [
        (one.invoice_no, one.date, lines) if lines else (one.invoice_no, one.date)
        for one in history.invoices
        for lines in [one.lines if inline is None else inline.get(one.invoice_no)]
    ]
    data = (invoices, blocks, history.watermark, noted, dict(history.dated_attributes))
    return _deflate(_encode(data))


def _deflate(content: bytes) -> bytes:
    return zlib.compress(content, COMPRESSION, -zlib.MAX_WBITS)


def _inflate(content: bytes) -> bytes:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    inflated = inflater.decompress(content, MAX_FIELD_BYTES)
    if not inflater.eof:
        raise ValueError("it is cut off, or larger than any field of this program")
    return inflated
