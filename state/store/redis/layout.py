"""The keys and the encodings of histories, items and recommendations in Redis (docs/reference/state.md)."""

from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote_to_bytes
from zlib import crc32

import msgspec

from state.domain.attributes import NO_DATED_ATTRIBUTES, DatedAttributes
from state.domain.history import CustomerHistory, HeldInvoice, HeldLine, line_text
from state.domain.items import SHARE_HALF_LIVES, ItemState
from state.domain.recommendation import Recommendation
from state.errors import StoreRefused
from state.events.invoice import Invoice
from state.events.shop_dialect import ShopDialect
from state.store.protocol import PriorRecommendation, prior_recommendation

SCHEMA = 1
"""Version of the hash of a history; scripts/history.lua has the same."""

DUE_SHARDS = 1_024
"""Hashes of the index of who is due: 1,000 customers in each of a million, which Redis reads in 2 ms."""

LINE_BREAK = ",\n"
"""Separates the lines of an invoice; within JSON strings a line break is escaped."""


class Keys:
    """The names of the keys. Braces are hash tags of Redis Cluster: one slot for each customer, one for all items."""

    def __init__(self, prefix: str) -> None:
        self._history = f"{prefix}h:"
        self._recommendation = f"{prefix}r:"
        self._outbox = f"{prefix}o:"
        self._due_index = f"{prefix}due-index:"
        self._sent_due = f"{prefix}due:"
        self._done = f"{prefix}{{items}}:done:"
        self.item_state = f"{prefix}{{items}}:state"
        self.item_changed = f"{prefix}{{items}}:changed"
        self.item_version = f"{prefix}{{items}}:version"
        self.now = f"{prefix}{{items}}:now"
        self.letters = f"{prefix}{{items}}:letters"
        self.run = f"{prefix}{{items}}:run"
        self.dialect = f"{prefix}{{items}}:dialect"
        self.customers = f"{prefix}{{items}}:customers"
        self.all_sent_due = f"{self._sent_due}{{*"
        self.refresh_shards = f"{prefix}{{refresh}}:shards"
        self.refresh_asked = f"{prefix}{{refresh}}:asked"
        self.all_histories = f"{self._history}{{*"
        self.all_recommendations = f"{self._recommendation}{{*"

    @property
    def probes(self) -> list[str]:
        """A key of each kind that the scripts write, of the empty customer id, which no event has."""
        return [self.history(""), self.recommendation(""), self.outbox(""), self.done(""), f"{self._due_index}{{}}"]

    @property
    def items(self) -> list[str]:
        """The keys of the items, in the order that the scripts expect."""
        return [self.item_state, self.item_changed, self.item_version, self.now]

    def history(self, customer_id: str) -> str:
        """The customer's history, a hash."""
        return f"{self._history}{{{_escape(customer_id)}}}"

    def recommendation(self, customer_id: str) -> str:
        """The last confirmed recommendation, JSON."""
        return f"{self._recommendation}{{{_escape(customer_id)}}}"

    def outbox(self, customer_id: str) -> str:
        """The changes that are not applied to the items yet, a sorted set; only on a Cluster."""
        return f"{self._outbox}{{{_escape(customer_id)}}}"

    def done(self, customer_id: str) -> str:
        """The last sequence of the outbox that was applied to the items; only on a Cluster."""
        return f"{self._done}{_escape(customer_id)}"

    def sent_due(self, day: str) -> str:
        """The customers that were published as due for a day and window, a set in the slot of that day."""
        return f"{self._sent_due}{{{day}}}"

    def due_index(self, shard: int) -> str:
        """A shard of the index of who is due, a hash in a separate slot."""
        return f"{self._due_index}{{{shard:04d}}}"

    @property
    def due_complete(self) -> str:
        """Whether every customer is in the index of who is due."""
        return f"{self._due_index}complete"

    def customer(self, history_key: bytes) -> str:
        """The customer of a history's key."""
        return unquote_to_bytes(history_key[len(self._history.encode()) + 1 : -1]).decode()


def due_shard(customer_id: str) -> int:
    """The shard of a customer in the index of who is due."""
    return crc32(customer_id.encode()) % DUE_SHARDS


def _escape(customer_id: str) -> str:
    """A customer id without braces, which would end the hash tag early."""
    return customer_id.replace("%", "%25").replace("{", "%7B").replace("}", "%7D")


class CustomerAnswer(msgspec.Struct, array_like=True):
    """A customer in the answer of the scripts; Lua has no null, so False means missing."""

    invoices: list[tuple[str, int, str]]
    watermark: tuple[int, str] | bool
    revision: int
    published: int
    changed: bool
    recommendation: str | bool
    priors: list[PriorRecommendation]
    attributes: dict[str, tuple[int, str]] | bool


class Answer(msgspec.Struct, array_like=True):
    """The answer of ``apply.lua`` for a batch."""

    customers: list[CustomerAnswer | bool]
    refused: list[int]
    lines_new: int
    lines_known: int
    lines_behind: int


class OneAnswer(msgspec.Struct, array_like=True):
    """The answer of ``apply_one.lua`` for a customer."""

    customer: CustomerAnswer | bool
    refused: list[int]
    lines_new: int
    lines_known: int
    lines_behind: int


class _Item(msgspec.Struct, array_like=True):
    as_of: int
    demand: tuple[float, ...]
    sold: int
    first: int
    last: int
    price: float
    price_date: int
    description: str
    description_date: int
    shares: tuple[float, ...] = (0.0,) * len(SHARE_HALF_LIVES)  # missing in entries written by versions without shares
    attributes: dict[str, tuple[int, str]] = {}


pack = msgspec.msgpack.Encoder().encode
read_answer = msgspec.msgpack.Decoder(Answer).decode
read_one_answer = msgspec.msgpack.Decoder(OneAnswer).decode
read_recommendation = msgspec.json.Decoder(Recommendation).decode
read_dialect = msgspec.json.Decoder(ShopDialect).decode
write_dialect = msgspec.json.Encoder().encode
write_recommendation = msgspec.json.Encoder().encode
_NO_SALE = (False, False, False)
_read_lines = msgspec.json.Decoder(tuple[HeldLine, ...]).decode
read_codes = msgspec.msgpack.Decoder(list[str]).decode
_read_item = msgspec.msgpack.Decoder(_Item).decode
_read_index = msgspec.msgpack.Decoder(dict[str, int]).decode
_read_attributes = msgspec.msgpack.Decoder(dict[str, tuple[int, str]]).decode
_read_watermark = msgspec.msgpack.Decoder(tuple[int, str]).decode


def _json(text: str) -> str:
    return msgspec.json.encode(text).decode()


def event(index: int, invoice: Invoice) -> tuple[Any, ...]:
    """An invoice of a batch as the input of the scripts; purchase lines include the values for the items."""
    lines: list[tuple[Any, ...]] = []
    for line in invoice.lines:
        text = line_text(line.stock_code, line.quantity, line.unit_price, line.line_id)
        sale = (line.stock_code, line.unit_price, line.description or "") if line.quantity > 0 else _NO_SALE
        line_id = () if line.line_id is None else (_json(line.line_id),)
        attributes = (line.attributes,) if line.attributes and line.quantity > 0 else ()
        lines.append((text, *sale, *(line_id or (False,) if attributes else line_id), *attributes))
    customer_attributes = (invoice.attributes,) if invoice.attributes else ()
    return index, invoice.invoice_no, invoice.date, lines, *customer_attributes


def confirmation(recommendation: Recommendation) -> tuple[int, str, tuple[str, str, list[str]]]:
    """A recommendation as the input of ``confirm.lua``: revision, JSON, and the prior recommendation to score with."""
    prior = prior_recommendation(recommendation, "")
    json = write_recommendation(recommendation).decode()
    return recommendation.revision, json, (prior.rec_id, prior.model, prior.stock_codes)


def read_item(stock_code: str, packed: bytes) -> ItemState:
    """An item's state from its packed form."""
    item = _read_item(packed)
    return ItemState(
        stock_code=stock_code,
        as_of=item.as_of,
        demand=item.demand,
        sold=item.sold,
        first=item.first,
        last=item.last,
        price=item.price,
        price_date=item.price_date,
        description=item.description or None,
        description_date=item.description_date,
        shares=item.shares,
        dated_attributes=_by_key(item.attributes),
    )


def write_item(item: ItemState) -> tuple[Any, ...]:
    """An item's state as the scripts have it; its attributes are left out where there are none."""
    attributes = (dict(item.dated_attributes),) if item.dated_attributes else ()
    return (
        item.as_of,
        item.demand,
        item.sold,
        item.first,
        item.last,
        item.price,
        item.price_date,
        item.description or "",
        item.description_date,
        item.shares,
        *attributes,
    )


def make_history(
    customer_id: str,
    invoices: Iterable[tuple[str, int, str]],
    watermark: tuple[int, str] | None,
    attributes: DatedAttributes = NO_DATED_ATTRIBUTES,
) -> CustomerHistory:
    """A history from its invoices (number, date, stored lines), in the order of ``CustomerHistory``."""
    held = []
    for invoice_no, date, texts in sorted(invoices, key=lambda invoice: (invoice[1], invoice[0])):
        in_order = ",".join(sorted(texts.split(LINE_BREAK)))
        held.append(HeldInvoice(invoice_no, date, _read_lines(f"[{in_order}]")))
    return CustomerHistory(customer_id, tuple(held), watermark, _by_key(attributes))


def _by_key(attributes: DatedAttributes) -> DatedAttributes:
    """Attributes ordered by key, since Lua tables have no order."""
    return {key: attributes[key] for key in sorted(attributes)} if attributes else NO_DATED_ATTRIBUTES


def read_history(customer_id: str, fields: dict[bytes, bytes]) -> CustomerHistory:
    """A history from the fields of its hash.

    Raises:
        StoreRefused: A newer version of this program wrote it.
    """
    check_schema(customer_id, int(fields.get(b"v", b"1")))
    index = _read_index(fields[b"x"])
    invoices = [(number, date, fields[b"i" + number.encode()].decode()) for number, date in index.items()]
    watermark = _read_watermark(fields[b"w"]) if b"w" in fields else None
    attributes = _read_attributes(fields[b"a"]) if b"a" in fields else NO_DATED_ATTRIBUTES
    return make_history(customer_id, invoices, watermark, attributes)


def check_schema(customer_id: str, schema: int) -> None:
    """Raises ``StoreRefused`` for a history that a newer version wrote."""
    if schema > SCHEMA:
        raise StoreRefused(
            f"The history of customer {customer_id} has schema {schema} and this version reads up to {SCHEMA}: "
            "a newer version wrote it; run that one."
        )
